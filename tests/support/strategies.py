"""Hypothesis strategies of catalogs as they are found: odd ids, texts, numbers, lists, files and conversations."""

from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from tracktokens.schemas.tables.tracks import MAX_ID_BYTES

SOUND_ROWS = 8
"""Tracks without a fault that every catalog begins with, so that it can be published."""

ODD_TEXTS = (
    "",
    " ",
    "\u200b",
    "\ufeff",
    "\u0000",
    "a\r\nb\rc\nd\u2028e",
    'he said "no", twice',
    "semi;colon|bar,comma\ttab",
    "[/b]",
    "[bold]:smile:[/]",
    "<|track|><|audio_5|>",
    "<|aud<|audio_5|>io_5|>",
    "ΛΑΪΚΟΣ λαϊκος",
    "İstanbul Straße ﬁ",
    "e\u0301 é \U0001f468\u200d\U0001f469\u200d\U0001f467",
    "\u202eright to left\u202c",
    "[00:58:01.10]night [1:02:03,5]<00:01>fall",
    "[Chorus]\nx2 (2x) [Verse 1: Someone]",
    "&amp;amp;lt;br&gt;" * 5,
    "NULL",
    "NaN",
    "{a,b}",
    "['a', 'b']",
    '["a", "b"]',
    "a" * 5000,
)

ODD_IDS = (
    "007",
    "7",
    " 7",
    "7 ",
    "live[1]",
    "a/b\\c",
    "../x",
    "a,b",
    '"quoted"',
    "e\u0301",
    "é",
    "i" * MAX_ID_BYTES,
    "i" * (MAX_ID_BYTES + 1),
    "\u200b",
    "",
    "None",
    "=1+1",
)

text_characters = st.characters(exclude_categories=("Cs",))  # a lone surrogate is not text in any format

texts = st.one_of(st.sampled_from(ODD_TEXTS), st.text(text_characters, max_size=30))
ids = st.one_of(st.sampled_from(ODD_IDS), st.from_regex(r"[a-z]{1,3}[0-9]{0,2}", fullmatch=True), texts)
years = st.one_of(st.integers(-(2**31), 2**31 - 1), st.sampled_from([0, 1999, 20231, -1]))
popularities = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0.0, -0.0, 1e308, -1e39, 3.4e38, 1e-320, 0.5, 100.0]),
)
tag_lists = st.lists(texts, max_size=5)

JSON_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**63), st.floats(), texts, popularities),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=6,
)
"""Any value of a JSON parser; ``NaN`` and infinities as Python writes them."""

TYPED = {
    "title": texts,
    "artist": texts,
    "album": texts,
    "year": years,
    "tags": tag_lists,
    "lyrics": texts,
    "popularity": popularities,
}
"""Column to values of its own type."""

COLUMNS = ("track_id", *TYPED)

Row = dict[str, Any]


def sound_rows() -> list[Row]:
    """Rows that nothing is wrong with, and whose texts differ."""
    words = ("road", "light", "moon", "love", "city", "dream", "heart", "rain")
    return [
        {"track_id": f"sound{n}", "title": f"{word} song", "artist": f"band {n % 3}", "year": 1990 + n}
        | {"tags": [word, "all"], "lyrics": f"the {word} goes on", "popularity": float(n)}
        for n, word in enumerate(words[:SOUND_ROWS])
    ]


@st.composite
def sizes(draw: st.DrawFn, few: int) -> dict[str, int]:
    """Bounds of a list: mostly of many rows, since a job takes as long for few."""
    many = draw(st.sampled_from([few, 4 * few, 4 * few]))
    return {"min_size": many - few, "max_size": many}


@st.composite
def typed_rows(draw: st.DrawFn, few: int = 8) -> list[Row]:
    """Rows whose values have the types of their columns, so that every format can hold them."""
    row = st.fixed_dictionaries({"track_id": ids}, optional={})
    values = st.fixed_dictionaries({name: st.one_of(st.none(), value) for name, value in TYPED.items()})
    pairs = draw(st.lists(st.tuples(row, values), **draw(sizes(few))))
    return [{**first, **rest} for first, rest in pairs]


