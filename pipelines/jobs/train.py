"""The train job: train a codebook bundle on the vectors of a catalog."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam import typehints

from tracktokens.codebooks.bundle import MAX_CODES, Bundle
from tracktokens.codebooks.codebook import Codebook, Preprocessing
from tracktokens.pipelines.runner import PipelineRunner
from tracktokens.schemas.errors import UsageError
from tracktokens.schemas.manifests.bundle import BundleManifest
from tracktokens.schemas.modalities import MODALITIES
from tracktokens.transforms.quantization.train_codebooks import (
    SampleVectors,
    TrainCodebook,
    TrainingFolder,
    WriteSample,
    bucket_ranges,
    hash_threshold,
)
from tracktokens.transforms.store import files
from tracktokens.transforms.store.bundles import read_bundle, read_codebook_file, read_manifest, write_bundle
from tracktokens.transforms.store.layout import Store, new_id
from tracktokens.transforms.store.snapshots import Snapshot, open_snapshot
from tracktokens.transforms.store.writer_lock import writes

_logger = logging.getLogger(__name__)

DEFAULT_CODEBOOK_SIZE = 1024
SAMPLE_PER_CODE = 256


@dataclass(frozen=True)
class TrainJob:
    """Train five codebooks on a catalog snapshot.

    Attributes:
        store: root of the store.
        codebook_size: codes per modality in the vocabulary.
        seed: seed of the sample and of k-means.
        catalog_id: the snapshot; the newest complete one when it is None.
        keep_from: bundle whose codebooks are kept, so that their tokens keep their meaning. A codebook without
            centroids, or of another encoder than the snapshot's, is trained. None trains all.
    """

    store: str
    codebook_size: int = DEFAULT_CODEBOOK_SIZE
    seed: int = 0
    catalog_id: str | None = None
    keep_from: str | None = None

    def run(self, runner: PipelineRunner) -> BundleManifest:
        """Run the job and return the manifest of the bundle.

        Raises:
            UsageError: the codebook size is invalid, or the store lacks the bundle or a catalog.
        """
        check_codebook_size(self.codebook_size)
        runner.check_reachable({"store": self.store})
        return self._run_locked(runner)

    @writes("train")
    def _run_locked(self, runner: PipelineRunner) -> BundleManifest:
        store = Store.open(self.store)
        snapshot = open_snapshot(store, self.catalog_id)
        kept = self._kept(store, snapshot)
        encoders = {m: e for m, e in snapshot.encoders.items() if m not in kept}
        trained = CodebookTraining(snapshot, encoders, self.codebook_size, self.seed).run(runner)
        return self._finish(snapshot, kept, trained)

    def _kept(self, store: Store, snapshot: Snapshot) -> dict[str, Codebook]:
        if self.keep_from is None:
            return {}
        bundle = read_bundle(store, self.keep_from)
        return {book.modality: book for book in bundle.codebooks if book.num_centroids and _still_fits(book, snapshot)}

    def _finish(
        self, snapshot: Snapshot, kept: Mapping[str, Codebook], trained: Mapping[str, "TrainedCodebook"]
    ) -> BundleManifest:
        """Write kept and trained codebooks as one bundle."""
        store = snapshot.store
        parent = read_manifest(store, self.keep_from).codebooks if self.keep_from else {}
        codebooks, training = dict(kept), {modality: parent[modality]["training"] for modality in kept}
        for modality in MODALITIES:
            if modality in kept:
                _warn_of_outgrown(kept[modality], snapshot)
            else:
                empty = TrainedCodebook(empty_codebook(modality, "", self.codebook_size), {})
                result = trained.get(modality, empty)
                codebooks[modality], training[modality] = result.codebook, result.training
                warn_of_few(result)
        bundle = Bundle.of(codebooks.values())
        return write_bundle(store, bundle, training, frozenset(kept), self.keep_from if kept else None)


@dataclass(frozen=True)
class TrainedCodebook:
    """A codebook and the metrics of its training.

    Attributes:
        codebook: the codebook; without centroids where the modality has no vectors.
        training: name to metric; empty where the modality has no vectors.
    """

    codebook: Codebook
    training: Mapping[str, Any]


@dataclass(frozen=True)
class CodebookTraining:
    """Training of codebooks on samples of a catalog's vectors.

    Attributes:
        snapshot: the catalog.
        encoders: modality to encoder id, of the modalities to train.
        codebook_size: codes per modality in the vocabulary.
        seed: seed of the sample and of k-means.
        starts: modality to the codebook that its training starts from, with the preprocessing of the new codebook;
            other modalities start from scratch.
    """

    snapshot: Snapshot
    encoders: Mapping[str, str]
    codebook_size: int
    seed: int
    starts: Mapping[str, Codebook] = field(default_factory=dict)

    def run(self, runner: PipelineRunner) -> dict[str, TrainedCodebook]:
        """Train, and return modality to its codebook."""
        store = self.snapshot.store
        folder = TrainingFolder(store.bundle(f"training-{new_id()}").folder)
        folder.write_starts(self.starts)
        todo = [modality for modality in self.encoders if self.snapshot.inputs(modality)]
        runner.progress.add("train codebooks", total=len(todo))
        if todo:
            runner.run(partial(self._build, folder, runner))
        trained = {modality: self._read(modality, folder) for modality in self.encoders}
        files.delete_tree(folder.folder)
        return trained

    def _build(self, folder: TrainingFolder, runner: PipelineRunner, pipeline: beam.Pipeline) -> None:
        snapshot, encoders = self.snapshot, self.encoders
        sample = SAMPLE_PER_CODE * self.codebook_size
        thresholds = {modality: hash_threshold(snapshot.inputs(modality), sample) for modality in encoders}
        draw = SampleVectors(
            store=snapshot.store,
            catalog=snapshot.catalog,
            encoders=encoders,
            thresholds=thresholds,
            seed=self.seed,
        )
        standardized = [m for m, e in encoders.items() if snapshot.store.read_encoder(m, e).standardize]
        train = TrainCodebook(
            folder=folder,
            encoders=encoders,
            standardized=standardized,
            started=list(self.starts),
            codebook_size=self.codebook_size,
            sample=sample,
            seed=self.seed,
            workers=runner.processes_per_machine,
            progress=runner.progress,
        )
        (
            pipeline
            | "buckets" >> beam.Create(bucket_ranges(part for part in snapshot.buckets() if part[0] in encoders))
            | "spread buckets" >> beam.Reshuffle()  # Create gives them to one worker
            | "sample" >> beam.ParDo(WriteSample(draw=draw, folder=folder)).with_output_types(typehints.KV[str, str])
            | "group by modality" >> beam.GroupByKey()
            | "train" >> beam.ParDo(train).with_output_types(type(None))
        )

    def _read(self, modality: str, folder: TrainingFolder) -> TrainedCodebook:
        """Read the trained codebook of a modality; it has no centroids where the modality has no vectors."""
        path = folder.codebook(modality)
        if not files.exists(path):
            return TrainedCodebook(empty_codebook(modality, self.encoders[modality], self.codebook_size), {})
        return TrainedCodebook(read_codebook_file(path), files.read_json(folder.metrics(modality)))


def _still_fits(codebook: Codebook, snapshot: Snapshot) -> bool:
    """Return whether a catalog's vectors are of the codebook's encoder; true for a modality without vectors."""
    return snapshot.encoders.get(codebook.modality, codebook.encoder_id) == codebook.encoder_id


def warn_of_few(trained: TrainedCodebook) -> None:
    """Log a warning where a codebook has fewer centroids than codes, for lack of vectors."""
    codebook = trained.codebook
    if trained.training and codebook.num_centroids < codebook.codebook_size:
        _logger.warning(
            "%s: %d distinct vectors give %d centroids; the other %d tokens are reserved and unused",
            codebook.modality,
            trained.training["distinct_vectors"],
            codebook.num_centroids,
            codebook.codebook_size - codebook.num_centroids,
        )


def _warn_of_outgrown(codebook: Codebook, snapshot: Snapshot) -> None:
    """Log a warning where a kept codebook could have at least twice its centroids now."""
    possible = min(snapshot.inputs(codebook.modality), codebook.codebook_size)
    if possible >= 2 * codebook.num_centroids:
        _logger.warning(
            "%s: the codebook in use has %d centroids, and this catalog has enough vectors for %d: run `tracktokens "
            "retrain` to add centroids and keep tokens, or `tracktokens train` for a new codebook",
            codebook.modality,
            codebook.num_centroids,
            possible,
        )


def empty_codebook(modality: str, encoder_id: str, codebook_size: int) -> Codebook:
    """Create the codebook of a modality without vectors: its tokens are reserved and unused."""
    return Codebook(modality, encoder_id, Preprocessing(unit_length=True), np.zeros((0, 1), np.float32), codebook_size)


def check_codebook_size(size: int) -> None:
    """Raise :class:`UsageError` unless a codebook of this size fits the token table's int16 codes."""
    if not 1 <= size <= MAX_CODES:
        raise UsageError(f"--codebook-size {size}: give a number from 1 to {MAX_CODES}")
