"""Whole small jobs of the fuzz tests, and what holds for every release."""

import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet as pq

from tests.support.fuzz_catalog import CODES
from tracktokens.codebooks.tokens.rendering import TOKEN
from tracktokens.pipelines.catalog_source import CatalogSource
from tracktokens.pipelines.jobs.embed import EmbedJob
from tracktokens.pipelines.jobs.publish import PublishJob
from tracktokens.pipelines.jobs.refresh import RefreshJob
from tracktokens.pipelines.jobs.run import RunJob, RunResult
from tracktokens.pipelines.jobs.tokenize import TokenizeJob
from tracktokens.pipelines.runner import PipelineRunner
from tracktokens.schemas.modalities import MODALITIES
from tracktokens.schemas.tables.rejects import ID_EMPTY, ID_MISSING, ROW_REASONS, TRACKS_TABLE


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder for one example; deleted at its end."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def run(catalog: CatalogSource, store: Path) -> RunResult:
    return RunJob(source=catalog, store=str(store), codebook_size=CODES).run(PipelineRunner())


def refresh(catalog: CatalogSource, store: Path) -> RunResult:
    return RefreshJob(source=catalog, store=str(store)).run(PipelineRunner())


def tokens(release: str) -> dict[str, str]:
    rows = pq.read_table(f"{release}/tokens")
    return dict(zip(rows["track_id"].to_pylist(), rows["tokens"].to_pylist(), strict=True))


def reject_reasons(release: str) -> Counter[tuple[str, str | None, str | None, str]]:
    """Count the rejects. An empty id is the same as none: CSV has no difference between them."""
    rows = pq.read_table(f"{release}/rejects").to_pylist()
    reasons = {ID_EMPTY: ID_MISSING}
    return Counter(
        (row["table"], row["track_id"] or None, row["modality"], reasons.get(row["reason"], row["reason"]))
        for row in rows
    )


def check_release(outcome: RunResult, rows: int) -> None:
    """Check what holds for every release: rows in = rows out + rejects; five well-formed tokens for each track."""
    published, rejected = tokens(outcome.release.folder), reject_reasons(outcome.release.folder)
    lost = sum(count for (table, _, _, why), count in rejected.items() if table == TRACKS_TABLE and why in ROW_REASONS)
    assert outcome.catalog.rows_read == rows
    assert rows == len(published) + lost
    for track_id, text in published.items():
        assert 0 < len(track_id.encode()) <= 256
        assert "".join(TOKEN.findall(text)) == text
        assert [token[2:].split("_")[0] for token in TOKEN.findall(text)] == list(MODALITIES)


def fresh_tokens(source: CatalogSource, store: Path, codebooks: Path) -> dict[str, str]:
    """Tokenize a catalog in a store of its own, with the codebooks of another."""
    embedded = EmbedJob(source=source, store=str(store)).run(PipelineRunner())
    shutil.copytree(codebooks, store / "codebooks" / codebooks.name)
    ids = {"store": str(store), "bundle_id": codebooks.name, "catalog_id": embedded.catalog_id}
    TokenizeJob(**ids).run(PipelineRunner())
    return tokens(PublishJob(**ids).run(PipelineRunner()).folder)
