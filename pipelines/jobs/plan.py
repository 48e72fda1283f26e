"""The plan job: count what a refresh would do. Nothing is encoded, and the store does not change."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import apache_beam as beam
from rich.console import Group
from rich.table import Table

from tracktokens.pipelines.jobs.embed import EmbedJob
from tracktokens.pipelines.jobs.refresh import RefreshJob, check_encoders
from tracktokens.pipelines.maintenance.bucket_jobs import working_folder
from tracktokens.pipelines.runner import PipelineRunner
from tracktokens.schemas.modalities import AUDIO
from tracktokens.transforms.catalog.dry_run import CountBytes, OnlyAudio
from tracktokens.transforms.catalog.find_missing import WANTED_TAG
from tracktokens.transforms.catalog.key_diff import CHANGES
from tracktokens.transforms.catalog.scan_catalog import ReadMissing, ScanInputs
from tracktokens.transforms.catalog.snapshot_writer import DryRunWriter
from tracktokens.transforms.readers.fragments import Fragment
from tracktokens.transforms.runtime.arrow_coder import Count, Keyed
from tracktokens.transforms.runtime.counters import WriteCounts, read_counts
from tracktokens.transforms.store import files
from tracktokens.transforms.store.layout import Store
from tracktokens.transforms.store.releases import published_release
from tracktokens.transforms.store.snapshots import Snapshot, complete_catalogs, open_snapshot, released_snapshot

ROWS = ("read", "rejected", "new", "changed", "removed")
MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Coverage:
    """Shares of tracks, 0 to 1: of the release's catalog, and of the catalog that was scanned."""

    before: float
    after: float


@dataclass(frozen=True)
class Plan:
    """The work that a refresh would do.

    Attributes:
        release_id: the release that it would follow.
        rows: rows read and rejected, and tracks that are new, changed or removed.
        inputs: modality to distinct inputs that would be encoded, or precomputed embeddings that would be stored.
        coverage: modality to the share of tracks that have its input, in the release and in the catalog. Those that
            cannot be used are among them.
        tokens: modality to the tracks that may get their first token, another, or none any more: ``new``, ``changed``
            and ``removed``. An input with another key may get the same code.
        audio_bytes: size of the audio files among them.
        seconds: modality to estimated encoding time, at the rate of the last runs; None if no run encoded any.
        refused: why the refresh would fail, and what to do; None if the catalog is within all limits.
    """

    release_id: str
    rows: Mapping[str, int]
    inputs: Mapping[str, int]
    coverage: Mapping[str, Coverage]
    tokens: Mapping[str, Mapping[str, int]]
    audio_bytes: int
    seconds: Mapping[str, float | None]
    refused: str | None

    def to_json(self) -> dict[str, Any]:
        """Convert to JSON values."""
        return asdict(self)


def plan_refresh(job: RefreshJob, runner: PipelineRunner) -> Plan:
    """Diff a catalog against the latest release and the store.

    Tracks that would be folded into the playlists are not counted: that takes a pass over all playlists.

    Raises:
        UsageError: the store is missing or has no release, or an input is missing.
        InvalidDataError: the release's catalog is missing, the encoders are not the release's, or the catalog cannot
            be read.
    """
    job.source.check_reachable(job.store, runner)
    job.source.check_apart_from(job.store)
    store = Store.open(job.store)
    latest = published_release(store)
    previous = released_snapshot(store, latest)
    embed = job.embed_job(latest)
    check_encoders(previous.manifest.encoders, latest.release_id, embed.encoder_ids)
    fragments = embed.fragments
    counts = _count(embed, store, previous, fragments, runner)
    embed.warn(counts)
    inputs = {modality: counts[f"missing/{modality}"] for modality in previous.manifest.encoders}
    return Plan(
        release_id=latest.release_id,
        rows={name: counts[f"rows_{name}"] for name in ROWS},
        inputs=inputs,
        coverage={modality: _coverage(previous, counts, modality) for modality in inputs},
        tokens={modality: {change: counts[f"keys_{change}/{modality}"] for change in CHANGES} for modality in inputs},
        audio_bytes=counts["audio_bytes"],
        seconds=_estimate(store, inputs),
        refused=embed.gates.find_violation(counts),
    )


def plan_report(plan: Plan) -> Group:
    """Format a plan as a table of rows, and a table of modalities."""
    rows = Table("a refresh would", "")
    for name in ROWS:
        rows.add_row(f"rows {name}", str(plan.rows[name]))
    rows.add_row("audio to read", f"{plan.audio_bytes / MEGABYTE:.1f} MB")
    modalities = Table("tokens", "encode", "seconds", "coverage", "now", *CHANGES)
    for modality, count in plan.inputs.items():
        spent, coverage = plan.seconds[modality], plan.coverage[modality]
        modalities.add_row(
            modality,
            str(count),
            "-" if spent is None else f"{spent:.0f}",
            f"{coverage.after:.1%}",
            f"{coverage.before:.1%}",
            *(str(plan.tokens[modality][change]) for change in CHANGES),
        )
    return Group(rows, modalities)


def _coverage(previous: Snapshot, counts: Mapping[str, int], modality: str) -> Coverage:
    manifest = previous.manifest
    return Coverage(
        before=previous.tracks_with(modality) / max(1, manifest.rows_accepted),
        after=counts[f"tracks_with/{modality}"] / max(1, counts["rows_accepted"]),
    )


def _count(
    embed: EmbedJob, store: Store, previous: Snapshot, fragments: list[Fragment], runner: PipelineRunner
) -> Mapping[str, int]:
    """Scan as a refresh does, and count."""
    with working_folder(store, runner) as folder:
        path = files.join(folder, "plan.json")
        inputs = ScanInputs.spill(fragments, embed.precomputed, folder)
        runner.run(partial(_build, embed, store, previous, inputs, runner, path))
        return read_counts(path)


def _build(
    embed: EmbedJob,
    store: Store,
    previous: Snapshot,
    inputs: ScanInputs,
    runner: PipelineRunner,
    path: str,
    pipeline: beam.Pipeline,
) -> None:
    scan = embed.scan(store, inputs, previous.catalog, DryRunWriter(), runner.progress)
    scanned = scan.add_to(pipeline)
    counts = list(scanned.counts)
    if AUDIO in embed.encoders and (audio_root := embed.source.absolute_audio_root) is not None:
        audio = scanned.missing[WANTED_TAG] | beam.ParDo(OnlyAudio()).with_output_types(Keyed)
        size = CountBytes(audio_root=audio_root)
        counts.append(
            audio | ReadMissing(inputs.fragments, store.buckets, audio_root) | "count bytes" >> _counting(size)
        )
    counts | "all counts" >> beam.Flatten() | "write counts" >> WriteCounts(path)


def _counting(dofn: beam.DoFn) -> beam.PTransform:
    return beam.ParDo(dofn).with_output_types(Count)


def _estimate(store: Store, inputs: Mapping[str, int]) -> dict[str, float | None]:
    """Estimate the encoding time in seconds per modality, at the rate of the newest snapshot that encoded any."""
    rates: dict[str, float] = {}
    for catalog_id in reversed(complete_catalogs(store)):
        if rates.keys() >= inputs.keys():
            break
        manifest = open_snapshot(store, catalog_id).manifest
        for modality, count in manifest.encoded.items():
            if count and modality not in rates:
                rates[modality] = manifest.encoding_seconds[modality] / count
    return {m: 0.0 if not count else rates[m] * count if m in rates else None for m, count in inputs.items()}
