"""Reading playlists: every lost row and value is counted."""

from collections import Counter
from pathlib import Path

from tracktokens.transforms.playlists.read_playlists import read_playlists
from tracktokens.transforms.readers.fragments import find_fragments

ROWS = [
    '{"playlist_id": "a", "track_ids": ["x", "y"]}',
    '{"playlist_id": "b", "track_ids": ["x", 1, null]}',
    '{"playlist_id": "c", "track_ids": {"x": 1}}',
    '{"playlist_id": "d", "track_ids": [1.5, true]}',
    '{"playlist_id": null, "track_ids": {"x": 1}}',
    '{"playlist_id": " ", "track_ids": ["x"]}',
    '{"playlist_id": "g", "track_ids": null}',
    '{"playlist_id": "h"}',
    '{"playlist_id": ["i"], "track_ids": ["x"]}',
    "{",
]


def counts_of(path: Path) -> Counter[str]:
    counts: Counter[str] = Counter()
    for fragment in find_fragments(str(path), "playlists"):
        for batch in read_playlists(fragment):
            counts.update(batch.counts)
    return counts


def test_a_playlist_is_lost_once_by_its_row_or_by_its_list(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text("\n".join(ROWS))
    counts = counts_of(tmp_path / "p.jsonl")
    lost = {name.removeprefix("playlists_lost/"): n for name, n in counts.items() if name.startswith("playlists_lost/")}
    assert counts["playlists_read"] == len(ROWS)
    assert counts["null_elements/track_ids"] == 1
    assert lost["id_missing"] == lost["id_empty"] == lost["id_wrong_type"] == lost["malformed_row"] == 1
    assert lost["wrong_type"] >= 1
    assert counts["playlists_lost"] == sum(lost.values()) <= len(ROWS) - 4


def test_a_name_is_not_an_ignored_column(tmp_path: Path) -> None:
    row = '{"playlist_id": "a", "track_ids": ["x", "y"], "name": "Calm", "title": "Calm", "mood": "calm"}'
    (tmp_path / "p.jsonl").write_text(row)
    assert [name for name in counts_of(tmp_path / "p.jsonl") if name.startswith("ignored/")] == ["ignored/mood"]
