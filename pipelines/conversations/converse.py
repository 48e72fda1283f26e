"""Conversations from the playlists of a catalog: plan them, check the plans, word them, and write one per line."""

import hashlib
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson

from tracktokens.pipelines.catalog_source import MAX_REJECT_RATE
from tracktokens.pipelines.conversations.catalog import ConversationCatalog
from tracktokens.pipelines.conversations.conversation import Conversation, format_conversation
from tracktokens.pipelines.conversations.diversity import distinct_n
from tracktokens.pipelines.conversations.known_playlists import KnownPlaylist, PlaylistReader, Reject
from tracktokens.pipelines.conversations.known_words import language_of
from tracktokens.pipelines.conversations.llm_wording import LlmOptions, LlmWording
from tracktokens.pipelines.conversations.plan import Plan, faults_of
from tracktokens.pipelines.conversations.planner import Planner
from tracktokens.pipelines.conversations.splits import TEST, SplitShares, playlist_hash
from tracktokens.pipelines.conversations.track_card import LANGUAGES, TrackCard, spoken_name
from tracktokens.pipelines.conversations.wording import Wording
from tracktokens.pipelines.input_paths import check_apart
from tracktokens.schemas.errors import InvalidDataError
from tracktokens.transforms.gates.input_rows import RejectRateGate, playlist_rows
from tracktokens.transforms.playlists.unknown_tracks import describe_unknown
from tracktokens.transforms.release.input_warnings import require_used, warn_of_playlists
from tracktokens.transforms.store.layout import Store
from tracktokens.transforms.store.releases import release_or_latest
from tracktokens.transforms.store.user_files import check_output, is_stream, open_output

_logger = logging.getLogger(__name__)

DEFAULT_SHARES = SplitShares(validation=0.1, test=0.1)

MEASURED = 1000
"""Conversations that distinct-2 is measured on: it depends on their number."""


@dataclass(frozen=True, kw_only=True)
class ConverseOptions:
    """Options of :func:`converse`.

    Attributes:
        playlists: playlists of the catalog: file, folder or glob.
        release: id of a release, or of a bundle, for its newest release; None for the latest.
        test_playlists: playlists of the test conversations; None to take a share of ``playlists``.
        tracks: table of tracks with albums, years and lyrics, which a store does not have; None without.
        conversations: number of conversations; None for one per playlist.
        languages: languages that may be chosen by a playlist's titles; of several that were named by a user, each
            playlist draws one.
        draw_language: whether to draw the language instead of choosing it by the titles.
        least_tracks: known tracks that a playlist needs.
        shares: shares of the splits.
        seed: seed of all draws.
        max_reject_rate: share of the playlists, 0 to 1, that may be rejected.
        llm: endpoint that words the plans; None for the grammar alone.
    """

    playlists: str
    release: str | None = None
    test_playlists: str | None = None
    tracks: str | None = None
    conversations: int | None = None
    languages: Sequence[str] = LANGUAGES
    draw_language: bool = False
    least_tracks: int = 4
    shares: SplitShares = DEFAULT_SHARES
    seed: int = 0
    max_reject_rate: float = MAX_REJECT_RATE
    llm: LlmOptions | None = None


@dataclass
class ConverseStats:
    """Counts of conversations.

    Attributes:
        release: id of the release.
        playlists_read: playlists read.
        playlists_used: playlists that conversations were made from.
        playlists_rejected: other playlists, each with a reject: not readable, read before, or too few known tracks.
        entries_unknown: entries of playlists that the release does not have.
        conversations: conversations written, by split.
        languages: conversations by language.
        goals: conversations by kind of goal.
        acts: turns by act of the listener.
        tracks: different tracks that are recommended.
        recommendations: recommended tracks in all turns.
        invalid_plans: plans that failed their check, and were not written.
        skeletons: different sentence skeletons that were used.
        distinct_2: distinct-2 of the first :data:`MEASURED` conversations.
        tracks_table: counts of the table of tracks.
        llm: conversations by the source of their words, and answers that failed the check; empty without an endpoint.
    """

    release: str
    playlists_read: int = 0
    playlists_used: int = 0
    playlists_rejected: int = 0
    entries_unknown: int = 0
    conversations: Counter[str] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)
    goals: Counter[str] = field(default_factory=Counter)
    acts: Counter[str] = field(default_factory=Counter)
    tracks: int = 0
    recommendations: int = 0
    invalid_plans: int = 0
    skeletons: int = 0
    distinct_2: float = 0.0
    tracks_table: Counter[str] = field(default_factory=Counter)
    llm: Counter[str] = field(default_factory=Counter)

    def to_json(self) -> dict[str, Any]:
        """Return all fields as JSON values."""
        return {name: dict(value) if isinstance(value, Counter) else value for name, value in vars(self).items()}


