"""The playlists job: clean playlists against a catalog, and train track vectors on them, or fold new tracks in."""

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import apache_beam as beam

from tracktokens.pipelines.catalog_source import MAX_REJECT_RATE
from tracktokens.pipelines.input_paths import check_apart
from tracktokens.pipelines.jobs.vocabulary import KeptVocabulary
from tracktokens.pipelines.runner import PipelineRunner
from tracktokens.schemas.errors import UsageError
from tracktokens.schemas.manifests.catalog import PlaylistsManifest
from tracktokens.schemas.manifests.release import ReleaseManifest
from tracktokens.schemas.modalities import PLAYLIST
from tracktokens.schemas.playlist_encoders import AUTO, WORD2VEC
from tracktokens.schemas.tables.playlists import PLAYLISTS
from tracktokens.transforms.catalog.column_losses import NULL_ELEMENTS, IgnoredColumns, column_losses
from tracktokens.transforms.gates.input_rows import RejectRateGate, playlist_rows, playlists_refused
from tracktokens.transforms.playlists.fold_in_tracks import FoldPlaylists
from tracktokens.transforms.playlists.playlist_encoder import (
    KINDS,
    PlaylistEncoder,
    encoders_of,
    read_settings,
    require_installed,
)
from tracktokens.transforms.playlists.read_playlists import PLAYLISTS_READ, TRACK_IDS
from tracktokens.transforms.playlists.train_vectors import (
    HEADS_TAG,
    KeepKnown,
    ScanPlaylists,
    TrainPlaylists,
    WriteCorpus,
)
from tracktokens.transforms.playlists.unknown_tracks import find_unknown
from tracktokens.transforms.readers.fragments import Fragment, check_table, estimate_rows, find_fragments
from tracktokens.transforms.release.input_warnings import require_used, warn_of_playlists
from tracktokens.transforms.runtime.arrow_coder import Count, Keyed
from tracktokens.transforms.runtime.counters import COUNTS_TAG, OnTotals, WriteCounts, read_counts, require_balance
from tracktokens.transforms.runtime.progress import ProgressReporter
from tracktokens.transforms.runtime.rejects import REJECTS_TAG, WriteRejects
from tracktokens.transforms.runtime.spilled import CreateSpilled, SpilledList, spill
from tracktokens.transforms.store import files
from tracktokens.transforms.store.bundles import read_manifest
from tracktokens.transforms.store.layout import WORKING, Catalog, Store, new_id
from tracktokens.transforms.store.snapshots import Snapshot, open_snapshot
from tracktokens.transforms.store.token_tables import TokenTable
from tracktokens.transforms.store.writer_lock import writes

COUNTS_FILE = "counts.json"
RESULT_FILE = "encoder.json"

_logger = logging.getLogger(__name__)


@dataclass(eq=False)
class _OnWholeCorpus(beam.PTransform):
    """Send all files of the corpus to one worker: encoders train on them together.

    Attributes:
        train: step that makes vectors from the paths of all files.
        refused: one value, whether to do nothing.
    """

    train: beam.DoFn
    refused: beam.PCollection

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, paths: beam.PCollection) -> beam.PCollection:
        return (
            paths
            | "to one worker" >> beam.WithKeys(0).with_output_types(beam.typehints.KV[int, str])
            | "whole corpus" >> beam.GroupByKey()
            | "train" >> beam.ParDo(self.train, beam.pvalue.AsSingleton(self.refused)).with_output_types(type(None))
        )


