"""The vocabulary of a store's release in use: jobs continue it, and replace it only with ``--new-vocabulary``."""

import logging
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

from tracktokens.pipelines.catalog_source import encoder_options
from tracktokens.schemas.errors import UsageError
from tracktokens.schemas.manifests.catalog import PlaylistsManifest
from tracktokens.schemas.manifests.release import ReleaseManifest
from tracktokens.schemas.modalities import MODALITIES, PLAYLIST
from tracktokens.schemas.playlist_encoders import AUTO, WORD2VEC
from tracktokens.schemas.token_format import NUMBER, FurtherTokens, TokenFormat
from tracktokens.transforms.gates.losses import LostValues
from tracktokens.transforms.playlists.playlist_encoder import KINDS
from tracktokens.transforms.store import files
from tracktokens.transforms.store.layout import Store
from tracktokens.transforms.store.releases import release_in_use

DEFAULT_CODEBOOK_SIZE = 1024
"""Codes per modality in a store without a release."""

PLAYLIST_ENCODER = "playlist-encoder"
"""Long name of the option that chooses the kind of playlist encoder."""

_logger = logging.getLogger(__name__)


class KeptVocabulary(Protocol):
    """A vocabulary whose playlist tokens a job keeps."""

    def kept_encoder(self, modality: str) -> str | None:
        """Id of the encoder that a modality's vectors must be of; None where they may be of any."""

    def check_playlist_vectors(self, manifest: PlaylistsManifest) -> None:
        """Raise an error where playlist vectors are of another encoder."""


@dataclass(frozen=True)
class ReleasedVocabulary:
    """The vocabulary of the release in use, which a job would continue or replace.

    Attributes:
        store: the store.
        release: manifest of the release.
        may_change: whether a job may replace tokens of the release; otherwise that is an error.
    """

    store: Store
    release: ReleaseManifest
    may_change: bool = False

    @classmethod
    def of(cls, root: str, *, may_change: bool = False) -> "ReleasedVocabulary | None":
        """Find the vocabulary of the store at ``root``, which may not exist yet; None without a release.

        Raises:
            InvalidDataError: the store or the release is damaged.
        """
        release = release_in_use(root)
        return None if release is None else cls(Store.open(root), release, may_change)

    @property
    def token_format(self) -> TokenFormat:
        """Tokens per track of the release."""
        return self.release.token_format

    @property
    def playlist_encoder(self) -> str | None:
        """Kind of the encoder of the playlist vectors; None where they were not trained from playlists."""
        encoder_id = self.release.encoders.get(PLAYLIST)
        found = None if encoder_id is None else self.store.find_encoder(PLAYLIST, encoder_id)
        name = None if found is None else str(found.identity["name"])
        return name if name in KINDS else None

    def options(self, codebook_size: int | None = None) -> dict[str, Any]:
        """Options that a run takes from the release where they are not given, long name to value, without defaults.

        Args:
            codebook_size: codes per modality, if given: a vocabulary of another size has no further tokens.
        """
        tokens = self.release.token_format
        options: dict[str, Any] = {"codebook-size": tokens.codebook_size}
        if codebook_size in (None, tokens.codebook_size):
            options["levels"] = ", ".join(f"{modality}={len(sizes) + 1}" for modality, sizes in tokens.levels.items())
            options["number"] = tokens.numbers
        if self.playlist_encoder != WORD2VEC:
            options[PLAYLIST_ENCODER] = self.playlist_encoder
        return {name: value for name, value in options.items() if value}

    def check_format(self, token_format: TokenFormat) -> None:
        """Check that a format keeps the tokens of the release. It may add tokens per track.

        Raises:
            UsageError: a token of the release would end or change, and nothing may change.
        """
        old = self.release.token_format
        if token_format.codebook_size != old.codebook_size:
            change = f"--codebook-size is {token_format.codebook_size} instead of {old.codebook_size}"
            self._report([change], old.names)
            return
        changes = dict(_column_changes(old, token_format))
        self._report(list(changes.values()), changes)

    def check_encoders(self, encoder_ids: Mapping[str, str], options: Mapping[str, Any]) -> None:
        """Check that the vectors of the release are of the encoders that a job would use.

        Args:
            encoder_ids: modality to encoder id. A modality that is not there gets no new codes.
            options: long option name to value: the options of the job.

        Raises:
            UsageError: a modality has another encoder, and nothing may change.
        """
        old = self.release.encoders
        changed = [modality for modality, encoder in encoder_ids.items() if old.get(modality, encoder) != encoder]
        columns = (column for modality in changed for column in self.release.token_format.columns_of(modality))
        released = {**(self.release.options or {}), PLAYLIST_ENCODER: self.playlist_encoder}
        changes = list(_encoder_changes(changed, released, options))
        self._report(changes, [column.name for column in columns])

    def kept_encoder(self, modality: str) -> str | None:
        """Id of the encoder that a modality's vectors must be of; None where they may be of any."""
        return None if self.may_change else self.release.encoders.get(modality)

    def check_playlist_vectors(self, manifest: PlaylistsManifest) -> None:
        """Check playlist vectors as :meth:`check_encoders` does.

        Raises:
            UsageError: they are of another encoder, and nothing may change.
        """
        self.check_encoders({PLAYLIST: manifest.encoder_id}, {PLAYLIST_ENCODER: manifest.encoder})

    def check_playlist_encoder(self, kind: str) -> None:
        """Check, before anything is encoded, that a kind of playlist encoder is that of the release.

        Raises:
            UsageError: it is another one, and nothing may change.
        """
        old = self.playlist_encoder
        if not self.may_change and old is not None and kind not in (old, AUTO):
            columns = self.release.token_format.columns_of(PLAYLIST)
            self._report([f"--{PLAYLIST_ENCODER} is {kind} instead of {old}"], [column.name for column in columns])

    def _report(self, changes: Collection[str], columns: Collection[str]) -> None:
        """Report what differs, and the tokens of the columns that change."""
        if not changes:
            return
        message = (
            f"{'; '.join(changes)}: {self._count(columns)} of release {self.release.release_id} would change their "
            "meaning"
        )
        if not self.may_change:
            raise UsageError(
                f"{message}. Keep the vocabulary with the options of that release, or with `tracktokens refresh`; or "
                "replace it with --new-vocabulary"
            )
        _logger.warning("%s (--new-vocabulary)", message)

    def lost_modalities(self, tokens: Mapping[str, int]) -> LostValues:
        """Select the modalities that have tokens in the release, and none in a job.

        Args:
            tokens: modality to its number of tokens in the job; a modality without any may be missing.
        """
        names = {modality: f"{modality} tokens" for modality in MODALITIES}
        before = {names[modality]: self._tokens.get(modality, 0) for modality in MODALITIES}
        now = {names[modality]: tokens.get(modality, 0) for modality in MODALITIES}
        return LostValues.of(self.release.release_id, before, now)

    @cached_property
    def _tokens(self) -> dict[str, int]:
        """Column to its number of tokens in the release; empty where its metrics are missing or damaged."""
        path = self.store.release(self.release.release_id).metrics
        metrics = files.find_json(path)
        if metrics is None:
            _logger.warning("%s cannot be read, so the tokens of the release are not counted: restore it", path)
            return {}
        counts = {name: part["tracks"] for name, part in metrics["modalities"].items()}
        return counts | ({NUMBER: self.release.rows["published"]} if self.release.token_format.numbers else {})

    def _count(self, columns: Collection[str]) -> str:
        """Count the tokens of some columns in the release, for people."""
        if not self._tokens:
            return f"all {', '.join(columns)} tokens"
        return f"{sum(self._tokens[name] for name in columns)} of the {sum(self._tokens.values())} tokens"


