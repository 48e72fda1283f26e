import json
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from tracktokens.pipelines.demo.catalog import DemoCatalog, _track_lines, make_demo
from tracktokens.pipelines.demo.chance import generator
from tracktokens.pipelines.demo.composition import chord_root, compose, hits, notes, pitch, start_of
from tracktokens.pipelines.demo.genres import DRUM_AND_BASS, GENRES, MOODS, STRING_WALTZ, TECHNO, Genre
from tracktokens.pipelines.demo.lyrics import with_time_stamps, write_lyrics
from tracktokens.pipelines.demo.playlists import invent_playlists
from tracktokens.pipelines.demo.spoiled import (
    NOT_UTF8_LINE,
    SPOILED_CONVERSATIONS,
    SPOILED_FILES,
    SPOILED_TRACKS,
    spoiled_tracks,
)
from tracktokens.pipelines.demo.synthesis import DRUMS, SAMPLE_RATE, render, wavetable
from tracktokens.pipelines.demo.tracks import BARE, invent_tracks
from tracktokens.pipelines.demo.words import ARTISTS, CLUSTER_TITLES, CLUSTERS, LANGUAGES
from tracktokens.schemas.errors import UsageError
from tracktokens.schemas.tables.rejects import ROW_REASONS, TRACKS_TABLE
from tracktokens.schemas.tables.tracks import MAX_ID_BYTES, TRACKS

SMALL = 24


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> DemoCatalog:
    return make_demo(tmp_path_factory.mktemp("demo"), tracks=SMALL)


@pytest.fixture(scope="module")
def catalog():
    return invent_tracks(200, 0)


def song_of(genre: Genre, seed: int = 0, **changes):
    return replace(compose(genre, genre.moods[0], 1.0, generator(seed, "song")), **changes)


def good_rows(demo: DemoCatalog) -> list[dict]:
    ids = set(pq.read_table(demo.truth)["track_id"].to_pylist())
    spoiled = {NOT_UTF8_LINE, *(track.line.encode() for track in SPOILED_TRACKS)}
    rows = [json.loads(line) for line in demo.tracks.read_bytes().splitlines() if line not in spoiled]
    assert {row["track_id"] for row in rows} == ids
    return rows