@dataclass(frozen=True)
class PlannedConversation:
    """A conversation that is not worded yet."""

    plan: Plan
    cards: dict[str, TrackCard]
    split: str


def converse(root: str, out: str, options: ConverseOptions) -> ConverseStats:
    """Write conversations as JSON Lines; ``<out>.rejects`` lists the playlists that are not used, with the reason.

    The catalog's names and tags are in memory; playlists are read one batch at a time, twice if the number of
    conversations is given. The same inputs and seed give the same bytes.

    Raises:
        UsageError: the store, the release or a table does not exist, or ``out`` cannot be written.
        InvalidDataError: a table cannot be read, too many playlists are rejected, or none has enough known tracks.
    """
    tables = {"playlists": options.playlists, "test playlists": options.test_playlists, "tracks": options.tracks}
    check_apart(root, {name: path for name, path in tables.items() if path is not None})
    store = Store.open(root)
    for path in (out, f"{out}.rejects"):
        check_output(path, [path for path in tables.values() if path is not None], store.root)
    release = release_or_latest(store, options.release)
    catalog = ConversationCatalog.read(store, release)
    track_rejects = [] if options.tracks is None else catalog.read_tracks(options.tracks)
    maker = _Maker(catalog, options, ConverseStats(release.release_id, tracks_table=catalog.counts))
    quota = None if options.conversations is None else _Quota.of(catalog, options, options.conversations)
    with open_output(out) as file:
        for planned, messages in maker.worded(maker.planned(quota)):
            file.write(format_conversation(maker.conversation(planned, messages)) + b"\n")
        maker.check(release.release_id)
    rejects = [row for batch in track_rejects for row in batch.to_pylist()] + maker.reader.rejects
    _write_rejects(out, rejects)
    return maker.finish()


@dataclass(frozen=True)
class _Quota:
    """Conversations per playlist: ``each``, and one more for the playlists with the smallest hashes."""

    each: int
    largest: int
    seed: int

    @classmethod
    def of(cls, catalog: ConversationCatalog, options: ConverseOptions, conversations: int) -> "_Quota":
        """Read the playlists once, and divide the conversations among them."""
        reader = PlaylistReader(catalog, options.least_tracks)
        hashes = [_hash(options.seed, playlist.playlist_id) for _, playlist in _read(reader, options)]
        each, rest = divmod(conversations, len(hashes)) if hashes else (0, 0)
        largest = int(np.sort(np.array(hashes, np.uint64))[rest - 1]) if rest else -1
        return cls(each, largest, options.seed)

    def conversations_of(self, playlist_id: str) -> int:
        return self.each + (_hash(self.seed, playlist_id) <= self.largest)