@dataclass(frozen=True)
class PlaylistsJob:
    """Make playlist vectors for a catalog snapshot.

    Attributes:
        playlists: file, folder or glob of the playlists table.
        store: root of the store.
        catalog_id: the snapshot; the newest complete one when it is None.
        encoder: ``word2vec``, ``als``, or ``auto`` for the one that continues held-out playlists best; None takes the
            kind of ``from_bundle``, else ``word2vec``.
        config: settings of the encoder, instead of the default ones of ``encoder``.
        from_bundle: bundle whose playlist vectors the training continues from, in their space, if they are of the same
            kind; None trains from scratch.
        frozen: release whose playlist vectors are kept: nothing is trained, and new tracks are folded into their
            space. None trains.
        max_reject_rate: share of the playlists, 0 to 1, that may be rejected before the job fails.
        keeps: vocabulary whose playlist tokens keep their meaning: playlists of other vectors are refused before
            anything is trained. None allows any.
    """

    playlists: str
    store: str
    catalog_id: str | None = None
    encoder: str | None = None
    config: PlaylistEncoder | None = None
    from_bundle: str | None = None
    frozen: ReleaseManifest | None = None
    max_reject_rate: float = MAX_REJECT_RATE
    keeps: KeptVocabulary | None = None

    def run(self, runner: PipelineRunner) -> PlaylistsManifest:
        """Run the job and return the manifest that it wrote to the snapshot, whose playlists it replaces.

        The snapshot keeps the playlists that it had where the job raises.

        Raises:
            UsageError: an input or the encoder's package is missing, the store has no catalog, the catalog has
                precomputed playlist embeddings, the bundle has no playlist vectors that training can continue from, or
                tokens of the vocabulary would change their meaning.
            InvalidDataError: the playlists cannot be used, too many are rejected, or none of their tracks has an old
                vector.
        """
        runner.check_reachable({"store": self.store, "playlists": self.playlists})
        return self._run_locked(runner)

    @writes("playlists")
    def _run_locked(self, runner: PipelineRunner) -> PlaylistsManifest:
        check_apart(self.store, {"playlists": self.playlists})
        fragments = find_fragments(files.absolute(self.playlists), "playlists")
        check_table(fragments, PLAYLISTS)
        snapshot = open_snapshot(Store.open(self.store), self.catalog_id)
        refuse_two_sources(snapshot.manifest.vectors)
        draft = Catalog(files.join(snapshot.store.root, WORKING, new_id()), snapshot.store.buckets)
        train = self._trainer(snapshot, draft, runner)
        runner.progress.add("scan playlists", total=estimate_rows(fragments))
        try:
            spilled = spill(fragments, files.join(draft.folder, "playlists.json"))
            runner.run(partial(self._build, snapshot.catalog, draft, spilled, train, runner))
            manifest = self._check(snapshot.catalog, draft, fragments)
            if self.keeps is not None:
                self.keeps.check_playlist_vectors(manifest)
            files.move_tree(draft.playlists, snapshot.catalog.playlists)
        finally:
            files.delete_tree(draft.folder)
        files.write_bytes(snapshot.catalog.playlists_manifest, manifest.to_json().encode())
        return manifest

    def _encoders(self, start: Mapping[str, Any] | None) -> tuple[PlaylistEncoder, ...]:
        """Return the encoders to choose from. ``start`` is the identity of the one that training continues from."""
        if self.config is not None:
            return (self.config,)
        kind = self.encoder or (WORD2VEC if start is None else start["name"])
        encoders = encoders_of(kind)
        if start is not None and start["name"] not in {encoder.name for encoder in encoders}:
            _logger.warning(
                "the playlist vectors of bundle %s are of %s: %s is trained from scratch, in a space of its own",
                self.from_bundle,
                start["name"],
                kind,
            )
        return encoders

    def _start_from(self, store: Store, bundle_id: str) -> str:
        """Find the encoder id of a bundle's playlist vectors, and check that they were trained here."""
        encoder_id = read_manifest(store, bundle_id).encoders.get(PLAYLIST)
        if encoder_id is None:
            raise UsageError(f"bundle {bundle_id} has no playlist vectors to continue from: omit --from-bundle")
        if store.read_encoder(PLAYLIST, encoder_id).identity["name"] not in KINDS:
            raise UsageError(f"playlist vectors of bundle {bundle_id} are precomputed embeddings: omit --from-bundle")
        return encoder_id

    def _check_dimensions(self, encoders: Sequence[PlaylistEncoder], start: Mapping[str, Any]) -> None:
        for encoder in encoders:
            if encoder.name == start["name"] and encoder.dim != start["dim"]:
                raise UsageError(
                    f"the playlist vectors of bundle {self.from_bundle} have {start['dim']} dimensions, new ones "
                    f"{encoder.dim}: omit --from-bundle"
                )

    def _build(
        self,
        catalog: Catalog,
        draft: Catalog,
        fragments: SpilledList[Fragment],
        train: beam.DoFn,
        runner: PipelineRunner,
        pipeline: beam.Pipeline,
    ) -> None:
        scanned = _scan_playlists(fragments, catalog.buckets, runner.progress, pipeline)
        known = _keep_known(scanned.main, catalog)
        written = _write_corpus(known.main, scanned[HEADS_TAG], draft)
        # Training waits for these totals, so nothing is trained on playlists that are refused.
        refused = scanned[COUNTS_TAG] | "refuse" >> OnTotals(partial(playlists_refused, self._gate), bool)
        written.main | "train" >> _OnWholeCorpus(train, refused)
        for name, rejected in (("scan", scanned[REJECTS_TAG]), ("corpus", written[REJECTS_TAG])):
            rejected | f"write {name} rejects" >> WriteRejects(draft.playlist_rejects, f"playlists-{name}")
        counts = [scanned[COUNTS_TAG], known[COUNTS_TAG], written[COUNTS_TAG]] | "all counts" >> beam.Flatten()
        counts | "write counts" >> WriteCounts(files.join(draft.playlists, COUNTS_FILE))

    @property
    def _gate(self) -> RejectRateGate:
        return RejectRateGate(self.max_reject_rate)

    def _trainer(self, snapshot: Snapshot, draft: Catalog, runner: PipelineRunner) -> beam.DoFn:
        """Create the step that makes vectors from the corpus: by training, or by folding in."""
        store, result = snapshot.store, files.join(draft.playlists, RESULT_FILE)
        if self.frozen is None:
            start_from = None if self.from_bundle is None else self._start_from(store, self.from_bundle)
            start = None if start_from is None else store.read_encoder(PLAYLIST, start_from).identity
            encoders = self._encoders(start)
            if start is not None:
                self._check_dimensions(encoders, start)
            return TrainPlaylists(
                store=store,
                encoders=encoders,
                result=result,
                progress=runner.progress,
                start_from=start_from,
                kept=None if self.keeps is None else self.keeps.kept_encoder(PLAYLIST),
            )
        table, encoder_id = TokenTable.of(store, self.frozen), self.frozen.encoders[PLAYLIST]
        encoder = read_settings(store.read_encoder(PLAYLIST, encoder_id).identity)
        require_installed(encoder.name)
        return FoldPlaylists(
            store=store,
            encoder_id=encoder_id,
            encoder=encoder,
            published=table,
            result=result,
            progress=runner.progress,
        )

    def _check(self, catalog: Catalog, draft: Catalog, fragments: list[Fragment]) -> PlaylistsManifest:
        """Check that the playlists can be used, warn of what is not used of them, and describe them."""
        counts = read_counts(files.join(draft.playlists, COUNTS_FILE))
        used = counts["playlists_used"]
        require_balance("playlists", counts[PLAYLISTS_READ], used, "used", counts["rows_rejected"])
        self._gate.check(playlist_rows(counts))
        example = find_unknown(fragments, catalog) if 2 * counts["entries_unknown"] > counts["entries_read"] else ""
        require_used(self.playlists, "the catalog", counts, used, example)
        warn_of_playlists(counts, used, example)
        return _manifest(counts, self._result(draft))

    def _result(self, draft: Catalog) -> Mapping[str, Any]:
        """Read the result of the training, and report a choice that leaves the space of the bundle."""
        result: Mapping[str, Any] = files.read_json(files.join(draft.playlists, RESULT_FILE))
        if self.encoder == AUTO and self.from_bundle is not None and not result["continued"]:
            _logger.warning(
                "%s continues held-out playlists best, and is trained from scratch: bundle %s has vectors of another "
                "kind",
                result["encoder"],
                self.from_bundle,
            )
        return result