def new_format(old: TokenFormat | None, codebook_size: int | None, tokens: FurtherTokens) -> TokenFormat:
    """Return the token format of a new bundle: what is not given is the old one's, or the default.

    Args:
        old: token format of the release in use, or of the store whose codebooks are taken, or None.
        codebook_size: codes per modality, if given.
        tokens: further tokens, as far as they are given; the others are the old ones if it has this codebook size.

    Raises:
        UsageError: a track would have too many tokens.
    """
    size = codebook_size or (DEFAULT_CODEBOOK_SIZE if old is None else old.codebook_size)
    return further_format(tokens, size, old if old is not None and old.codebook_size == size else None)


def further_format(tokens: FurtherTokens, codebook_size: int, continued: TokenFormat | None) -> TokenFormat:
    """Return the token format of a bundle that may continue another; see :meth:`.FurtherTokens.format`.

    Raises:
        UsageError: a track would have too many tokens.
    """
    try:
        return tokens.format(codebook_size, continued)
    except ValueError as error:
        raise UsageError(f"{error}; give fewer --levels") from error


def _column_changes(old: TokenFormat, new: TokenFormat) -> Iterator[tuple[str, str]]:
    """Yield the columns whose tokens a format lacks or renumbers, and what differs."""
    for column in old.columns:
        if column.name not in new.names:
            yield column.name, f"without {column.name} tokens"
        elif new[column.name].size != column.size:
            yield column.name, f"{new[column.name].size} {column.name} codes instead of {column.size}"
        elif not column.has_none and old.same_song != new.same_song:
            yield column.name, f"--same-song is {new.same_song} instead of {old.same_song}"


def _encoder_changes(modalities: Collection[str], old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """Describe the options that differ, and the modalities that no option explains."""
    for modality in modalities:
        known = [*encoder_options(modality), *([PLAYLIST_ENCODER] if modality == PLAYLIST else [])]
        names = [name for name in known if _value(old, name, modality) != _value(new, name, modality)]
        yield from (
            f"{modality}: --{name} is {_value(new, name, modality)} instead of {_value(old, name, modality)}"
            for name in names
        )
        if not names:
            yield f"{modality}: its encoder changed, or the files that it was trained on"


def _value(options: Mapping[str, Any], name: str, modality: str) -> Any:
    """The value of an option for a modality; None without one."""
    value = options.get(name)
    return value.get(modality) if isinstance(value, Mapping) else value