class _Maker:
    """Plans and words conversations, and counts them."""

    def __init__(self, catalog: ConversationCatalog, options: ConverseOptions, stats: ConverseStats) -> None:
        self.reader = PlaylistReader(catalog, options.least_tracks)
        self._catalog, self._options, self._stats = catalog, options, stats
        self._skeletons: set[str] = set()
        self._recommended: set[str] = set()
        self._texts: list[str] = []

    def planned(self, quota: _Quota | None) -> Iterator[PlannedConversation]:
        """Plan the conversations, playlist by playlist."""
        for split, playlist in _read(self.reader, self._options):
            count = 1 if quota is None else quota.conversations_of(playlist.playlist_id)
            cards = self._catalog.cards(playlist.rows) if count else []
            for number in range(1, count + 1):
                planned = self._plan(playlist, cards, f"{playlist.playlist_id}#{number}", split)
                if planned is not None:
                    yield planned

    def worded(
        self, planned: Iterator[PlannedConversation]
    ) -> Iterator[tuple[PlannedConversation, list[dict[str, str]] | None]]:
        """Word plans by the model, if there is one; None where the grammar has to."""
        if self._options.llm is None:
            return ((item, None) for item in planned)
        llm = LlmWording(self._options.llm, self._stats.llm)
        return llm.word_all(planned)

    def conversation(self, planned: PlannedConversation, messages: list[dict[str, str]] | None) -> Conversation:
        """Make the line of a conversation, worded by the grammar if it has no messages yet, and count it."""
        plan = planned.plan
        if messages is None:
            wording = Wording(plan, planned.cards, _generator(self._options.seed, "wording", plan.conversation_id))
            messages = wording.messages()
            self._skeletons |= wording.skeletons
        self._count(planned, messages)
        return {
            "id": plan.conversation_id,
            "messages": messages,
            "split": planned.split,
            "playlist": plan.playlist_id,
            "language": plan.language,
            "goal": {"kind": plan.goal.kind, "value": plan.goal.value},
        }

    def check(self, release_id: str) -> None:
        """Check that enough playlists are used, and warn of the others."""
        reader, options = self.reader, self._options
        violation = RejectRateGate(options.max_reject_rate).find_violation(playlist_rows(reader.counts))
        if violation is not None:
            raise InvalidDataError(f"{violation}; no conversation was written")
        example = describe_unknown(reader.unknown, self._catalog.track_ids[:2].to_pylist())
        if reader.used == 0 and options.least_tracks > 2:
            _logger.warning("a playlist needs %d known tracks: see --least-tracks", options.least_tracks)
        require_used(options.playlists, f"release {release_id}", reader.counts, reader.used, example)
        warn_of_playlists(reader.counts, reader.used, example)

    def finish(self) -> ConverseStats:
        """Return the counts."""
        stats, counts = self._stats, self.reader.counts
        stats.playlists_read, stats.playlists_used = counts["playlists_read"], self.reader.used
        stats.playlists_rejected, stats.entries_unknown = self.reader.lost, counts["entries_unknown"]
        stats.tracks, stats.skeletons = len(self._recommended), len(self._skeletons)
        stats.distinct_2 = distinct_n(self._texts)
        return stats

    def _plan(
        self, playlist: KnownPlaylist, cards: list[TrackCard], conversation_id: str, split: str
    ) -> PlannedConversation | None:
        chance = _generator(self._options.seed, "plan", conversation_id)
        name = spoken_name(playlist.name)
        if self._options.draw_language:
            language = self._options.languages[int(chance.integers(len(self._options.languages)))]
        else:
            language = language_of((name, *(card.title for card in cards)), self._options.languages)
        plan = Planner(playlist.playlist_id, name, cards, language, chance).plan(conversation_id)
        by_id = {card.track_id: card for card in cards}
        if faults := faults_of(plan, by_id):
            self._stats.invalid_plans += 1
            _logger.warning("conversation %s is not written, its plan %s", conversation_id, faults[0])
            return None
        return PlannedConversation(plan, by_id, split)

    def _count(self, planned: PlannedConversation, messages: list[dict[str, str]]) -> None:
        plan, stats = planned.plan, self._stats
        stats.conversations[planned.split] += 1
        stats.languages[plan.language] += 1
        stats.goals[plan.goal.kind] += 1
        stats.acts.update(turn.act for turn in plan.turns)
        stats.recommendations += len(plan.recommended)
        self._recommended.update(plan.recommended)
        if stats.conversations.total() <= MEASURED:
            self._texts += [message["content"] for message in messages]


def _read(reader: PlaylistReader, options: ConverseOptions) -> Iterator[tuple[str, KnownPlaylist]]:
    """Read the playlists with their split; those of the test first, so that they are in no other split."""
    shares = options.shares
    if options.test_playlists is not None:
        shares = SplitShares(shares.validation, 0.0)
        yield from ((TEST, playlist) for playlist in reader.read(options.test_playlists))
    yield from ((shares.split_of(playlist.playlist_id), playlist) for playlist in reader.read(options.playlists))


def _generator(seed: int, *names: str) -> np.random.Generator:
    """Return a random stream of its own for a conversation: other playlists do not change it."""
    label = "/".join((str(seed), *names)).encode()
    return np.random.default_rng(int.from_bytes(hashlib.blake2b(label, digest_size=8).digest(), "little"))


def _hash(seed: int, playlist_id: str) -> int:
    return playlist_hash(f"{seed}/{playlist_id}")


def _write_rejects(out: str, rejects: Sequence[Reject]) -> None:
    """Write the rejects beside a file, or to the log for a stream."""
    if is_stream(out):
        for reject in rejects:
            _logger.warning("%s: %s", reject["reason"], reject["detail"])
        return
    with open_output(f"{out}.rejects") as file:
        file.writelines(orjson.dumps(reject) + b"\n" for reject in rejects)
