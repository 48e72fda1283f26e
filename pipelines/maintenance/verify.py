"""The verify job: check a whole store for damaged, missing or inconsistent data."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import TaggedOutput

from tracktokens.pipelines.maintenance.bucket_jobs import working_folder
from tracktokens.pipelines.runner import PipelineRunner
from tracktokens.schemas.errors import TracktokensError
from tracktokens.schemas.manifests.base import AnyManifest
from tracktokens.schemas.manifests.bundle import BundleManifest
from tracktokens.schemas.manifests.catalog import CatalogManifest
from tracktokens.schemas.manifests.release import ReleaseManifest
from tracktokens.schemas.tables.rejects import REJECTS
from tracktokens.schemas.token_format import NUMBER
from tracktokens.transforms.maintenance.checks import (
    REPUBLISH,
    Finding,
    check_catalog,
    check_catalog_bucket,
    check_file,
    check_folder,
    check_records,
    check_takedowns,
    check_token_part,
    compare_catalog,
    compare_release,
)
from tracktokens.transforms.release.drift_baseline import usage_baseline
from tracktokens.transforms.runtime.arrow_coder import Count
from tracktokens.transforms.runtime.counters import COUNTS_TAG, WriteCounts, read_counts
from tracktokens.transforms.runtime.gather import Gather
from tracktokens.transforms.runtime.progress import ProgressReporter
from tracktokens.transforms.runtime.spilled import CreateSpilled, SpilledList, spill
from tracktokens.transforms.store import files
from tracktokens.transforms.store.bundles import read_bundle
from tracktokens.transforms.store.layout import (
    BUNDLES,
    CATALOG_MANIFEST,
    CATALOGS,
    CODES,
    LATEST,
    MANIFEST,
    RELEASES,
    Store,
)
from tracktokens.transforms.store.record_buckets import RecordBucket, list_record_buckets
from tracktokens.transforms.store.releases import latest_id
from tracktokens.transforms.store.snapshots import open_snapshot
from tracktokens.transforms.store.token_tables import token_parts

CHECK = "check"
"""Name of the stage in the progress."""

RESTORE = "restore it from a backup"


@dataclass(frozen=True)
class Manifests:
    """Readable manifests of a store, by name."""

    releases: Mapping[str, ReleaseManifest]
    catalogs: Mapping[str, CatalogManifest]
    bundles: Mapping[str, BundleManifest]

    def centroids(self) -> dict[str, dict[str, int]]:
        """Return bundle to column to number of centroids; of a number, to how many there are."""
        return {
            name: {column: entry["centroids"] for column, entry in bundle.codebooks.items()}
            | ({NUMBER: bundle.token_format.numbers} if bundle.token_format.numbers else {})
            for name, bundle in self.bundles.items()
        }


@dataclass(frozen=True)
class Check:
    """One check of a part of a release or a catalog.

    Attributes:
        kind: "file", "rejects", "tokens", "catalog", or "keys".
        name: id of the release or catalog.
        path: file of the release.
        bucket: part of the token table, or bucket of the catalog.
    """

    kind: str
    name: str = ""
    path: str = ""
    bucket: int = 0


@dataclass(eq=False)
class RunCheck(beam.DoFn):
    """Run one check of a release or a catalog. Main output: findings. ``COUNTS_TAG``: counts of rows.

    Attributes:
        store: the store.
        centroids: bundle to column to number of centroids.
        progress: reporter of finished checks.
    """

    store: Store
    centroids: Mapping[str, Mapping[str, int]]
    progress: ProgressReporter
    _releases: dict[str, ReleaseManifest] = field(default_factory=dict, init=False, repr=False)

    def process(self, check: Check) -> Iterator[object]:
        """Check one file of a release, one part of a table, or one bucket."""
        yield from _tag_counts(self._run(check))
        self.progress.add(CHECK, done=1)

    def _run(self, check: Check) -> Iterator[Finding | tuple[str, int]]:
        if check.kind == "catalog":
            return check_catalog(self.store, check.name)
        if check.kind == "keys":
            return check_catalog_bucket(self.store, check.name, check.bucket)
        release = self._release(check.name)
        paths = self.store.release(check.name)
        if check.kind == "file":
            return check_file(paths.folder, check.path, release.files[check.path])
        if check.kind == "rejects":
            return check_folder(paths.rejects, REJECTS, REPUBLISH)
        return check_token_part(self.store, release, self.centroids.get(release.bundle_id), check.bucket)

    def _release(self, name: str) -> ReleaseManifest:
        """Read the manifest of a release, once per worker: it lists every file of the release."""
        if name not in self._releases:
            path = self.store.release(name).manifest
            self._releases[name] = ReleaseManifest.from_json(files.read_bytes(path), path)
        return self._releases[name]


@dataclass(eq=False)
class CheckRecords(beam.DoFn):
    """Check one bucket of records; the outputs and attributes are those of :class:`RunCheck`."""

    store: Store
    centroids: Mapping[str, Mapping[str, int]]
    progress: ProgressReporter

    def process(self, bucket: RecordBucket) -> Iterator[object]:
        """Check the files of the bucket."""
        yield from _tag_counts(check_records(self.store, bucket, self.centroids))
        self.progress.add(CHECK, done=1)


def _tag_counts(results: Iterable[Finding | tuple[str, int]]) -> Iterator[object]:
    for result in results:
        yield result if isinstance(result, Finding) else TaggedOutput(COUNTS_TAG, result)


def verify_store(root: str, runner: PipelineRunner) -> list[Finding]:
    """Check the store at ``root``. It is only read, and may be in use.

    Returns:
        Findings, sorted by path and problem.

    Raises:
        UsageError: the store does not exist.
        InvalidDataError: its ``store.json`` cannot be read, without which nothing else can be.
    """
    runner.check_reachable({"store": root})
    store = Store.open(root)
    findings: list[Finding] = []
    manifests = _read_manifests(store, findings)
    records = list_record_buckets(store)
    findings += [*check_takedowns(store), *_check_latest(store, manifests), *_check_bundles(store, manifests)]
    findings += [*_check_codes(store, records, manifests), *_check_encoders(store, manifests)]
    with working_folder(store, runner) as folder:
        _run(store, manifests, records, folder, runner)
        findings += [Finding(**fields) for fields in files.read_json(files.join(folder, "findings.json"))["findings"]]
        counts = read_counts(files.join(folder, "counts.json"))
    for release in manifests.releases.values():
        findings += compare_release(store, release, counts)
    for catalog in manifests.catalogs.values():
        findings += compare_catalog(store, catalog, counts)
    return sorted(findings, key=lambda finding: (finding.path, finding.problem))


def _checks(store: Store, manifests: Manifests) -> Iterator[Check]:
    """List the checks of the releases and catalogs of a store."""
    buckets = range(store.buckets)
    for name, release in manifests.releases.items():
        yield Check("rejects", name)
        yield from (Check("file", name, path) for path in release.files)
        yield from (Check("tokens", name, bucket=part) for part in range(token_parts(store, release)))
    for name in manifests.catalogs:
        yield Check("catalog", name)
        yield from (Check("keys", name, bucket=bucket) for bucket in buckets)


def _run(
    store: Store, manifests: Manifests, records: Collection[RecordBucket], folder: str, runner: PipelineRunner
) -> None:
    checks = spill(_checks(store, manifests), files.join(folder, "checks.json"))
    buckets = spill(records, files.join(folder, "buckets.json"))

    def write(findings: list[Finding]) -> None:
        files.write_json(files.join(folder, "findings.json"), {"findings": [asdict(finding) for finding in findings]})

    def check(
        pipeline: beam.Pipeline, name: str, items: SpilledList[Any], step: beam.DoFn
    ) -> beam.pvalue.DoOutputsTuple:
        checked = beam.ParDo(step).with_output_types(Finding, **{COUNTS_TAG: Count})
        return (
            pipeline | name >> CreateSpilled(items) | f"check {name}" >> checked.with_outputs(COUNTS_TAG, main="main")
        )

    def build(pipeline: beam.Pipeline) -> None:
        centroids = manifests.centroids()
        done = (
            check(pipeline, "manifests", checks, RunCheck(store, centroids, runner.progress)),
            check(pipeline, "record buckets", buckets, CheckRecords(store, centroids, runner.progress)),
        )
        findings = [part.main for part in done] | "all findings" >> beam.Flatten()
        findings | "write findings" >> Gather(write)
        counts = [part[COUNTS_TAG] for part in done] | "all counts" >> beam.Flatten()
        counts | "write counts" >> WriteCounts(files.join(folder, "counts.json"))

    runner.progress.add(CHECK, total=len(checks) + len(buckets))
    runner.run(build)


def _read_manifests(store: Store, findings: list[Finding]) -> Manifests:
    """Read all manifests; one that cannot be read becomes a finding."""

    def read_all(kind: type[AnyManifest], folder: str, file: str, id_field: str) -> dict[str, AnyManifest]:
        manifests = {}
        for name in files.list_folders_with(files.join(store.root, folder), file):
            path = files.join(store.root, folder, name, file)
            try:
                manifest = kind.from_json(files.read_bytes(path), path)
            except TracktokensError as error:
                findings.append(_finding(path, error))
                continue
            if getattr(manifest, id_field) == name:
                manifests[name] = manifest
            else:
                findings.append(Finding(path, f"is of {getattr(manifest, id_field)}", RESTORE))
        return manifests

    return Manifests(
        read_all(ReleaseManifest, RELEASES, MANIFEST, "release_id"),
        read_all(CatalogManifest, CATALOGS, CATALOG_MANIFEST, "catalog_id"),
        read_all(BundleManifest, BUNDLES, MANIFEST, "bundle_id"),
    )


def _check_latest(store: Store, manifests: Manifests) -> Iterator[Finding]:
    latest = latest_id(store.root)
    if latest in manifests.releases or not (latest or manifests.releases):
        return
    problem = f"names {latest}, which is not a complete release" if latest else "is missing, but there are releases"
    yield Finding(files.join(store.root, LATEST), problem, "choose one with `tracktokens releases rollback`")


def _check_bundles(store: Store, manifests: Manifests) -> Iterator[Finding]:
    for name in manifests.bundles:
        try:
            read_bundle(store, name)
        except (TracktokensError, OSError) as error:
            yield _finding(store.bundle(name).folder, error)
    for name in sorted({release.bundle_id for release in manifests.releases.values()} & set(manifests.bundles)):
        yield from _check_baseline(store, manifests.bundles[name])


def _check_baseline(store: Store, bundle: BundleManifest) -> Iterator[Finding]:
    """Check the usage baseline of a published bundle."""
    path = store.bundle(bundle.bundle_id).usage_baseline
    remedy = "restore it from a backup, or remove it: then the next release becomes the baseline of drift"
    try:
        if usage_baseline(store, bundle) is None:
            yield Finding(path, "is missing", remedy)
    except TracktokensError as error:
        yield Finding(path, _finding(path, error).problem, remedy)


def _check_codes(store: Store, records: Iterable[RecordBucket], manifests: Manifests) -> Iterator[Finding]:
    """Check that the bundle of all codes exists."""
    for owner in sorted({bucket.owner for bucket in records if bucket.kind == CODES} - set(manifests.bundles)):
        remedy = "restore the bundle from a backup, or remove these codes with `tracktokens gc`"
        yield Finding(files.join(store.root, CODES, owner), "has codes of a bundle that does not exist", remedy)


def _check_encoders(store: Store, manifests: Manifests) -> Iterator[Finding]:
    """Check that the encoders of catalogs are described. A killed run may leave vectors of others."""
    encoders: set[tuple[str, str]] = set()
    for name in manifests.catalogs:
        try:
            encoders |= set(open_snapshot(store, name).encoders.items())
        except TracktokensError as error:
            yield _finding(store.catalog(name).playlists_manifest, error)
    for modality, encoder_id in sorted(encoders):
        try:
            store.read_encoder(modality, encoder_id)
        except TracktokensError as error:
            yield _finding(store.encoder(modality, encoder_id), error)


def _finding(path: str, error: Exception) -> Finding:
    """Convert an error into a finding: the text after its last colon is the remedy."""
    message = str(error).removeprefix(f"{path} ").removeprefix(f"{path}: ")
    problem, separator, remedy = message.rpartition(": ")
    return Finding(path, problem, remedy) if separator else Finding(path, message, RESTORE)
