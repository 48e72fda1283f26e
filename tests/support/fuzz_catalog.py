"""Catalogs of the fuzz tests: written in every format, tokenized with an encoder that needs no model."""

import csv
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import settings

from tests.support.strategies import COLUMNS, Catalog, Row
from tracktokens.pipelines.catalog_source import CatalogSource
from tracktokens.schemas.modalities import TEXT_MODALITIES
from tracktokens.schemas.tables.playlists import PLAYLISTS
from tracktokens.schemas.tables.tracks import TRACKS
from tracktokens.transforms.encoders.base import Encoded, Encoder, LoadedEncoder

CODES = 4

TIMES = float(os.environ.get("FUZZ_TIMES", "1"))
"""Factor of the number of examples."""

FORMATS = ("jsonl", "csv", "parquet")


def examples(number: int) -> settings:
    """Draw so many examples of a test, times ``FUZZ_TIMES``."""
    return settings(max_examples=round(number * TIMES))


class HashEncoder(Encoder):
    """A text encoder whose vectors are hashes."""

    def identity(self) -> Mapping[str, object]:
        return {"name": "hash"}

    def load(self, threads: int) -> LoadedEncoder:
        return _LoadedHash()


class _LoadedHash(LoadedEncoder):
    def encode(self, inputs: pa.StringArray) -> Encoded:
        digests = (hashlib.sha256(text.encode()).digest() for text in inputs.to_pylist())
        vectors = np.stack([np.frombuffer(digest, np.uint8).astype(np.float32) - 127.5 for digest in digests])
        return Encoded(vectors, {})


def source(folder: Path, form: str, *, playlists: bool = True) -> CatalogSource:
    """The catalog in a folder, with hashes as encoders. Any share of rows and inputs may be rejected or removed."""
    return CatalogSource(
        tracks=str(folder / f"tracks.{form}"),
        playlists=str(folder / f"playlists.{form}") if playlists else None,
        encoders=dict.fromkeys(TEXT_MODALITIES, HashEncoder()),
        max_reject_rate=1.0,
        max_lost=1.0,
        max_removed=1.0,
    )


def write(catalog: Catalog, folder: Path, form: str) -> None:
    """Write a catalog as ``tracks`` and ``playlists`` of a format."""
    folder.mkdir(exist_ok=True)
    writer = {"jsonl": _write_json_lines, "csv": _write_csv, "parquet": _write_parquet}[form]
    writer(folder / f"tracks.{form}", catalog.tracks, TRACKS)
    writer(folder / f"playlists.{form}", catalog.playlists, PLAYLISTS)
    if catalog.junk:
        with (folder / f"tracks.{form}").open("a", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in catalog.junk)


def _write_json_lines(path: Path, rows: Iterable[Row], schema: pa.Schema) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def _write_csv(path: Path, rows: Iterable[Row], schema: pa.Schema) -> None:
    names = [name for name in schema.names if name in (*COLUMNS, *PLAYLISTS.names)]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        writer.writerows([_cell(row.get(name)) for name in names] for row in rows)


def _cell(value: object) -> object:
    return json.dumps(value) if isinstance(value, list) else value


def _write_parquet(path: Path, rows: list[Row], schema: pa.Schema) -> None:
    fields = [schema.field(name).with_nullable(True) for name in schema.names if any(name in row for row in rows)]
    pq.write_table(pa.Table.from_pylist(rows, pa.schema(fields)), path, row_group_size=5)