@st.composite
def wild_rows(draw: st.DrawFn, few: int = 8) -> list[Row]:
    """Rows of JSON objects: any column may be absent or hold any value, and there may be other columns."""
    names = st.one_of(st.sampled_from([*COLUMNS, "audio_path", "Title", "year "]), texts)
    return draw(st.lists(st.dictionaries(names, JSON_VALUES, max_size=6), **draw(sizes(few))))


@dataclass(frozen=True)
class Catalog:
    """Rows of tracks and of playlists.

    Attributes:
        tracks: rows of the tracks table.
        playlists: rows of the playlists table.
        junk: lines that are put among the rows of a JSON Lines file: text that is not JSON, or not an object.
    """

    tracks: list[Row]
    playlists: list[Row]
    junk: list[str] = field(default_factory=list)


def sound_playlists() -> list[Row]:
    """Playlists that nothing is wrong with, of the sound rows."""
    known = [f"sound{n}" for n in range(SOUND_ROWS)]
    return [{"playlist_id": f"sound{n}", "track_ids": known[n:] + known[:n]} for n in range(4)]


@st.composite
def playlists_of(draw: st.DrawFn, tracks: list[Row]) -> list[Row]:
    """Playlists of a catalog's tracks, of unknown tracks, and of none; the first are sound."""
    known = [f"sound{n}" for n in range(SOUND_ROWS)]
    named = known + [row["track_id"] for row in tracks if isinstance(row.get("track_id"), str)]
    entry = st.one_of(st.sampled_from(named), ids)
    row = st.fixed_dictionaries({"playlist_id": ids, "track_ids": st.one_of(st.none(), st.lists(entry, max_size=6))})
    return sound_playlists() + draw(st.lists(row, **draw(sizes(5))))


@st.composite
def typed_catalogs(draw: st.DrawFn) -> Catalog:
    """A catalog that every format can hold."""
    tracks = sound_rows() + draw(typed_rows())
    return Catalog(tracks, draw(playlists_of(tracks)))


@st.composite
def wild_catalogs(draw: st.DrawFn) -> Catalog:
    """A catalog as JSON Lines may hold it."""
    tracks = sound_rows() + draw(typed_rows(few=4)) + draw(wild_rows())
    junk = draw(st.lists(st.sampled_from(["{", "[]", "17", '"text"', "null", "\x00", "{}", "[" * 1100]), max_size=3))
    return Catalog(tracks, draw(playlists_of(tracks)), junk)


@st.composite
def edits(draw: st.DrawFn, catalog: Catalog) -> Catalog:
    """The catalog at the next refresh: some rows gone, some changed, some new; the order may differ."""
    old = catalog.tracks[SOUND_ROWS:]
    kept = [row for row in old if draw(st.booleans())]
    changed = [{**row, "title": "another", "lyrics": None} for row in kept if draw(st.booleans())]
    names = {str(row.get("track_id")) for row in changed}
    rest = [row for row in kept if str(row.get("track_id")) not in names]
    return Catalog(catalog.tracks[: SOUND_ROWS - 1] + changed + rest + draw(typed_rows(few=3)), catalog.playlists)


@st.composite
def conversations(draw: st.DrawFn, known: list[str]) -> Row:
    """A chat whose texts mention tracks, known and unknown, and whose other keys hold anything."""
    mention = st.one_of(st.sampled_from(known), ids).map(lambda track_id: f"[track:{track_id}]")
    content = st.lists(st.one_of(texts, mention), max_size=4).map(" ".join)
    extra = st.dictionaries(st.sampled_from(["name", "tool_calls", "weight", "tool_call_id"]), JSON_VALUES, max_size=2)
    tracks = st.one_of(st.none(), st.lists(st.sampled_from(known), max_size=2))
    roles = st.one_of(st.sampled_from(["user", "assistant", "system", "tool"]), texts)

    def message(parts: tuple[str, str, Row, list[str] | None]) -> Row:
        role, text, rest, named = parts
        return {"role": role, **rest, "content": text} | ({} if named is None else {"tracks": named})

    messages = draw(st.lists(st.tuples(roles, content, extra, tracks).map(message), max_size=4))
    return {
        **draw(st.dictionaries(st.sampled_from(["id", "title", "meta"]), JSON_VALUES, max_size=2)),
        "messages": messages,
    }
