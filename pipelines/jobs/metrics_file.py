"""The file of ``--metrics-file``: figures of a published release, for the textfile collector of a node exporter.

It is written when a release is published or found up to date, and at no other time: after a failure it has the figures
of the last success, whose age is that of ``tracktokens_last_success_timestamp_seconds``.
"""

import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from tracktokens.schemas.errors import UsageError
from tracktokens.transforms.store.user_files import check_output, open_output

if TYPE_CHECKING:
    from tracktokens.pipelines.jobs.run import RunResult

SUFFIX = ".prom"
"""Ending of the files that the node exporter reads."""

Sample = tuple[Mapping[str, str], float]
"""Labels and value."""


def check_metrics_file(path: str, store: str) -> None:
    """Check before a job that the file can be written.

    Raises:
        UsageError: it cannot, or the node exporter would not read it.
    """
    if not path.endswith(SUFFIX):
        raise UsageError(f"--metrics-file {path}: the node exporter reads files that end with {SUFFIX} only")
    check_output(path, store=store)


def write_metrics_file(path: str, outcome: "RunResult") -> None:
    """Write the figures of a run or a refresh, in the text format of Prometheus.

    Raises:
        UsageError: the file cannot be written.
    """
    from prometheus_client import CollectorRegistry, Gauge, generate_latest

    registry = CollectorRegistry()
    for name, help_text, samples in _figures(outcome):
        gauge: Gauge | None = None
        for labels, value in samples:
            gauge = gauge or Gauge(f"tracktokens_{name}", help_text, list(labels), registry=registry)
            (gauge.labels(**labels) if labels else gauge).set(value)
    with open_output(path) as file:
        file.write(generate_latest(registry))


def _figures(outcome: "RunResult") -> Iterator[tuple[str, str, list[Sample]]]:
    """Yield the name, the description and the samples of each figure."""
    manifest, metrics = outcome.release.manifest, outcome.release.metrics
    yield (
        "last_success_timestamp_seconds",
        "Time at which the release was published, or found up to date.",
        [({}, time.time())],
    )
    info = {"release": manifest.release_id, "bundle": manifest.bundle_id}
    yield "release_info", "The release that was published, and its codebooks.", [(info, 1)]
    yield "rows", "Rows of the tracks table.", [({"state": state}, rows) for state, rows in metrics["rows"].items()]
    yield (
        "rejects",
        "Rejects, by table and reason.",
        [
            ({"table": table, "reason": reason}, rows)
            for table, reasons in metrics["rejects"].items()
            for reason, rows in reasons.items()
        ],
    )
    yield (
        "coverage_ratio",
        "Share of tracks that have the modality's token.",
        [({"modality": modality}, found["coverage"]) for modality, found in metrics["modalities"].items()],
    )
    yield (
        "changed_tokens",
        "Tokens that changed since the previous release, by reason.",
        [
            ({"modality": modality, "reason": reason}, tokens)
            for modality, reasons in (metrics["changes"] or {}).items()
            for reason, tokens in reasons.items()
        ],
    )
    yield (
        "stability_index",
        "Population stability index of the codes since the usage baseline.",
        [
            ({"modality": modality}, moved["stability_index"])
            for modality, moved in ((metrics["drift"] or {}).get("modalities") or {}).items()
        ],
    )
    yield (
        "stage_seconds",
        "Wall time of each stage.",
        [({"stage": stage}, seconds) for stage, seconds in outcome.seconds.items()],
    )
