import json
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.support.demo_run import DemoRun
from tracktokens.codebooks.tokens.rendering import MENTION
from tracktokens.pipelines.cli.main import main
from tracktokens.pipelines.demo.conversations import WISHES, DemoConversation, invent_conversations
from tracktokens.pipelines.demo.phrases import OCCASIONS, REQUESTS
from tracktokens.pipelines.demo.spoiled import SPOILED_CONVERSATIONS
from tracktokens.pipelines.demo.tracks import BARE, DemoTrack, invent_tracks
from tracktokens.pipelines.demo.words import ARTISTS, CLUSTERS

pytestmark = pytest.mark.job


@pytest.fixture(scope="module")
def catalog() -> dict[str, DemoTrack]:
    return {track.track_id: track for track in invent_tracks(200, 0)}


@pytest.fixture(scope="module")
def talks(catalog: dict[str, DemoTrack]) -> list[DemoConversation]:
    return invent_conversations(list(catalog.values()), 1000, 0)


def named(message: dict) -> list[str]:
    return [*MENTION.findall(message["content"]), *message.get("tracks", [])]


def first_answers(talks: list[DemoConversation], start: str, end: str) -> list[tuple[str, list[str]]]:
    """Text between a prefix and a suffix in the first requests, and the recommended tracks."""
    pairs = [(talk.messages[0]["content"], named(talk.messages[1])) for talk in talks]
    return [(text[len(start) : -len(end)], found) for text, found in pairs if text.startswith(start)]


def test_listeners_and_assistants_take_turns_and_every_answer_recommends_one_to_three_tracks(talks):
    assert Counter(len(talk.messages) for talk in talks).keys() == {2, 4}
    for talk in talks:
        assert [message["role"] for message in talk.messages] == ["user", "assistant"] * (len(talk.messages) // 2)
        assert all(1 <= len(set(named(m))) == len(named(m)) <= 3 for m in talk.messages[1::2])


def test_every_named_track_is_in_the_catalog_and_the_one_of_which_nothing_is_known_is_never_named(catalog, talks):
    ids = {track_id for talk in talks for message in talk.messages for track_id in named(message)}
    assert ids <= set(catalog)
    assert f"trk{BARE:05d}" not in ids
    assert len(ids) > 150


def test_whoever_asks_for_an_artist_gets_that_artist(catalog, talks):
    found = first_answers(talks, "What do you have by ", "?")
    assert len(found) > 5
    for artist, ids in found:
        assert artist in {known.name for known in ARTISTS}
        assert {catalog[track_id].artist.name for track_id in ids} == {artist}


def test_whoever_sings_a_line_gets_a_song_that_has_it(catalog, talks):
    found = first_answers(talks, 'What is the song that goes "', '"?')
    assert len(found) > 5
    for line, ids in found:
        assert line
        assert all(line in catalog[track_id].row["lyrics"] for track_id in ids)


def test_an_occasion_gets_the_music_of_its_crowd(catalog, talks):
    crowds = {occasion: crowd for crowd, occasions in OCCASIONS.items() for occasion in occasions}
    found = first_answers(talks, "I need music for ", ".")
    assert len(found) > 5
    for occasion, ids in found:
        assert {catalog[track_id].cluster for track_id in ids} == {crowds[occasion]}


def test_what_is_like_a_track_is_of_its_crowd_and_is_another_track(catalog, talks):
    found = first_answers(talks, "More songs like ", "?")
    assert len(found) > 5
    for name, ids in found:
        meant = [t for t in catalog.values() if "title" in t.row and f'"{t.row["title"]}" by {t.artist.name}' == name]
        crowds = {track.cluster for track in meant}
        assert all(catalog[track_id].cluster in crowds for track_id in ids)
        assert len(meant) > 1 or meant[0].track_id not in ids


def test_a_second_answer_repeats_no_track_and_follows_what_the_listener_liked(catalog, talks):
    seconds = [talk.messages for talk in talks if len(talk.messages) == 4]
    assert all(not set(named(m[1])) & set(named(m[3])) for m in seconds)
    liked = [(named(m[1]), named(m[2]), named(m[3])) for m in seconds if named(m[2])]
    assert len(liked) > 50
    for first, [track_id], second in liked:
        assert track_id in first
        assert {catalog[other].cluster for other in second} == {catalog[track_id].cluster}


def test_popular_tracks_are_recommended_more_often(catalog, talks):
    counts = Counter(track_id for talk in talks for message in talk.messages[1::2] for track_id in named(message))
    ranked = sorted(catalog.values(), key=lambda track: track.popularity)
    rare, popular = (sum(counts[track.track_id] for track in part) for part in (ranked[:50], ranked[-50:]))
    assert popular > 2 * rare


def test_another_seed_gives_other_conversations_and_more_begin_with_the_same(catalog, talks):
    tracks = list(catalog.values())
    assert invent_conversations(tracks, 50, 0) == talks[:50]
    assert invent_conversations(tracks, 50, 1) != talks[:50]


def test_phrases_fit_together():
    assert set(WISHES) == set(REQUESTS)
    assert set(OCCASIONS) == set(CLUSTERS.values())


def test_rendering_rejects_exactly_the_spoiled_conversations(demo_run: DemoRun, tmp_path: Path) -> None:
    path, out = demo_run.catalog.conversations, tmp_path / "out.jsonl"
    options = ["--store", str(demo_run.store), "--out", str(out)]
    result = CliRunner().invoke(main, ["render", "conversations", str(path), *options])
    good, bad = demo_run.catalog.conversation_count, len(SPOILED_CONVERSATIONS)
    assert good == 2000
    assert result.output == f"{good + bad} read, {good} written, {bad} rejected\n"
    lines = path.read_text(encoding="utf-8").splitlines()
    rejects = [json.loads(line) for line in Path(f"{out}.rejects").read_text().splitlines()]
    assert {lines[reject["line"] - 1] for reject in rejects} == set(SPOILED_CONVERSATIONS)
