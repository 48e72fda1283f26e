"""The train job: train a codebook bundle on the vectors of a catalog."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam import typehints

from tracktokens.codebooks.bundle import Bundle
from tracktokens.codebooks.codebook import Codebook, Preprocessing
from tracktokens.pipelines.jobs.vocabulary import ReleasedVocabulary, further_format, new_format
from tracktokens.pipelines.runner import PipelineRunner
from tracktokens.schemas.errors import UsageError
from tracktokens.schemas.manifests.bundle import BundleManifest
from tracktokens.schemas.token_format import (
    MAX_CODES,
    FurtherTokens,
    TokenColumn,
    TokenFormat,
    column_name,
    modality_of,
)
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

SAMPLE_PER_CODE = 256


@dataclass(frozen=True)
class TrainJob:
    """Train the codebooks of a bundle on a catalog snapshot.

    Attributes:
        store: root of the store.
        codebook_size: codes per modality in the vocabulary; None takes those of the release in use, or 1,024.
        seed: seed of the sample and of k-means.
        catalog_id: the snapshot; the newest complete one when it is None.
        keep_from: bundle whose codebooks are kept, so that their tokens keep their meaning. A codebook without
            centroids, or of another encoder than the snapshot's, is trained. None trains all.
        tokens: tokens after the five of the modalities; by default those of ``keep_from``, or of the release in use if
            it has this codebook size.
    """

    store: str
    codebook_size: int | None = None
    seed: int = 0
    catalog_id: str | None = None
    keep_from: str | None = None
    tokens: FurtherTokens = field(default_factory=FurtherTokens)

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
        old = read_bundle(store, self.keep_from) if self.keep_from else None
        token_format = self._format(old)
        kept = {} if old is None else _kept(old, token_format, snapshot)
        trained = CodebookTraining(snapshot, token_format, self.seed, kept).run(runner)
        return self._finish(snapshot, token_format, kept, trained)

    def _format(self, old: Bundle | None) -> TokenFormat:
        if old is None:
            released = ReleasedVocabulary.of(self.store)
            return new_format(None if released is None else released.token_format, self.codebook_size, self.tokens)
        return further_format(self.tokens, self.codebook_size or old.codebook_size, old.token_format)

    def _finish(
        self,
        snapshot: Snapshot,
        token_format: TokenFormat,
        kept: Mapping[str, Codebook],
        trained: Mapping[str, "TrainedCodebook"],
    ) -> BundleManifest:
        """Write kept and trained codebooks as one bundle."""
        store = snapshot.store
        parent = read_manifest(store, self.keep_from).codebooks if self.keep_from else {}
        codebooks, training = dict(kept), {name: parent[name]["training"] for name in kept}
        for column in token_format.coded:
            name = column.name
            if name in kept:
                _warn_of_outgrown(kept[name], snapshot)
            else:
                result = trained.get(name, TrainedCodebook(empty_codebook(column, ""), {}))
                codebooks[name], training[name] = result.codebook, result.training
                warn_of_few(result)
        bundle = Bundle.of(codebooks.values(), token_format.numbers, token_format.same_song)
        return write_bundle(store, bundle, training, frozenset(kept), self.keep_from if kept else None)


@dataclass(frozen=True)
class TrainedCodebook:
    """A codebook and the metrics of its training.

    Attributes:
        codebook: the codebook of a column; without centroids where the modality has no vectors.
        training: name to metric; empty where the modality has no vectors.
    """

    codebook: Codebook
    training: Mapping[str, Any]


@dataclass(frozen=True)
class CodebookTraining:
    """Training of codebooks on samples of a catalog's vectors.

    Attributes:
        snapshot: the catalog.
        token_format: columns of the bundle.
        seed: seed of the sample and of k-means.
        kept: column to the codebook that is not trained. A residual level is trained on what the level before leaves.
        starts: column to the codebook that its training starts from, with the preprocessing of the new codebook; other
            columns start from scratch.
    """

    snapshot: Snapshot
    token_format: TokenFormat
    seed: int
    kept: Mapping[str, Codebook] = field(default_factory=dict)
    starts: Mapping[str, Codebook] = field(default_factory=dict)

    @property
    def columns(self) -> list[TokenColumn]:
        """Columns to train: those of modalities with an encoder that are not kept."""
        columns = (column for column in self.token_format.coded if column.name not in self.kept)
        return [column for column in columns if column.modality in self.snapshot.encoders]

    @property
    def encoders(self) -> dict[str, str]:
        """Modality to encoder id, of the modalities to train."""
        modalities = {column.modality for column in self.columns}
        return {m: encoder for m, encoder in self.snapshot.encoders.items() if m in modalities}

    def run(self, runner: PipelineRunner) -> dict[str, TrainedCodebook]:
        """Train, and return column to its codebook."""
        store = self.snapshot.store
        folder = TrainingFolder(store.bundle(f"training-{new_id()}").folder)
        folder.write_starts(self.starts)
        folder.write_kept(self.kept)
        todo = [modality for modality in self.encoders if self.snapshot.inputs(modality)]
        runner.progress.add("train codebooks", total=len(todo))
        if todo:
            runner.run(partial(self._build, folder, runner))
        trained = {column.name: self._read(column, folder) for column in self.columns}
        files.delete_tree(folder.folder)
        return trained

    def _build(self, folder: TrainingFolder, runner: PipelineRunner, pipeline: beam.Pipeline) -> None:
        snapshot, encoders = self.snapshot, self.encoders
        sample = SAMPLE_PER_CODE * max(column.size for column in self.token_format.coded)
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
            kept=list(self.kept),
            token_format=self.token_format,
            sample=sample,
            seed=self.seed,
            workers=runner.processes_per_machine,
            progress=runner.progress,
        )
        (
            pipeline
            | "buckets" >> beam.Create(bucket_ranges(part for part in snapshot.buckets() if part[0] in encoders))
            | "sample" >> beam.ParDo(WriteSample(draw=draw, folder=folder)).with_output_types(typehints.KV[str, str])
            | "group by modality" >> beam.GroupByKey()
            | "train" >> beam.ParDo(train).with_output_types(type(None))
        )

    def _read(self, column: TokenColumn, folder: TrainingFolder) -> TrainedCodebook:
        """Read the trained codebook of a column; it has no centroids where the modality has no vectors."""
        path = folder.codebook(column.name)
        if not files.exists(path):
            return TrainedCodebook(empty_codebook(column, self.encoders[modality_of(column.name)]), {})
        return TrainedCodebook(read_codebook_file(path), files.read_json(folder.metrics(column.name)))


def _kept(old: Bundle, token_format: TokenFormat, snapshot: Snapshot) -> dict[str, Codebook]:
    """Choose the codebooks to keep, column to codebook: a residual level only with all levels before it."""
    kept: dict[str, Codebook] = {}
    for column in token_format.coded:
        book = old[column.name] if column.name in old.token_format.names else None
        before = column.level == 1 or column_name(modality_of(column.name), column.level - 1) in kept
        same = book is not None and before and book.codebook_size == column.size
        if book is not None and same and book.num_centroids and _still_fits(book, snapshot):
            kept[column.name] = book
    return kept


def _still_fits(codebook: Codebook, snapshot: Snapshot) -> bool:
    """Return whether a catalog's vectors are of the codebook's encoder; true for a modality without vectors."""
    return snapshot.encoders.get(codebook.modality, codebook.encoder_id) == codebook.encoder_id


def warn_of_few(trained: TrainedCodebook) -> None:
    """Log a warning where a codebook has fewer centroids than codes, for lack of vectors."""
    codebook = trained.codebook
    if trained.training and codebook.num_centroids < codebook.codebook_size:
        _logger.warning(
            "%s: %d distinct vectors give %d centroids; the other %d tokens are reserved and unused",
            codebook.name,
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
            codebook.name,
            codebook.num_centroids,
            possible,
        )


def empty_codebook(column: TokenColumn, encoder_id: str) -> Codebook:
    """Create the codebook of a column of a modality without vectors: its tokens are reserved and unused."""
    space, centroids = Preprocessing(unit_length=True), np.zeros((0, 1), np.float32)
    return Codebook(modality_of(column.name), encoder_id, space, centroids, column.size, column.level)


def check_codebook_size(size: int | None) -> None:
    """Raise :class:`UsageError` unless a codebook of this size, if given, fits the token table's int16 codes."""
    if size is not None and not 1 <= size <= MAX_CODES:
        raise UsageError(f"--codebook-size {size}: give a number from 1 to {MAX_CODES}")