def _manifest(counts: Mapping[str, int], result: Mapping[str, Any]) -> PlaylistsManifest:
    return PlaylistsManifest(
        encoder_id=result["encoder_id"],
        playlists_read=counts[PLAYLISTS_READ],
        playlists_used=counts["playlists_used"],
        playlists_rejected=counts["rows_rejected"],
        entries_read=counts["entries_read"],
        entries_unknown=counts["entries_unknown"],
        tracks=result["tracks"],
        trained=result["trained"],
        folded=result.get("folded", 0),
        without_vector=result["without_vector"],
        encoder=result["encoder"],
        comparison=result.get("comparison"),
        entries_null=counts[f"{NULL_ELEMENTS}{TRACK_IDS}"],
        entries_rejected=sum(sum(column.rejected.values()) for column in column_losses(counts)),
        ignored_columns=IgnoredColumns.of_counts(counts).names,
    )


def refuse_two_sources(vectors: Collection[str]) -> None:
    """Raise :class:`UsageError` where playlist vectors are given, so that there is nothing to learn."""
    if PLAYLIST in vectors:
        raise UsageError(f"give either playlists to learn from or --embeddings {PLAYLIST}=..., not both")


def _scan_playlists(
    fragments: SpilledList[Fragment], buckets: int, progress: ProgressReporter, pipeline: beam.Pipeline
) -> beam.pvalue.DoOutputsTuple:
    return (
        pipeline
        | "fragments" >> CreateSpilled(fragments)
        | "scan"
        >> beam.ParDo(ScanPlaylists(buckets=buckets, progress=progress))
        .with_output_types(Keyed, **{HEADS_TAG: Keyed, REJECTS_TAG: Keyed, COUNTS_TAG: Count})
        .with_outputs(HEADS_TAG, REJECTS_TAG, COUNTS_TAG, main="main")
    )


def _keep_known(entries: beam.PCollection, catalog: Catalog) -> beam.pvalue.DoOutputsTuple:
    return (
        entries
        | "group by track bucket" >> beam.GroupByKey()
        | "keep known"
        >> beam.ParDo(KeepKnown(catalog=catalog))
        .with_output_types(Keyed, **{COUNTS_TAG: Count})
        .with_outputs(COUNTS_TAG, main="main")
    )


def _write_corpus(entries: beam.PCollection, heads: beam.PCollection, draft: Catalog) -> beam.pvalue.DoOutputsTuple:
    return (
        {"entries": entries, "heads": heads}
        | "group by playlist" >> beam.CoGroupByKey()
        | "write corpus"
        >> beam.ParDo(WriteCorpus(draft=draft))
        .with_output_types(str, **{REJECTS_TAG: Keyed, COUNTS_TAG: Count})
        .with_outputs(REJECTS_TAG, COUNTS_TAG, main="main")
    )
