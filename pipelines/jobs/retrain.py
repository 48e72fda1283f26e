"""The retrain job: train codebooks that continue old ones, so that as many tracks as possible keep their tokens.

A codebook starts from the centroids of the old one where both have the same vector space: the encoder is the same, or
its training continued from the old vectors. The space of playlist vectors trained from scratch is rotated arbitrarily;
they are first rotated back onto the old ones, unless another kind of encoder made them. Finally, codes are renumbered
so that as many tracks as possible keep theirs. That works for a different encoder too.

A residual level in the same vector space is kept, if none of its codes was left over for lack of vectors. Retrained, it
would change far more codes than the level before: its vectors are far from all centroids.
"""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam import typehints

from tracktokens.codebooks.bundle import Bundle
from tracktokens.codebooks.codebook import Codebook, Preprocessing
from tracktokens.codebooks.continuity.alignment import Alignment, CodePairs, align, relabel
from tracktokens.codebooks.continuity.procrustes import Rotation, RotationAccumulator
from tracktokens.pipelines.jobs.train import CodebookTraining, TrainedCodebook, warn_of_few
from tracktokens.pipelines.runner import PipelineRunner
from tracktokens.schemas.manifests.bundle import BundleManifest
from tracktokens.schemas.modalities import PLAYLIST
from tracktokens.schemas.token_format import modality_buckets
from tracktokens.transforms.playlists.warm_start import parent_encoder
from tracktokens.transforms.quantization.align_codes import (
    AssignWithNewBundle,
    CompareSpaces,
    MergeCodePairs,
    PairCodes,
    merge_rotations,
)
from tracktokens.transforms.quantization.train_codebooks import TrainingFolder
from tracktokens.transforms.runtime.arrow_coder import Keyed
from tracktokens.transforms.runtime.gather import Gather
from tracktokens.transforms.store import files
from tracktokens.transforms.store.bundles import read_bundle, read_manifest, write_bundle
from tracktokens.transforms.store.layout import Store, new_id
from tracktokens.transforms.store.releases import find_release
from tracktokens.transforms.store.snapshots import Snapshot, open_snapshot
from tracktokens.transforms.store.token_tables import TokenTable
from tracktokens.transforms.store.writer_lock import writes


@dataclass(frozen=True)
class RetrainResult:
    """A bundle that continues another.

    Attributes:
        bundle: its manifest.
        kept: column to the share of common tracks that keep their code; None without common tracks.
        kept_without: column to the share that would keep it without renumbering.
    """

    bundle: BundleManifest
    kept: Mapping[str, float | None]
    kept_without: Mapping[str, float | None]


