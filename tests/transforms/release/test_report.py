"""The report of a release: figures that mean nothing are marked."""

from tracktokens.transforms.release.report import few_tracks, few_tracks_note


def test_modalities_with_few_tracks_per_code_are_named() -> None:
    found = {
        "playlist": {"tracks": 0, "centroids": 0},
        "tags": {"tracks": 40, "centroids": 10},
        "lyrics": {"tracks": 39, "centroids": 10},
        "audio": {"tracks": 40, "centroids": 40},
    }
    assert few_tracks(found) == ["lyrics", "audio"]
    assert (few_tracks_note(found) or "").startswith("lyrics, audio: fewer than 4 tracks per code")
    assert few_tracks_note({"tags": found["tags"]}) is None
