"""The tokenize job: assign a code of a bundle to every vector of a catalog."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import apache_beam as beam

from tracktokens.codebooks.bundle import Bundle
from tracktokens.pipelines.runner import PipelineRunner
from tracktokens.schemas.errors import InvalidDataError
from tracktokens.schemas.manifests.bundle import BundleManifest
from tracktokens.schemas.token_format import modality_buckets, modality_of
from tracktokens.transforms.quantization.assign_codes import AssignCodes
from tracktokens.transforms.runtime.arrow_coder import Count
from tracktokens.transforms.runtime.counters import WriteCounts, read_counts
from tracktokens.transforms.store import files
from tracktokens.transforms.store.bundles import read_bundle, read_manifest
from tracktokens.transforms.store.layout import Store
from tracktokens.transforms.store.snapshots import Snapshot, open_snapshot
from tracktokens.transforms.store.writer_lock import writes


@dataclass(frozen=True)
class TokenizeJob:
    """Assign codes of a bundle to a catalog snapshot.

    Attributes:
        store: root of the store.
        bundle_id: the codebooks.
        catalog_id: the snapshot; the newest complete one when it is None.
    """

    store: str
    bundle_id: str
    catalog_id: str | None = None

    def run(self, runner: PipelineRunner) -> Mapping[str, int]:
        """Run the job and return column to the number of codes added; 0 where all were stored.

        Raises:
            UsageError: the store lacks the bundle or a catalog.
            InvalidDataError: the bundle was trained on other encoders, or its files were changed.
        """
        runner.check_reachable({"store": self.store})
        return self._run_locked(runner)

    @writes("tokenize")
    def _run_locked(self, runner: PipelineRunner) -> Mapping[str, int]:
        snapshot, bundle = open_with_bundle(self.store, self.bundle_id, self.catalog_id)
        columns = [column for column in bundle.token_format.coded if column.modality in snapshot.encoders]
        inputs = sum(snapshot.inputs(modality_of(column.name)) for column in columns)
        runner.progress.add("assign codes", total=inputs)
        path = files.join(snapshot.catalog.folder, f"assigned-{self.bundle_id}.json")
        buckets = modality_buckets(snapshot.buckets(), bundle.token_format)
        runner.run(partial(self._build, snapshot, buckets, path, runner))
        counts = read_counts(path)
        return {column.name: counts[f"assigned/{column.name}"] for column in columns}

    def _build(
        self,
        snapshot: Snapshot,
        buckets: list[tuple[str, int]],
        path: str,
        runner: PipelineRunner,
        pipeline: beam.Pipeline,
    ) -> None:
        assign = AssignCodes(
            store=snapshot.store,
            catalog=snapshot.catalog,
            bundle_id=self.bundle_id,
            encoders=snapshot.encoders,
            workers=runner.processes_per_machine,
            progress=runner.progress,
        )
        counts = pipeline | "buckets" >> beam.Create(buckets) | "assign" >> beam.ParDo(assign).with_output_types(Count)
        counts | "write counts" >> WriteCounts(path)


def open_with_bundle(root: str, bundle_id: str, catalog_id: str | None) -> tuple[Snapshot, Bundle]:
    """Open a catalog snapshot of a store, and a bundle for its vectors.

    Raises:
        UsageError: the store lacks the bundle or a catalog.
        InvalidDataError: bundle and snapshot have different encoders, or a codebook was changed.
    """
    store = Store.open(root)
    snapshot = open_snapshot(store, catalog_id)
    bundle = read_bundle(store, bundle_id)
    check_encoders(snapshot, read_manifest(store, bundle_id))
    return snapshot, bundle


def check_encoders(snapshot: Snapshot, bundle: BundleManifest) -> None:
    """Check that a bundle was trained on vectors of the encoders of a catalog.

    Raises:
        InvalidDataError: the encoder of a modality differs.
    """
    for modality, encoder_id in snapshot.encoders.items():
        trained = bundle.encoders.get(modality)
        if trained != encoder_id:
            raise InvalidDataError(
                f"bundle {bundle.bundle_id} was trained on {modality} encoder {trained or 'none'}, catalog "
                f"{snapshot.manifest.catalog_id} has vectors of {encoder_id}: encode with the same model, or train a "
                "new bundle"
            )
