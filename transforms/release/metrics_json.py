"""Contents of ``metrics.json``, assembled from the counts and measures of a publish job."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from itertools import chain
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tracktokens.codebooks.bundle import Bundle
from tracktokens.codebooks.metrics.codebook_quality import CodebookQualityAccumulator
from tracktokens.schemas.tables.rejects import READ, REJECTS, TRACKS_TABLE
from tracktokens.transforms.release.measure_release import CODEBOOKS_FILE, NEIGHBOURS_FILE, TABLE_FILE
from tracktokens.transforms.store import files
from tracktokens.transforms.store.bundles import read_manifest, training_metrics
from tracktokens.transforms.store.layout import ReleasePaths, Store
from tracktokens.transforms.store.snapshots import Snapshot


def release_metrics(
    snapshot: Snapshot, bundle: Bundle, paths: ReleasePaths, measures: str, rows: Mapping[str, int]
) -> dict[str, Any]:
    """Assemble the metrics of a release.

    Args:
        snapshot: catalog of the release.
        bundle: its codebooks.
        paths: paths of the release.
        measures: folder with the measures of its job.
        rows: rows read, published and rejected.
    """
    codebooks = files.read_json(files.join(measures, CODEBOOKS_FILE))
    neighbours_path = files.join(measures, NEIGHBOURS_FILE)
    neighbours = files.read_json(neighbours_path) if files.exists(neighbours_path) else {}
    return {
        "rows": dict(rows),
        "rejects": count_rejects(paths.rejects),
        "modalities": {
            book.name: {
                **_code_usage(
                    codebooks[book.name]["quality"] if book.name in codebooks else _unused_quality(book.num_centroids),
                    rows["published"],
                ),
                "reserved": book.codebook_size,
                "neighbours": neighbours.get(book.name),
            }
            for book in bundle.codebooks
        },
        **files.read_json(files.join(measures, TABLE_FILE)),
        "inputs": {
            "distinct": dict(snapshot.manifest.inputs),
            "encoded": dict(snapshot.manifest.encoded),
            "failed": dict(snapshot.manifest.failed),
            "encoding_seconds": dict(snapshot.manifest.encoding_seconds),
            "decoding_seconds": dict(snapshot.manifest.decoding_seconds),
        },
        "vectors": dict(snapshot.manifest.vectors),
        "playlists": None if snapshot.playlists is None else asdict(snapshot.playlists),
        "ignored_columns": snapshot.manifest.ignored_columns,
    }


def training_variances(store: Store, bundle: Bundle) -> dict[str, float | None]:
    """Read the variance of each codebook's training vectors; None where it is not known."""
    manifest = read_manifest(store, bundle.bundle_id)
    training = {book.name: training_metrics(manifest, book.name) for book in bundle.codebooks}
    return {name: None if metrics is None else metrics.variance for name, metrics in training.items()}


def count_rejects(folder: str) -> dict[str, dict[str, int]]:
    """Count the rejects in a folder: table to reason to number of rows."""
    counts: dict[str, dict[str, int]] = {}
    for batch in files.read_folder(folder, REJECTS, ["table", "reason"]):
        grouped = pa.table(batch).group_by(["table", "reason"]).aggregate([([], "count_all")])
        for row in grouped.to_pylist():
            reasons = counts.setdefault(row["table"], {})
            reasons[row["reason"]] = reasons.get(row["reason"], 0) + row["count_all"]
    return {table: dict(sorted(reasons.items())) for table, reasons in sorted(counts.items())}


def count_failures(*folders: str) -> dict[str, Counter[str]]:
    """Count the tracks whose input could not be encoded: modality to reason to number of rejects in some folders."""
    failures: dict[str, Counter[str]] = {}
    columns = ["table", "modality", "stage", "reason"]
    for batch in chain.from_iterable(files.read_folder(folder, REJECTS, columns) for folder in folders):
        of_tracks = pc.and_(pc.equal(batch["table"], TRACKS_TABLE), pc.not_equal(batch["stage"], READ))
        for row in batch.filter(pc.and_(of_tracks, batch["modality"].is_valid())).to_pylist():
            failures.setdefault(row["modality"], Counter())[row["reason"]] += 1
    return dict(sorted(failures.items()))


def _unused_quality(centroids: int) -> dict[str, Any]:
    """Quality of a codebook without tracks."""
    return asdict(CodebookQualityAccumulator(centroids).finalize())


def _code_usage(quality: Mapping[str, Any], tracks: int) -> dict[str, Any]:
    used = quality["centroids"] - quality["dead_codes"]
    return {"coverage": quality["tracks"] / tracks if tracks else 0.0, "codes_used": used, **quality}
