"""The train job: learn a codebook bundle from the vectors of a catalog."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
from apache_beam import typehints

from tracktokens.codebooks.bundle import MAX_CODES, Bundle
from tracktokens.codebooks.codebook import Codebook, Preprocessing
from tracktokens.pipelines.runner import PipelineRunner
from tracktokens.schemas.errors import UsageError
from tracktokens.schemas.manifests.bundle import BundleManifest
from tracktokens.schemas.modalities import MODALITIES
from tracktokens.transforms.quantization.train_codebooks import SampleVectors, Start, TrainCodebook, threshold
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
    """Learn five codebooks from a catalog snapshot.

    Attributes:
        store: root of the store.
        codebook_size: codes that the vocabulary reserves for each modality.
        seed: chooses the sample and starts k-means.
        catalog_id: the snapshot; the newest complete one when it is None.
        keep_from: bundle out of which codebooks are taken over, so that their tokens keep their meaning; not where the
            encoder is another one, or there were no vectors to learn from. None learns all anew.
    """

    store: str
    codebook_size: int = DEFAULT_CODEBOOK_SIZE
    seed: int = 0
    catalog_id: str | None = None
    keep_from: str | None = None

    @writes("train")
    def run(self, runner: PipelineRunner) -> BundleManifest:
        """Run the job and return the manifest of the bundle.

        Raises:
            UsageError: for an impossible codebook size, or a store without a catalog.
        """
        check_codebook_size(self.codebook_size)
        store = Store.open(self.store)
        snapshot = open_snapshot(store, self.catalog_id)
        kept = self._kept(store, snapshot)
        wanted = {m: e for m, e in snapshot.encoders.items() if m not in kept}
        learned = CodebookTraining(snapshot, wanted, self.codebook_size, self.seed).run(runner)
        return self._finish(snapshot, kept, learned)

    def _kept(self, store: Store, snapshot: Snapshot) -> dict[str, Codebook]:
        if self.keep_from is None:
            return {}
        frozen = read_bundle(store, self.keep_from)
        return {book.modality: book for book in frozen.codebooks if book.num_centroids and _still_fits(book, snapshot)}

    def _finish(
        self, snapshot: Snapshot, kept: Mapping[str, Codebook], learned: Mapping[str, "TrainedCodebook"]
    ) -> BundleManifest:
        """Put the codebooks together, and name them."""
        store = snapshot.store
        parent = read_manifest(store, self.keep_from).codebooks if self.keep_from else {}
        codebooks, training = dict(kept), {modality: parent[modality]["training"] for modality in kept}
        for modality in MODALITIES:
            if modality in kept:
                _warn_of_outgrown(kept[modality], snapshot)
            else:
                found = learned.get(modality) or TrainedCodebook(empty_codebook(modality, "", self.codebook_size), {})
                codebooks[modality], training[modality] = found.codebook, found.training
                warn_of_few(found)
        bundle = Bundle.of(codebooks.values())
        return write_bundle(store, bundle, training, frozenset(kept), self.keep_from if kept else None)


@dataclass(frozen=True)
class TrainedCodebook:
    """A codebook that was learned, and the metrics of its training; none where there were no vectors."""

    codebook: Codebook
    training: Mapping[str, Any]


@dataclass(frozen=True)
class CodebookTraining:
    """The learning of codebooks from samples of a catalog's vectors.

    Attributes:
        snapshot: the catalog.
        encoders: modality to encoder id, of the modalities to learn.
        codebook_size: codes that the vocabulary reserves for each modality.
        seed: chooses the sample and starts k-means.
        starts: modality to where its training begins; others begin from nothing.
    """

    snapshot: Snapshot
    encoders: Mapping[str, str]
    codebook_size: int
    seed: int
    starts: Mapping[str, Start] = field(default_factory=dict)

    def run(self, runner: PipelineRunner) -> dict[str, TrainedCodebook]:
        """Learn, and return what came of each modality."""
        store = self.snapshot.store
        folder = store.bundle(f"training-{new_id()}").folder
        todo = [modality for modality in self.encoders if self.snapshot.inputs(modality)]
        runner.progress.add("train codebooks", total=len(todo))
        if todo:
            runner.run(partial(self._build, folder, runner))
        learned = {modality: self._read(modality, folder) for modality in self.encoders}
        files.delete_tree(folder)
        return learned

    def _build(self, folder: str, runner: PipelineRunner, pipeline: beam.Pipeline) -> None:
        snapshot, encoders = self.snapshot, self.encoders
        sample = SAMPLE_PER_CODE * self.codebook_size
        thresholds = {modality: threshold(snapshot.inputs(modality), sample) for modality in encoders}
        read = SampleVectors(snapshot.store, snapshot.catalog, encoders, thresholds, self.seed)
        standardized = [m for m, e in encoders.items() if snapshot.store.read_encoder(m, e).standardize]
        train = TrainCodebook(
            folder,
            encoders,
            standardized,
            self.starts,
            self.codebook_size,
            sample,
            self.seed,
            runner.workers,
            runner.progress,
        )
        (
            pipeline
            | "buckets" >> beam.Create([part for part in snapshot.buckets() if part[0] in encoders])
            | "spread buckets" >> beam.Reshuffle()
            | "sample" >> beam.ParDo(read).with_output_types(typehints.KV[str, pa.RecordBatch])
            | "group by modality" >> beam.GroupByKey()
            | "train" >> beam.ParDo(train).with_output_types(type(None))
        )

    def _read(self, modality: str, folder: str) -> TrainedCodebook:
        """What the job left of a modality; an empty codebook where it had no vectors."""
        path = files.join(folder, f"{modality}.safetensors")
        if not files.exists(path):
            return TrainedCodebook(empty_codebook(modality, self.encoders[modality], self.codebook_size), {})
        return TrainedCodebook(read_codebook_file(path), files.read_json(files.join(folder, f"{modality}.json")))


def _still_fits(codebook: Codebook, snapshot: Snapshot) -> bool:
    """Whether a catalog's vectors are of the codebook's encoder; so they are where it has none of the modality."""
    return snapshot.encoders.get(codebook.modality, codebook.encoder_id) == codebook.encoder_id


def warn_of_few(learned: TrainedCodebook) -> None:
    """Say so where there were too few vectors for all codes."""
    codebook = learned.codebook
    if learned.training and codebook.num_centroids < codebook.codebook_size:
        _logger.warning(
            "%s: %d distinct vectors give %d centroids; the other %d tokens are reserved and not used",
            codebook.modality,
            learned.training["distinct_vectors"],
            codebook.num_centroids,
            codebook.codebook_size - codebook.num_centroids,
        )


def _warn_of_outgrown(codebook: Codebook, snapshot: Snapshot) -> None:
    """Say so where a kept codebook was learned from much less than there is now: codes do not come by themselves."""
    possible = min(snapshot.inputs(codebook.modality), codebook.codebook_size)
    if possible >= 2 * codebook.num_centroids:
        _logger.warning(
            "%s: the codebook in use has %d centroids, and this catalog is enough for %d; tokens keep their meaning "
            "until `tracktokens retrain` adds to it, or `train` learns another",
            codebook.modality,
            codebook.num_centroids,
            possible,
        )


def empty_codebook(modality: str, encoder_id: str, codebook_size: int) -> Codebook:
    """The codebook of a modality without vectors: its tokens are reserved, and no track has one."""
    return Codebook(modality, encoder_id, Preprocessing(unit_length=True), np.zeros((0, 1), np.float32), codebook_size)


def check_codebook_size(size: int) -> None:
    """Raise :class:`UsageError` unless codes of this many fit the token table's int16."""
    if not 1 <= size <= MAX_CODES:
        raise UsageError(f"--codebook-size {size}: give a number from 1 to {MAX_CODES}")
