"""The modalities of a track, in token order: one record each, from which every list of modalities is derived.

A new modality is one entry of :data:`MODALITY_RECORDS` and an encoder for it. A text modality also has its template in
``transforms.catalog.scan_tracks.TEXTS``.
"""

from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

Kind = Literal["text", "audio", "playlist"]
"""Input of a modality: a text made of the track's row, an audio file that the row names, or the playlists table."""


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
    columns: tuple[pa.Field, ...]
    matching_weight: float


PLAYLIST = "playlist"
TAGS = "tags"
METADATA = "metadata"
LYRICS = "lyrics"
AUDIO = "audio"

_STRINGS = pa.list_(pa.string())

MODALITY_RECORDS = (
    Modality(name=PLAYLIST, kind="playlist", columns=(pa.field("track_ids", _STRINGS),), matching_weight=25.0),
    Modality(name=TAGS, kind="text", columns=(pa.field("tags", _STRINGS),), matching_weight=5.0),
    Modality(
        name=METADATA,
        kind="text",
        columns=(
            pa.field("title", pa.string()),
            pa.field("artist", pa.string()),
            pa.field("album", pa.string()),
            pa.field("year", pa.int32()),
        ),
        matching_weight=5.0,
    ),
    Modality(name=LYRICS, kind="text", columns=(pa.field("lyrics", pa.string()),), matching_weight=1.0),
    Modality(
        name=AUDIO,
        kind="audio",
        columns=(pa.field("audio_path", pa.string()), pa.field("audio_version", pa.string())),
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


def columns_of(*names: str) -> tuple[pa.Field, ...]:
    """Input columns of some modalities, in the order of the names.

    Example:
        >>> [column.name for column in columns_of(TAGS, AUDIO)]
        ['tags', 'audio_path', 'audio_version']
    """
    by_name = {modality.name: modality for modality in MODALITY_RECORDS}
    return tuple(column for name in names for column in by_name[name].columns)
