"""Write the training files of a release: rows of all tasks, mixed, in train, validation and test files."""

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow.compute as pc

from tracktokens.codebooks.tokens.vocabulary import vocabulary
from tracktokens.pipelines.conversations.conversation import RejectedLineError, parse_conversation
from tracktokens.pipelines.input_paths import check_not_read
from tracktokens.pipelines.training_data.chat_template import check_marks
from tracktokens.pipelines.training_data.continuation import Continuation
from tracktokens.pipelines.training_data.grounding import MOST_WORDS, Grounding, lyric_lines, validation_share
from tracktokens.pipelines.training_data.rows import (
    CODE_TO_WORDS,
    CONVERSATION,
    LYRICS_TO_TOKENS,
    PLAYLIST_CONTINUATION,
    SPLITS,
    TASKS,
    TEST,
    TITLE_TO_TOKENS,
    TOKENS_TO_TITLE,
    TRAIN,
    VALIDATION,
    TrainingRow,
)
from tracktokens.pipelines.training_data.sampling import Chance, Shares, complete_mix
from tracktokens.pipelines.training_data.token_lookup import UNKNOWN, TokenLookup
from tracktokens.pipelines.training_data.trainers import MESSAGES, further_files
from tracktokens.pipelines.training_data.training_options import TrainingOptions
from tracktokens.pipelines.training_data.turns import Dialogue
from tracktokens.pipelines.training_data.writer import TRAINING_FILE, TrainingWriter, new_folder, open_writer
from tracktokens.schemas.errors import InvalidDataError
from tracktokens.schemas.manifests.release import ReleaseManifest
from tracktokens.schemas.tables.playlists import PLAYLISTS
from tracktokens.schemas.tables.tracks import TRACK_ID, TRACKS
from tracktokens.transforms.playlists.read_playlists import PLAYLISTS_READ, TRACK_IDS, read_playlists
from tracktokens.transforms.playlists.unknown_tracks import describe_unknown
from tracktokens.transforms.readers.fragment_reader import read_fragment
from tracktokens.transforms.readers.fragments import Fragment, check_table, find_fragments
from tracktokens.transforms.readers.text_stream import open_text
from tracktokens.transforms.readers.validation import validate_ids
from tracktokens.transforms.release.track_terms import code_words
from tracktokens.transforms.store import files
from tracktokens.transforms.store.layout import Store
from tracktokens.transforms.store.releases import release_or_latest
from tracktokens.transforms.store.token_tables import TokenTable

