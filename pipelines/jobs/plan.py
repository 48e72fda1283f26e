"""What a refresh would do, without doing it: nothing is encoded, and nothing in the store changes."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import apache_beam as beam
from rich.table import Table

from tracktokens.pipelines.jobs.refresh import RefreshJob, check_sources
from tracktokens.pipelines.maintenance.bucket_jobs import working_folder
from tracktokens.pipelines.runner import PipelineRunner
from tracktokens.schemas.modalities import AUDIO
from tracktokens.schemas.tables.tracks import TRACKS
from tracktokens.transforms.catalog.dry_run import CompareTracks, CountBytes, CountMissing, OnlyAudio
from tracktokens.transforms.catalog.find_missing import WANTED_TAG
from tracktokens.transforms.catalog.scan_catalog import ReadMissing
from tracktokens.transforms.readers.fragments import Fragment, check_table, find_fragments
from tracktokens.transforms.runtime.arrow_coder import Count, Keyed
from tracktokens.transforms.runtime.counters import WriteCounts, read_counts
from tracktokens.transforms.store import files
from tracktokens.transforms.store.layout import Store
from tracktokens.transforms.store.releases import published_release
from tracktokens.transforms.store.snapshots import Snapshot, complete_catalogs, open_snapshot, released_snapshot

ROWS = ("read", "rejected", "new", "changed", "removed")
MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Plan:
    """What a refresh would do.

    Attributes:
        release_id: the release that it would follow.
        rows: rows read and rejected, and tracks that are new, have another input, or are removed.
        inputs: modality to distinct inputs that would be encoded, or to given vectors that would be stored.
        audio_bytes: size of the audio files among them.
        seconds: modality to about how long encoding them takes, by what the last runs took; None where none tells.
        refused: whether too many rows are rejected, so that the refresh would end there.
    """

    release_id: str
    rows: Mapping[str, int]
    inputs: Mapping[str, int]
    audio_bytes: int
    seconds: Mapping[str, float | None]
    refused: bool

    def to_json(self) -> dict[str, Any]:
        """All of it, as JSON values."""
        return asdict(self)


def plan_refresh(job: RefreshJob, runner: PipelineRunner) -> Plan:
    """Compare a catalog with the latest release and with what is stored.

    Tracks that would be folded into the playlists are not counted: that takes a pass over all playlists.

    Raises:
        UsageError: there is no store with a release, or an input is not there.
        InvalidDataError: the release's catalog is gone, the encoders are not the release's, or the catalog cannot be
            read.
    """
    store = Store.open(job.store)
    latest = published_release(store)
    before = released_snapshot(store, latest)
    check_sources(before, latest.release_id, job.embed_job().encoder_ids)
    fragments = find_fragments(files.absolute(job.tracks), "tracks")
    check_table(fragments, TRACKS)
    counts = _count(job, store, before, fragments, runner)
    inputs = {modality: counts[f"missing/{modality}"] for modality in before.manifest.encoders}
    return Plan(
        release_id=latest.release_id,
        rows={name: counts[f"rows_{name}"] for name in ROWS},
        inputs=inputs,
        audio_bytes=counts["audio_bytes"],
        seconds=_estimate(store, inputs),
        refused=job.embed_job().gate.is_exceeded(counts),
    )


def plan_report(plan: Plan) -> Table:
    """Show a plan to people."""
    table = Table("what a refresh would do", "", "seconds, about")
    for name in ROWS:
        table.add_row(f"rows {name}", str(plan.rows[name]), "")
    for modality, count in plan.inputs.items():
        spent = plan.seconds[modality]
        table.add_row(f"encode {modality}", str(count), "-" if spent is None else f"{spent:.0f}")
    table.add_row("audio to read", f"{plan.audio_bytes / MEGABYTE:.1f} MB", "")
    if plan.refused:
        table.add_row("refused: too many rows are rejected", "", "")
    return table


def _count(
    job: RefreshJob, store: Store, before: Snapshot, fragments: list[Fragment], runner: PipelineRunner
) -> Mapping[str, int]:
    """Scan as a refresh does, and count."""
    with working_folder(store, runner) as folder:
        path = files.join(folder, "plan.json")
        runner.run(partial(_build, job, store, before, fragments, runner, path))
        return read_counts(path)


def _build(
    job: RefreshJob,
    store: Store,
    before: Snapshot,
    fragments: list[Fragment],
    runner: PipelineRunner,
    path: str,
    pipeline: beam.Pipeline,
) -> None:
    embed, given, base = job.embed_job(), list(job.vectors), before.catalog
    scans = embed.look_at_vectors(base)
    settle = CompareTracks(base, base, list(job.encoders), given, scans, embed.tried_again(store))
    find = CountMissing(store, base, base, embed.encoder_ids, given, job.retry_rejects, runner.progress)
    scanned = embed.scan(store, fragments, settle, find, scans, runner.progress).add_to(pipeline)
    counts = list(scanned.counts)
    if AUDIO in job.encoders and job.audio_root is not None:
        audio = scanned.missing[WANTED_TAG] | beam.ParDo(OnlyAudio()).with_output_types(Keyed)
        size = CountBytes(files.absolute(job.audio_root))
        counts.append(audio | ReadMissing(fragments, store.buckets) | "count bytes" >> _counting(size))
    counts | "all counts" >> beam.Flatten() | "write counts" >> WriteCounts(path)


def _counting(dofn: beam.DoFn) -> beam.PTransform:
    return beam.ParDo(dofn).with_output_types(Count)


def _estimate(store: Store, inputs: Mapping[str, int]) -> dict[str, float | None]:
    """Seconds that encoding would take, by modality, at the rate of the newest catalog that encoded some."""
    rates: dict[str, float] = {}
    for catalog_id in reversed(complete_catalogs(store)):
        if rates.keys() >= inputs.keys():
            break
        manifest = open_snapshot(store, catalog_id).manifest
        for modality, count in manifest.encoded.items():
            if count and modality not in rates:
                rates[modality] = manifest.encoding_seconds[modality] / count
    return {m: 0.0 if not count else rates[m] * count if m in rates else None for m, count in inputs.items()}