def octave_bands(signal: np.ndarray) -> np.ndarray:
    """Loudness in dB of nine octaves, frame by frame: a minimal model of the ear."""
    frames = signal[: len(signal) // 1024 * 1024].reshape(-1, 1024) * np.hanning(1024)
    power = np.abs(np.fft.rfft(frames)[:, 1:]) ** 2
    return 10 * np.log10(np.add.reduceat(power, 2 ** np.arange(9), axis=1) + 1e-6)


def samples_of(demo: DemoCatalog) -> dict[str, np.ndarray]:
    paths = {row["audio_path"] for row in good_rows(demo) if "audio_path" in row}
    return {path: soundfile.read(demo.audio_root / path)[0] for path in paths}


# The folder


def test_every_good_track_has_one_line_and_one_row_of_truth(demo):
    rows = good_rows(demo)
    assert len(rows) == demo.track_count == SMALL
    assert pq.read_table(demo.truth).num_rows == SMALL


def test_rows_have_only_columns_of_the_tracks_table_and_audio_comes_with_a_version(demo):
    for row in good_rows(demo):
        assert set(row) <= set(TRACKS.names)
        assert ("audio_path" in row) == ("audio_version" in row)


def test_every_audio_file_that_a_good_row_names_can_be_played(demo):
    samples = samples_of(demo)
    assert len(samples) == demo.audio_file_count
    for signal in samples.values():
        assert 7.9 <= len(signal) / SAMPLE_RATE <= 10.1
        assert 0.02 < np.sqrt(np.mean(signal**2)) < 0.6


def test_the_same_seed_gives_the_same_tables_and_the_same_sound(demo, tmp_path):
    again = make_demo(tmp_path / "again", tracks=SMALL)
    for table in ("tracks", "playlists", "conversations", "truth"):
        assert getattr(demo, table).read_bytes() == getattr(again, table).read_bytes(), table
    repeated = samples_of(again)
    for path, signal in samples_of(demo).items():
        np.testing.assert_array_equal(signal, repeated[path])


def test_another_seed_gives_another_catalog():
    assert [track.row for track in invent_tracks(SMALL, 1)] != [track.row for track in invent_tracks(SMALL, 0)]


def test_a_larger_catalog_begins_with_the_smaller_ones_tracks():
    assert invent_tracks(60, 0)[: SMALL - 1] == invent_tracks(SMALL, 0)[: SMALL - 1]


def test_a_folder_that_holds_something_is_refused(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match="not an empty folder"):
        make_demo(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_too_small_a_demo_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(UsageError, match="at least 20"):
        make_demo(tmp_path / "tiny", tracks=19)
    assert not (tmp_path / "tiny").exists()


# What is wrong on purpose


@pytest.mark.parametrize("tracks", [20, 39, 40, 79, 80, 120, 160, 199, 200, 2000])
def test_bad_rows_that_lose_a_track_stay_under_the_default_limit_of_five_percent(tracks):
    spoiled = spoiled_tracks(tracks)
    lost = sum(track.expected.reason in ROW_REASONS for track in spoiled) + 1
    assert lost / (tracks + len(spoiled) + 1) < 0.05
    assert tracks < 200 or spoiled == SPOILED_TRACKS


def test_all_bad_rows_are_in_the_file_and_each_is_expected(demo):
    lines = demo.tracks.read_bytes().splitlines()
    spoiled = spoiled_tracks(SMALL)
    assert len(lines) == SMALL + len(spoiled) + 1
    assert all(track.line.encode() in lines for track in spoiled)
    assert Counter(reject.table for reject in demo.expected_rejects) == {"tracks": len(spoiled), "playlists": 2}


def test_there_are_ten_conversations_per_track_and_the_spoiled_ones_among_them(demo):
    lines = demo.conversations.read_text(encoding="utf-8").splitlines()
    assert demo.conversation_count == 10 * SMALL == len(lines) - len(SPOILED_CONVERSATIONS)
    assert set(SPOILED_CONVERSATIONS) <= set(lines)


def test_bad_rows_are_what_they_claim_to_be():
    lines = {spoiled.expected.reason: spoiled.line for spoiled in SPOILED_TRACKS}
    assert len(json.loads(lines["id_too_long"])["track_id"].encode()) == 300 > MAX_ID_BYTES
    assert json.loads(lines["id_empty"])["track_id"] == ""
    assert "track_id" not in json.loads(lines["id_missing"])
    with pytest.raises(json.JSONDecodeError):
        json.loads(lines["malformed_row"])
    with pytest.raises(UnicodeDecodeError):
        NOT_UTF8_LINE.decode("utf-8")


def test_the_repeated_id_comes_after_the_row_that_it_repeats():
    rows = [line for line in _track_lines(invent_tracks(200, 0)) if b'"track_id": "trk00000"' in line]
    assert len(rows) == 2
    assert b"Impostor" in rows[1]


def test_spoiled_files_are_no_audio_and_a_missing_one_is_missing(demo):
    rows = [json.loads(spoiled.line) for spoiled in SPOILED_TRACKS if "audio" in spoiled.expected.reason]
    paths = {row["track_id"]: row["audio_path"] for row in rows}
    for path in SPOILED_FILES:
        with pytest.raises(soundfile.LibsndfileError):
            soundfile.read(demo.audio_root / path)
    assert not (demo.audio_root / paths["trk90006"]).exists()
    assert not (demo.audio_root / paths["trk90004"]).resolve().is_relative_to(demo.audio_root.resolve())


def test_expected_rejects_name_the_ids_that_their_rows_have(demo):
    for spoiled in SPOILED_TRACKS:
        if spoiled.expected.track_id is not None:
            assert json.loads(spoiled.line)["track_id"] == spoiled.expected.track_id
            assert spoiled.expected.table == TRACKS_TABLE


# The catalog


def test_the_catalog_has_every_genre_mood_format_and_language(catalog):
    assert {track.artist.genre for track in catalog} == {genre.name for genre in GENRES}
    assert {track.mood for track in catalog} == set(MOODS)
    paths = [track.row["audio_path"] for track in catalog if "audio_path" in track.row]
    assert {path.rsplit(".", 1)[1] for path in paths} == {"ogg", "flac", "wav", "mp3"}
    assert {track.artist.language for track in catalog if "lyrics" in track.row} == set(LANGUAGES)
    assert any("[" in path and " " in path for path in paths)
    assert not all(path.isascii() for path in paths)


def test_some_tracks_lack_each_modality_and_one_has_nothing_but_its_id(catalog):
    for column in ("tags", "title", "lyrics", "audio_path"):
        assert 0 < sum(column not in track.row for track in catalog) < 120
    assert 0 < sum(not track.listed for track in catalog) < 20
    assert set(catalog[BARE].row) == {"track_id"}


def test_a_song_came_out_twice_with_the_same_lyrics_and_the_same_file(catalog):
    last = catalog[-1].row
    twins = [track.row for track in catalog[:-1] if track.row.get("lyrics") == last["lyrics"]]
    assert [twin["audio_path"] for twin in twins] == [last["audio_path"]]
    assert twins[0]["track_id"] != last["track_id"]


def test_files_have_different_names_and_equal_versions_only_for_the_same_file(catalog):
    files = {track.row["audio_path"]: track.row["audio_version"] for track in catalog if "audio_path" in track.row}
    assert len(files) == sum("audio_path" in track.row for track in catalog) - 1
    assert len(set(files.values())) == len(files)


def test_word_banks_fit_together():
    assert {artist.genre for artist in ARTISTS} == {genre.name for genre in GENRES}
    assert set(CLUSTERS) == {(genre.name, mood) for genre in GENRES for mood in genre.moods}
    assert set(CLUSTERS.values()) == set(CLUSTER_TITLES)
    assert all(set(language.subjects) == set(MOODS) for code, language in LANGUAGES.items() if code != "en")


def test_lyrics_sing_the_same_chorus_twice_between_two_verses():
    sections = write_lyrics(ARTISTS[0], "calm", generator(0, "lyrics")).split("\n\n")
    assert [section.splitlines()[0] for section in sections] == ["[Verse 1]", "[Chorus]", "[Verse 2]", "[Chorus]"]
    assert sections[1] == sections[3]


def test_time_stamps_are_before_sung_lines_only():
    lrc = with_time_stamps("[Verse 1]\none\ntwo\n\n[Chorus]\nthree", "Count", ARTISTS[0])
    head = "[ti:Count]\n[ar:Halden Drift]\n"
    assert lrc == head + "[00:08.50]one\n[00:12.70]two\n[00:16.90]three"


# Playlists


def test_playlists_hold_different_tracks_mostly_of_one_crowd(catalog):
    cluster = {track.track_id: track.cluster for track in catalog}
    playlists = invent_playlists(catalog, 150, 0)
    assert all(len(set(playlist.track_ids)) == len(playlist.track_ids) for playlist in playlists)
    assert all(6 <= len(playlist.track_ids) <= 25 for playlist in playlists)
    strays = [cluster[track_id] != playlist.cluster for playlist in playlists for track_id in playlist.track_ids]
    assert 0.05 < np.mean(strays) < 0.15


def test_unlisted_tracks_are_in_no_playlist(catalog):
    held = {track_id for playlist in invent_playlists(catalog, 150, 0) for track_id in playlist.track_ids}
    assert held.isdisjoint(track.track_id for track in catalog if not track.listed)


def test_popular_tracks_are_in_more_playlists(catalog):
    held = Counter(track_id for playlist in invent_playlists(catalog, 150, 0) for track_id in playlist.track_ids)
    ranked = sorted((track for track in catalog if track.listed), key=lambda track: track.popularity)
    quarter = len(ranked) // 4
    rare, popular = ranked[:quarter], ranked[-quarter:]
    assert sum(held[t.track_id] for t in popular) > 2 * sum(held[t.track_id] for t in rare)


# The music


def test_a_pattern_is_repeated_bar_after_bar():
    song = song_of(TECHNO, tempo=120.0, seconds=4.1)  # a sixteenth is 1/8 s: 32 of them
    assert hits("x.......", song) == [0, 8, 16, 24]


def test_swing_delays_every_second_sixteenth():
    song = song_of(TECHNO, tempo=60.0, swing=0.2)  # a sixteenth is 1/4 s
    assert [start_of(step, song) for step in range(4)] == pytest.approx([0.0, 0.3, 0.5, 0.8])


def test_chords_move_on_after_their_bars_and_start_again():
    song = song_of(STRING_WALTZ, progression=(0, 4), bars_per_chord=1)
    assert [chord_root(song, step, 12) for step in (0, 11, 12, 24)] == [0, 0, 4, 0]


def test_degrees_become_midi_notes_of_the_scale():
    major = song_of(TECHNO, scale="major", root=60)
    assert [pitch(major, degree, 0) for degree in (0, 2, 4, 7, -1)] == [60, 64, 67, 72, 59]
    assert pitch(replace(major, scale="minor"), 2, -1) == 51


def test_a_bass_plays_the_roots_of_the_chords():
    song = song_of(TECHNO, scale="minor", root=60, progression=(0, 3), bars_per_chord=2, tempo=128.0, seconds=10.0)
    bass = next(part for part in song.parts if part.role == "bass")
    assert {note.pitch for note in notes(bass, song)} == {36, 41}


def test_a_wavetable_has_the_partials_of_its_slope_and_none_above_the_limit():
    partials = np.abs(np.fft.rfft(wavetable(1.0, False, 4)))
    np.testing.assert_allclose(partials[1:6] / partials[1], [1, 1 / 2, 1 / 3, 1 / 4, 0], atol=1e-9)
    square = np.abs(np.fft.rfft(wavetable(1.0, True, 4)))
    np.testing.assert_allclose(square[1:5] / square[1], [1, 0, 1 / 3, 0], atol=1e-9)


def test_every_beat_uses_drums_that_exist_and_whole_bars():
    for genre in GENRES:
        for beat in genre.beats:
            assert {name for name, _ in beat} <= set(DRUMS)
            assert {len(pattern) for _, pattern in beat} == {16}


@pytest.mark.parametrize("genre", GENRES, ids=lambda genre: genre.name)
def test_a_song_is_loud_enough_never_clips_and_ends_in_silence(genre):
    sound = render(song_of(genre, channels=2))
    assert sound.dtype == np.float32
    assert sound.shape[1] == 2
    assert np.abs(sound).max() == pytest.approx(0.8)
    assert np.abs(sound[-10:]).max() < 0.01


def test_the_kick_of_techno_repeats_at_the_tempo():
    song = song_of(TECHNO, channels=1, tempo=130.0)
    loudness = np.add.reduceat(render(song)[:, 0] ** 2, np.arange(0, int(8 * SAMPLE_RATE), 221))
    rises = np.maximum(np.diff(loudness), 0)
    echo = [np.dot(rises[:-lag], rises[lag:]) for lag in range(30, 60)]  # lags of 0.3 to 0.6 s
    beat = (30 + int(np.argmax(echo))) * 221 / SAMPLE_RATE
    assert beat == pytest.approx(60 / 130, abs=0.011)


def test_moods_move_the_tempo_within_the_range_of_the_genre():
    chance = generator(0, "tempos")
    tempos = {
        mood: [compose(DRUM_AND_BASS, mood, 1.0, chance).tempo for _ in range(30)] for mood in ("driving", "calm")
    }
    assert all(164 <= tempo <= 180 for found in tempos.values() for tempo in found)
    assert np.mean(tempos["driving"]) > np.mean(tempos["calm"]) + 4


# What the demo is for: the truth can be found in the sound and in the playlists


def test_genres_differ_in_sound(catalog):
    from sklearn.cluster import KMeans
    from sklearn.metrics import normalized_mutual_info_score
    from sklearn.preprocessing import StandardScaler

    heard = catalog[:48]
    bands = [octave_bands(render(track.song)[:, 0]) for track in heard]
    timbre = StandardScaler().fit_transform([np.concatenate([b.mean(axis=0), b.std(axis=0)]) for b in bands])
    codes = KMeans(16, n_init=4, random_state=0).fit_predict(timbre)
    assert normalized_mutual_info_score([track.song.genre for track in heard], codes) > 0.6


def test_crowds_can_be_found_in_the_playlists(catalog):
    from gensim.models import Word2Vec
    from sklearn.cluster import KMeans
    from sklearn.metrics import normalized_mutual_info_score

    cluster = {track.track_id: track.cluster for track in catalog}
    sentences = [list(playlist.track_ids) for playlist in invent_playlists(catalog, 150, 0)]
    model = Word2Vec(
        sentences, sg=1, window=50, ns_exponent=-0.5, sample=1e-2, epochs=50, min_count=1, workers=1, vector_size=32
    )
    found = KMeans(24, n_init=4, random_state=0).fit_predict(model.wv.vectors)
    assert normalized_mutual_info_score([cluster[track] for track in model.wv.index_to_key], found) > 0.6


def test_a_genre_is_more_than_one_song_repeated(catalog):
    for genre in GENRES:
        songs = [track.song for track in catalog[:-1] if track.song.genre == genre.name]
        assert len({song.tempo for song in songs}) > len(songs) / 2
        assert len({(song.root, song.progression) for song in songs}) > len(songs) / 2
        assert all(one != other for one, other in pairwise(songs))