FORMAT = 1
"""Version of the folder's layout, in ``training.json``."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingResult:
    """Outcome.

    Attributes:
        summary: content of ``training.json``.
        left_out: task to the reason why it has no rows.
    """

    summary: Mapping[str, Any]
    left_out: Mapping[str, str]


def render_training(options: TrainingOptions) -> TrainingResult:
    """Write the training files of a release.

    Memory: the codes of all tracks, and one bucket or batch of rows at a time.

    Raises:
        UsageError: an option is wrong, an input does not exist, or the folder is not new.
        InvalidDataError: an input cannot be read, or there is nothing to train on.
    """
    options.check()
    if options.shape == MESSAGES and options.model is not None:
        check_marks(options.model)
    store = Store.open(options.store)
    release = release_or_latest(store, options.release)
    kept = release.options or {}
    given = {name: kept.get(name) for name in ("tracks", "playlists", "embeddings")}
    given |= {name: path for name in ("tracks", "playlists") if (path := getattr(options, name)) is not None}
    check_not_read(files.join(options.out, f"{TRAIN}.jsonl"), given)
    table = TokenTable.of(store, release)
    with new_folder(options.out) as folder:
        chance = Chance(options.seed)
        orders = (table.token_format.names, chance) if options.permute else None
        with open_writer(folder, options.trainer, options.shape, orders) as writer:
            job = _Rendering(options, table, TokenLookup.read(table), writer, chance)
            job.run()
        result = _finish(options, release, job)
        tokens = [entry.token for entry in vocabulary(table.token_format)]
        rows = {split: sum(tasks.values()) for split, tasks in writer.table().items()}
        for name, content in further_files(options.trainer, tokens, rows).items():
            (folder / name).write_bytes(content)
        files.write_json(str(folder / TRAINING_FILE), dict(result.summary))
    return result


class _Rendering:
    """Reads each input once, and writes the rows of its tasks."""

    def __init__(
        self,
        options: TrainingOptions,
        table: TokenTable,
        lookup: TokenLookup,
        writer: TrainingWriter,
        chance: Chance,
    ) -> None:
        self.options, self.table, self.lookup, self.writer, self.chance = options, table, lookup, writer, chance
        self.mix = complete_mix(options.mix)
        self.shares = Shares(options.validation_share, options.test_share)
        self.inputs: dict[str, Counter[str]] = {}
        self.left_out: dict[str, str] = {}
        self._splits: dict[str, str] = {}

    def run(self) -> None:
        """Write all rows. Conversations are first: they decide on the split of the playlists that they are made of."""
        steps: Sequence[tuple[Callable[[], None], tuple[str, ...], str, Any]] = (
            (self._conversations, (CONVERSATION,), "conversations", self.options.conversations),
            (self._playlists, (PLAYLIST_CONTINUATION,), "playlists", self.options.playlists),
            (self._tracks, (TITLE_TO_TOKENS, TOKENS_TO_TITLE), "store", self.options.store),
            (self._lyrics, (LYRICS_TO_TOKENS,), "tracks", self.options.tracks),
            (self._codes, (CODE_TO_WORDS,), "store", self.options.store),
        )
        for step, tasks, option, given in steps:
            if not given:
                self._leave_out(tasks, f"--{option} is not given")
            elif not any(self.mix[task] for task in tasks):
                self._leave_out(tasks, "its rate is 0")
                if option != "store":
                    _logger.warning("--%s is not used: --mix gives %s a rate of 0", option, tasks[0])
            else:
                step()
                self._leave_out([task for task in tasks if not self.writer.counts[TRAIN, task]], "its input has none")

    def _leave_out(self, tasks: Sequence[str], reason: str) -> None:
        self.left_out |= dict.fromkeys(tasks, reason)
        for task in tasks:
            if self.options.mix.get(task) and not self.writer.counts[TRAIN, task]:
                _logger.warning("--mix names %s, which has no rows: %s", task, reason)

    # Conversations

    def _conversations(self) -> None:
        counts = self.inputs["conversations"] = Counter(read=0, used=0, rejected=0, turns=0, turns_rejected=0)
        first: list[str] = []
        for path in self.options.conversations:
            with open_text(path) as text:
                for number, line in enumerate(text.lines(), 1):
                    if not line.strip():
                        continue
                    counts["read"] += 1
                    try:
                        self._conversation(path, number, line)
                        counts["used"] += 1
                    except RejectedLineError as error:
                        counts["rejected"] += 1
                        first.append(f"{path}, line {number}: {error}") if not first else None
                        self.writer.reject(path, str(error), line=number)
        if not counts["used"]:
            raise InvalidDataError(f"none of {counts['read']} conversations can be used: {', '.join(first)}")
        if lost := counts["rejected"]:
            _logger.warning("%d of %d conversations are rejected: %s", lost, counts["read"], first[0][:240])
        if lost := counts["turns_rejected"]:
            _logger.warning("%d turns of conversations are not learned from: see the rejects", lost)

    def _conversation(self, path: str, number: int, line: bytes) -> None:
        dialogue = Dialogue.of(parse_conversation(line), number, self.shares, self.lookup.tokens_of)
        counts = self.inputs["conversations"]
        rows = [dialogue.whole()] if self.options.shape == MESSAGES else list(dialogue.rows())
        for place, problem in dialogue.problems:
            counts["turns_rejected"] += 1
            self.writer.reject(path, problem, line=number, message=place)
        if dialogue.playlist is not None:
            before = self._splits.get(dialogue.playlist, dialogue.split)
            self._splits[dialogue.playlist] = max(before, dialogue.split, key=SPLITS.index)
        for row in rows:
            counts["turns"] += 1
            for copy in range(self.chance.copies(self.mix[CONVERSATION], CONVERSATION, row.row_id)):
                self.writer.write(dialogue.split, row, copy)

    # Tables

    def _playlists(self) -> None:
        source = str(self.options.playlists)
        counts = self.inputs["playlists"] = Counter(read=0, used=0, rejected=0, entries=0, entries_unknown=0)
        made = Continuation(self.mix[PLAYLIST_CONTINUATION], self.shares, self._splits, self.chance)
        unknown: list[str] = []
        for fragment in _fragments(source, "playlists", PLAYLISTS):
            for batch in read_playlists(fragment):
                counts["read"] += batch.counts[PLAYLISTS_READ]
                for rejects in batch.rejects:
                    counts["rejected"] += self._reject_rows(source, rejects.to_pylist())
                for playlist in batch.rows.select(["playlist_id", TRACK_IDS]).to_pylist():
                    self._playlist(source, playlist, made, unknown)
        counts["rejected"] = counts["read"] - counts["used"]
        if not counts["used"]:
            example = describe_unknown(unknown, [])
            raise InvalidDataError(f"no playlist in {source} has two tracks of the release{example}")
        if 2 * counts["entries_unknown"] > counts["entries"]:
            example = describe_unknown(unknown, [])
            _logger.warning(
                "%d of %d entries of playlists are unknown tracks%s",
                counts["entries_unknown"],
                counts["entries"],
                example,
            )

    def _playlist(self, source: str, playlist: dict[str, Any], made: Continuation, unknown: list[str]) -> None:
        counts = self.inputs["playlists"]
        ids = playlist[TRACK_IDS] or []
        rows = self.lookup.rows(pc.cast(ids, "string") if len(ids) else pc.cast([], "string"))
        known = {track_id: int(row) for track_id, row in zip(ids, rows.tolist(), strict=True) if row != UNKNOWN}
        counts.update(entries=len(ids), entries_unknown=int((rows == UNKNOWN).sum()))
        if len(unknown) < 2:
            unknown += [track_id for track_id in ids if track_id is not None and track_id not in known][:2]
        if len(known) < 2:
            reason = f"{len(known)} known of {len(ids)} listed tracks, 2 needed"
            self.writer.reject(source, reason, playlist=playlist["playlist_id"])
            return
        counts["used"] += 1
        texts = [self.lookup.text(row) for row in known.values()]
        for copy, (split, row) in enumerate(made.rows(playlist["playlist_id"], list(known), texts)):
            self.writer.write(split, row, copy)

    def _reject_rows(self, source: str, rejects: list[dict[str, Any]]) -> int:
        for reject in rejects:
            self.writer.reject(source, reject["reason"], detail=reject["detail"])
        return len(rejects)

    # Grounding

    def _grounding(self) -> Grounding:
        share = validation_share(self.options.validation_share, len(self.lookup))
        return Grounding(self.mix, share, self.chance)

    def _tracks(self) -> None:
        counts = self.inputs["catalog"] = Counter(read=0, without_name=0)
        grounding = self._grounding()
        for bucket in range(self.table.catalog.buckets):
            tokens = self.table.read(bucket, ["tokens"])["tokens"].to_pylist()
            tracks = self.table.tracks(bucket, ["track_id", "title", "artist", "tag_names"]).to_pylist()
            for track, text in zip(tracks, tokens, strict=True):
                counts["read"] += 1
                counts["without_name"] += not (track["title"] or track["artist"])
                tags = [tag for tag in track["tag_names"] or [] if tag]
                self._write_all(grounding.track(track, tags, f"<|track|>{text}<|/track|>"))
        if nameless := counts["without_name"]:
            _logger.warning(
                "%d of %d tracks have neither title nor artist: no rows name them", nameless, counts["read"]
            )

    def _lyrics(self) -> None:
        source = str(self.options.tracks)
        counts = self.inputs["lyrics"] = Counter(
            read=0, used=0, unknown=0, without_lyrics=0, without_line=0, rejected=0
        )
        grounding = self._grounding()
        for fragment in _fragments(source, "tracks", TRACKS):
            for scanned in read_fragment(fragment, TRACKS):
                valid = validate_ids(scanned.rows)
                counts["read"] += scanned.rows_read
                counts["rejected"] += scanned.rows_read - valid.rows.num_rows
                self._reject_rows(source, [*scanned.rejects.to_pylist(), *valid.rejects.to_pylist()])
                ids, texts = valid.rows[TRACK_ID], valid.rows["lyrics"].to_pylist()
                for track_id, lyrics, row in zip(ids.to_pylist(), texts, self.lookup.rows(ids).tolist(), strict=True):
                    counts[self._lyric(grounding, track_id, lyrics, row)] += 1
        if 2 * counts["unknown"] > counts["read"]:
            _logger.warning("%d of %d tracks of %s are not in the release", counts["unknown"], counts["read"], source)

    def _lyric(self, grounding: Grounding, track_id: str, lyrics: str | None, row: int) -> str:
        """Write the rows of one track's lyrics; return the name of its count."""
        if row == UNKNOWN:
            return "unknown"
        if not lyrics:
            return "without_lyrics"
        if not lyric_lines(lyrics):
            return "without_line"
        self._write_all(grounding.lyrics(track_id, lyrics, self.lookup.text(row)))
        return "used"

    def _codes(self) -> None:
        counts = self.inputs["codes"] = Counter(read=0, without_words=0)
        words = code_words(self.table, MOST_WORDS)
        sources = sum(map(len, words.values()))
        grounding = Grounding(self.mix, validation_share(self.options.validation_share, sources), self.chance)
        for column, by_code in words.items():
            counts.update(read=len(by_code), without_words=by_code.count(()))
            self._write_all(grounding.codes(column, by_code))

    def _write_all(self, rows: Iterator[tuple[str, TrainingRow]]) -> None:
        for copy, (split, row) in enumerate(rows):
            self.writer.write(split, row, copy)


