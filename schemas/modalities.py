"""The modalities of a track, in token order: one record each, from which every list of modalities is derived.

A new modality is one entry of :data:`MODALITY_RECORDS` and an encoder for it. A text modality also has its template in
``transforms.catalog.scan_tracks.TEXTS``.
"""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["text", "audio", "playlist"]
"""Input of a modality: a text made of the track's row, an audio file that the row names, or the playlists table."""

ColumnType = Literal["string", "int32", "list<string>"]
"""Arrow type of an input column, as a name: the command line starts without Arrow."""


@dataclass(frozen=True)
class Column:
    """An input column of a modality: its name, and its Arrow type in ``schemas.tables``."""

    name: str
    type: ColumnType


@dataclass(frozen=True, kw_only=True)
class Modality:
    """Everything that belongs to one modality.

    Attributes:
        name: name in tokens, tables, folders and options.
        kind: where its input comes from.
        columns: input columns that make up its input: of the playlists table for the kind "playlist", else of the
            tracks table. A value of theirs that is rejected is lost for this modality.
        matching_weight: default weight when token tuples are matched.
    """

    name: str
    kind: Kind
    columns: tuple[Column, ...]
    matching_weight: float


PLAYLIST = "playlist"
TAGS = "tags"
METADATA = "metadata"
LYRICS = "lyrics"
AUDIO = "audio"

MODALITY_RECORDS = (
    Modality(name=PLAYLIST, kind="playlist", columns=(Column("track_ids", "list<string>"),), matching_weight=25.0),
    Modality(name=TAGS, kind="text", columns=(Column("tags", "list<string>"),), matching_weight=5.0),
    Modality(
        name=METADATA,
        kind="text",
        columns=(
            Column("title", "string"),
            Column("artist", "string"),
            Column("album", "string"),
            Column("year", "int32"),
        ),
        matching_weight=5.0,
    ),
    Modality(name=LYRICS, kind="text", columns=(Column("lyrics", "string"),), matching_weight=1.0),
    Modality(
        name=AUDIO,
        kind="audio",
        columns=(Column("audio_path", "string"), Column("audio_version", "string")),
        matching_weight=1.0,
    ),
)
"""Every modality, in the order of a track's tokens. The order is part of the vocabulary."""

MODALITIES = tuple(modality.name for modality in MODALITY_RECORDS)
"""Names of all modalities, in the order of a track's tokens."""

TEXT_MODALITIES = tuple(modality.name for modality in MODALITY_RECORDS if modality.kind == "text")
"""Modalities whose input is text out of the track's own row."""

CONTENT_MODALITIES = tuple(modality.name for modality in MODALITY_RECORDS if modality.kind != "playlist")
"""Modalities whose input comes with the track. A playlist vector comes from the playlists that hold the track."""

MATCHING_WEIGHTS = tuple(modality.matching_weight for modality in MODALITY_RECORDS)
"""Default weights of matching, in token order: TalkPlay's (arXiv 2502.13713)."""

MODALITY_OF_COLUMN = {column.name: modality.name for modality in MODALITY_RECORDS for column in modality.columns}
"""Input column to the modality that it belongs to; other columns belong to no single modality."""
