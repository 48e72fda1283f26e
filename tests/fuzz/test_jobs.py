"""Whole small jobs over odd catalogs. Whatever the rows hold, what holds for every release holds for theirs."""

import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.fuzz_catalog import CODES, FORMATS, examples, source, write
from tests.support.strategies import Catalog, edits, typed_catalogs, wild_catalogs
from tracktokens.codebooks.tokens.rendering import TOKEN
from tracktokens.pipelines.catalog_source import CatalogSource
from tracktokens.pipelines.jobs.embed import EmbedJob
from tracktokens.pipelines.jobs.publish import PublishJob
from tracktokens.pipelines.jobs.refresh import RefreshJob
from tracktokens.pipelines.jobs.run import RunJob, RunResult
from tracktokens.pipelines.jobs.tokenize import TokenizeJob
from tracktokens.pipelines.maintenance.verify import verify_store
from tracktokens.pipelines.runner import PipelineRunner
from tracktokens.schemas.modalities import MODALITIES
from tracktokens.schemas.tables.rejects import ID_EMPTY, ID_MISSING, ROW_REASONS, TRACKS_TABLE

pytestmark = [pytest.mark.job, pytest.mark.timeout(3600)]


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
    """Count the rejects. An empty id is the same as none: CSV cannot tell them apart."""
    rows = pq.read_table(f"{release}/rejects").to_pylist()
    reasons = {ID_EMPTY: ID_MISSING}
    return Counter(
        (row["table"], row["track_id"], row["modality"], reasons.get(row["reason"], row["reason"])) for row in rows
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


@examples(70)
@given(catalog=typed_catalogs(), formats=st.permutations(FORMATS))
def test_formats_agree_and_a_refresh_of_nothing_changes_nothing(catalog: Catalog, formats: list[str]) -> None:
    with scratch() as folder:
        write(catalog, folder, formats[0])
        first = run(source(folder, formats[0]), folder / "store")
        check_release(first, len(catalog.tracks))
        for form in formats[1:]:
            write(catalog, folder, form)
            again = refresh(source(folder, form), folder / "store")
            check_release(again, len(catalog.tracks))
            assert tokens(again.release.folder) == tokens(first.release.folder)
            assert reject_reasons(again.release.folder) == reject_reasons(first.release.folder)
            assert pq.read_table(f"{again.release.folder}/changes").num_rows == 0
            assert not any(again.catalog.encoded.values())


@examples(60)
@given(data=st.data(), catalog=wild_catalogs())
def test_a_refresh_equals_a_fresh_run_under_the_same_bundle(data: st.DataObject, catalog: Catalog) -> None:
    edited = data.draw(edits(catalog))
    with scratch() as folder:
        write(catalog, folder, "jsonl")
        first = run(source(folder, "jsonl", playlists=False), folder / "store")
        write(edited, folder, "jsonl")
        refreshed = refresh(source(folder, "jsonl", playlists=False), folder / "store")
        check_release(refreshed, len(edited.tracks))
        assert tokens(refreshed.release.folder) == fresh_tokens(folder, first.bundle.bundle_id)


@examples(70)
@given(catalog=wild_catalogs())
def test_any_rows_are_published_or_rejected(catalog: Catalog) -> None:
    with scratch() as folder:
        write(catalog, folder, "jsonl")
        outcome = run(source(folder, "jsonl"), folder / "store")
        check_release(outcome, len(catalog.tracks) + len(catalog.junk))
        assert verify_store(str(folder / "store"), PipelineRunner()) == []


def fresh_tokens(folder: Path, bundle_id: str) -> dict[str, str]:
    """Tokenize the catalog in a store of its own, with the codebooks of the other."""
    store = folder / "fresh"
    embedded = EmbedJob(source=source(folder, "jsonl"), store=str(store)).run(PipelineRunner())
    shutil.copytree(folder / "store" / "codebooks" / bundle_id, store / "codebooks" / bundle_id)
    ids = {"store": str(store), "bundle_id": bundle_id, "catalog_id": embedded.catalog_id}
    TokenizeJob(**ids).run(PipelineRunner())
    return tokens(PublishJob(**ids).run(PipelineRunner()).folder)