def _fragments(path: str, name: str, schema: Any) -> list[Fragment]:
    found = find_fragments(files.absolute(path), name)
    check_table(found, schema)
    return found


def _finish(options: TrainingOptions, release: ReleaseManifest, job: _Rendering) -> TrainingResult:
    """Summarize what was written.

    Raises:
        InvalidDataError: no training row was written.
    """
    counts = job.writer.table()
    if not counts[TRAIN]:
        raise InvalidDataError("nothing to train on: give --conversations or --playlists, or a larger --mix")
    for split in (VALIDATION, TEST):
        if not counts[split]:
            _logger.warning("%s.jsonl is empty: its share has no conversation and no playlist", split)
    summary = {
        "format": FORMAT,
        "release": release.release_id,
        "bundle": release.bundle_id,
        "trainer": options.trainer,
        "shape": options.shape,
        "mix": {task: job.mix[task] for task in TASKS},
        "permute": options.permute,
        "permuted_rows": job.writer.permuted,
        "seed": options.seed,
        "shares": {VALIDATION: options.validation_share, TEST: options.test_share},
        "counts": counts,
        "inputs": {name: dict(counted) for name, counted in job.inputs.items()},
        "rejects": job.writer.rejected,
        "left_out": job.left_out,
    }
    return TrainingResult(summary, job.left_out)