@dataclass(frozen=True)
class RetrainJob:
    """Train a bundle on a catalog snapshot that continues an older bundle.

    Attributes:
        store: root of the store.
        from_bundle: the older bundle; its newest release has the old code of each track.
        seed: seed of the sample.
        catalog_id: the snapshot; the newest complete one when it is None.
    """

    store: str
    from_bundle: str
    seed: int = 0
    catalog_id: str | None = None

    def run(self, runner: PipelineRunner) -> RetrainResult:
        """Run the job.

        Raises:
            UsageError: the store lacks the bundle, a release of it, or a catalog.
            InvalidDataError: the bundle or the release was changed.
        """
        runner.check_reachable({"store": self.store})
        return self._run_locked(runner)

    @writes("retrain")
    def _run_locked(self, runner: PipelineRunner) -> RetrainResult:
        store = Store.open(self.store)
        old = read_bundle(store, self.from_bundle)
        table = TokenTable.of(store, find_release(store, self.from_bundle))
        snapshot = open_snapshot(store, self.catalog_id)
        working = store.bundle(f"retraining-{new_id()}").folder
        rotation = self._rotation(old[PLAYLIST], snapshot, working, runner)
        starts = _starts(old, snapshot, rotation)
        kept = {name: book for name, book in starts.items() if _is_complete_level(book)}
        starts = {name: book for name, book in starts.items() if name not in kept}
        training = CodebookTraining(snapshot, old.token_format, self.seed, kept, starts)
        trained = training.run(runner)
        pairs = _count_pairs(training, trained, table, working, runner)
        files.delete_tree(working)
        return self._finish(store, old, trained, kept, pairs, rotation)

    def _rotation(self, old: Codebook, snapshot: Snapshot, working: str, runner: PipelineRunner) -> Rotation | None:
        """Find the rotation of new playlist vectors onto the old ones; None where none is needed or possible."""
        new = snapshot.encoders.get(PLAYLIST)
        if new is None or new == old.encoder_id or not old.num_centroids or snapshot.playlists is None:
            return None
        identity = snapshot.store.read_encoder(PLAYLIST, new).identity
        if identity["dim"] != old.dim or parent_encoder(identity) == old.encoder_id:
            return None
        if identity["name"] != snapshot.store.read_encoder(PLAYLIST, old.encoder_id).identity["name"]:
            return None  # a rotation does not fit the space of one kind to that of another
        path = files.join(working, "rotation.json")
        compare = CompareSpaces(
            store=snapshot.store,
            catalog=snapshot.catalog,
            modality=PLAYLIST,
            encoders=(old.encoder_id, new),
            dim=old.dim,
        )
        runner.run(partial(_build_rotation, snapshot.store.buckets, compare, old.dim, path))
        fields = files.read_json(path)
        rotation = Rotation(**{**fields, "matrix": np.array(fields["matrix"], np.float32)})
        return rotation if rotation.tracks else None

    def _finish(
        self,
        store: Store,
        old: Bundle,
        trained: Mapping[str, TrainedCodebook],
        levels: Mapping[str, Codebook],
        pairs: Mapping[str, CodePairs],
        rotation: Rotation | None,
    ) -> RetrainResult:
        """Renumber the codes of trained codebooks, and write them and the kept levels as one bundle."""
        parent = read_manifest(store, self.from_bundle).codebooks
        codebooks: dict[str, Codebook] = {}
        training: dict[str, Mapping[str, Any]] = {}
        alignments: dict[str, Alignment] = {}
        for column in old.token_format.coded:
            name = column.name
            if name not in trained:
                codebooks[name] = levels.get(name, old[name])
                training[name] = parent[name]["training"] if name in levels else {}
                continue
            warn_of_few(trained[name])
            new = trained[name].codebook
            alignments[name] = align(old[name], new, pairs[name])
            codebooks[name] = relabel(new, alignments[name].mapping)
            training[name] = {**trained[name].training, **_alignment_metrics(alignments[name])}
        if rotation is not None:
            training[PLAYLIST] = {**training[PLAYLIST], "rotation_cosine": rotation.cosine}
        bundle = Bundle.of(codebooks.values(), old.numbers, old.same_song)
        kept = frozenset(book.name for book in bundle.codebooks if book.content_hash == old[book.name].content_hash)
        manifest = write_bundle(store, bundle, training, kept, self.from_bundle)
        unchanged = {name: align(old[name], levels[name], pairs[name]) for name in levels}
        without = {m: _share(a.kept_without, a.weight) for m, a in (alignments | unchanged).items()}
        renumbered = {m: _share(a.kept, a.weight) for m, a in alignments.items()}
        return RetrainResult(manifest, {m: renumbered.get(m, share) for m, share in without.items()}, without)


def _starts(old: Bundle, snapshot: Snapshot, rotation: Rotation | None) -> dict[str, Codebook]:
    """Choose the start of each column: the old codebook, if the vectors share its space or can be rotated."""
    starts: dict[str, Codebook] = {}
    for modality, encoder_id in snapshot.encoders.items():
        books = [old[column.name] for column in old.token_format.columns_of(modality)]
        space = books[0].preprocessing
        if books[0].num_centroids and _in_space_of(snapshot.store, modality, books[0].encoder_id, encoder_id):
            pass
        elif modality == PLAYLIST and rotation is not None:
            space = _rotated(space, rotation)
        else:
            continue
        starts |= {book.name: replace(book, encoder_id=encoder_id, preprocessing=space) for book in books}
    return starts


