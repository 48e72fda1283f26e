"""Complete the folder of a release after its tables: rejects, changes, vocabulary, metrics, manifest."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from tracktokens.codebooks.bundle import Bundle
from tracktokens.codebooks.codebook import save_sorted
from tracktokens.codebooks.tokens.vocabulary import added_tokens_json, tokens_json
from tracktokens.schemas.manifests.release import ReleaseManifest
from tracktokens.schemas.tables.rejects import REJECTS
from tracktokens.schemas.tables.token_changes import CHANGES
from tracktokens.transforms.release.draft import ReleaseDraft
from tracktokens.transforms.release.drift_baseline import DriftReport
from tracktokens.transforms.release.metrics_json import release_metrics
from tracktokens.transforms.release.number_tracks import NUMBER_OVERFLOW
from tracktokens.transforms.release.token_changes import changes_by_modality
from tracktokens.transforms.release.write_serving import write_serving
from tracktokens.transforms.runtime.counters import read_counts, require_balance
from tracktokens.transforms.store import files
from tracktokens.transforms.store.layout import ReleasePaths
from tracktokens.transforms.store.snapshots import Snapshot


def reconcile_published(draft: ReleaseDraft) -> dict[str, int]:
    """Check that every row of the catalog was published or rejected; return ``read``, ``published``, ``rejected``.

    Raises:
        TracktokensError: rows are unaccounted for, which is a bug in tracktokens.
    """
    published = 0
    for path in files.list_files(draft.paths.tokens, ".parquet"):
        with files.open_parquet(path) as file:
            published += file.metadata.num_rows
    read, rejected = draft.snapshot.manifest.rows_read, draft.snapshot.manifest.rows_rejected
    for kept in (published, read_counts(draft.counts)["rows_published"]):
        require_balance("rows", read, kept, "in the token table", rejected)
    return {"read": read, "published": published, "rejected": rejected}


def assemble(draft: ReleaseDraft, rows: Mapping[str, int], drift: DriftReport | None) -> dict[str, Any]:
    """Write all files of a release but its token table and its report, and remove the working files of its job.

    Args:
        draft: the release, whose tables are written.
        rows: rows read, published and rejected.
        drift: drift since the usage baseline; None for the first release of a bundle.

    Returns:
        The content of ``metrics.json``.
    """
    _gather_rejects(draft.snapshot, draft.paths.rejects)
    if draft.previous is not None:
        _add_empty_file(draft.paths.changes, CHANGES)
    write_vocabulary(draft.bundle, draft.paths)
    write_serving(draft.table, rows["published"])
    counts = read_counts(draft.counts)
    tokens = draft.bundle.token_format
    metrics = {
        **release_metrics(draft.snapshot, draft.bundle, draft.paths, draft.measures, rows),
        **({"numbers": {"size": tokens.numbers, "overflow": counts[NUMBER_OVERFLOW]}} if tokens.numbers else {}),
        "popularity": draft.popularity,
        "changes": None if draft.previous is None else changes_by_modality(counts, draft.columns),
        "drift": None if drift is None else drift.to_json(),
    }
    files.write_json(draft.paths.metrics, metrics)
    files.delete_tree(draft.counts)
    files.delete_tree(draft.measures)
    return metrics


def release_manifest(draft: ReleaseDraft, rows: Mapping[str, int], options: Mapping[str, Any]) -> ReleaseManifest:
    """Describe an assembled release, with its files' hashes and the catalog's and the job's options. Writes nothing."""
    return ReleaseManifest(
        release_id=draft.release_id,
        bundle_id=draft.bundle.bundle_id,
        catalog_id=draft.snapshot.manifest.catalog_id,
        codebook_size=draft.bundle.codebook_size,
        encoders=draft.snapshot.encoders,
        rows=rows,
        files=_file_hashes(draft.folder),
        previous=None if draft.previous is None else draft.previous.release_id,
        popularity=draft.popularity,
        options={**(draft.snapshot.manifest.options or {}), **options} or None,
        tokens=draft.bundle.token_format.to_json(),
    )


def write_vocabulary(bundle: Bundle, paths: ReleasePaths) -> None:
    """Write the vocabulary of a bundle: its tokens in order, as Hugging Face loads them, and its centroids."""
    tokens = bundle.token_format
    files.write_json(paths.token_list, tokens_json(bundle.bundle_id, tokens))
    files.write_json(paths.added_tokens, added_tokens_json(tokens))
    centroids = {book.name: np.ascontiguousarray(book.centroids) for book in bundle.codebooks}
    packed = save_sorted(centroids, {"bundle": bundle.bundle_id, "format": "1"})
    files.write_bytes(paths.centroids, packed)


def _gather_rejects(snapshot: Snapshot, rejects: str) -> None:
    """Copy the rejects of the catalog scan to those of encoding."""
    for folder in (snapshot.catalog.rejects, snapshot.catalog.playlist_rejects):
        files.copy_files(files.list_files(folder, ".parquet"), rejects)
    _add_empty_file(rejects, REJECTS)


def _add_empty_file(folder: str, schema: pa.Schema) -> None:
    """Write a file without rows into a folder without files, so that readers find the schema."""
    if not files.list_files(folder, ".parquet"):
        files.write_batches(files.join(folder, "none.parquet"), schema, [])


def _file_hashes(folder: str) -> dict[str, dict[str, Any]]:
    return {
        path: {"bytes": size, "sha256": files.sha256(files.join(folder, path), size)}
        for path, size in files.list_tree(folder).items()
    }