def _is_complete_level(codebook: Codebook) -> bool:
    """Return whether a codebook is of a residual level, and has a centroid for each of its codes."""
    return codebook.level > 1 and codebook.num_centroids == codebook.codebook_size


def _in_space_of(store: Store, modality: str, old: str, new: str) -> bool:
    """Return whether an encoder's vectors share the space of another's."""
    return new == old or (modality == PLAYLIST and parent_encoder(store.read_encoder(PLAYLIST, new).identity) == old)


def _rotated(preprocessing: Preprocessing, rotation: Rotation) -> Preprocessing:
    """Rotate vectors before a preprocessing, which may have a rotation of its own."""
    old = preprocessing.projection
    return replace(preprocessing, projection=rotation.matrix if old is None else rotation.matrix @ old)


def _build_rotation(buckets: int, compare: CompareSpaces, dim: int, path: str, pipeline: beam.Pipeline) -> None:
    (
        pipeline
        | "buckets" >> beam.Create(range(buckets))
        | "compare spaces" >> beam.ParDo(compare).with_output_types(typehints.KV[int, RotationAccumulator])
        | "write rotation" >> Gather(partial(_write_rotation, dim, path))
    )


def _write_rotation(dim: int, path: str, parts: list[tuple[int, RotationAccumulator]]) -> None:
    rotation = merge_rotations(parts, dim)
    files.write_json(path, {**asdict(rotation), "matrix": rotation.matrix.tolist()})


def _count_pairs(
    training: CodebookTraining,
    trained: Mapping[str, TrainedCodebook],
    old: TokenTable,
    working: str,
    runner: PipelineRunner,
) -> dict[str, CodePairs]:
    """Count the pairs of codes, old and new, over common tracks: column to pairs."""
    path, folder = files.join(working, "pairs.json"), TrainingFolder(working)
    books = {name: result.codebook for name, result in trained.items()} | dict(training.kept)
    coded = {name: codebook for name, codebook in books.items() if codebook.num_centroids}
    folder.write_kept(coded)
    snapshot = training.snapshot
    buckets = [part for part in modality_buckets(snapshot.buckets(), training.token_format) if part[0] in coded]
    runner.run(partial(_build_pairs, snapshot, folder, buckets, old, path, runner.processes_per_machine))
    return {name: _pairs(fields) for name, fields in files.read_json(path).items()}


def _build_pairs(
    snapshot: Snapshot,
    folder: TrainingFolder,
    buckets: Collection[tuple[str, int]],
    old: TokenTable,
    path: str,
    workers: int,
    pipeline: beam.Pipeline,
) -> None:
    assign = AssignWithNewBundle(
        store=snapshot.store,
        catalog=snapshot.catalog,
        folder=folder,
        names=old.token_format.names,
        workers=workers,
    )
    (
        pipeline
        | "key buckets" >> beam.Create(buckets)
        | "assign new codes" >> beam.ParDo(assign).with_output_types(Keyed)
        | "group by track bucket" >> beam.GroupByKey()
        | "pair codes" >> beam.ParDo(PairCodes(snapshot.catalog, old)).with_output_types(typehints.KV[str, CodePairs])
        | "add up" >> beam.CombinePerKey(MergeCodePairs())
        | "write pairs" >> Gather(partial(_write_pairs, path))
    )


def _write_pairs(path: str, pairs: list[tuple[str, CodePairs]]) -> None:
    content = {
        name: {"old": counted.old.tolist(), "new": counted.new.tolist(), "weights": counted.weights.tolist()}
        for name, counted in pairs
    }
    files.write_json(path, content)


def _pairs(fields: Mapping[str, list[int]]) -> CodePairs:
    old, new = np.array(fields["old"], np.int16), np.array(fields["new"], np.int16)
    return CodePairs(old, new, np.array(fields["weights"], np.int64))


def _alignment_metrics(alignment: Alignment) -> dict[str, Any]:
    """Format an alignment as training metrics of the bundle's manifest."""
    return {f"aligned_{name}": value for name, value in asdict(alignment).items() if name != "mapping"}


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
