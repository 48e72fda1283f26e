"""Kinds of playlist encoders by name, and what the jobs need of one."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Protocol

import pyarrow as pa

from tracktokens.codebooks.numerics.arrays import Floats
from tracktokens.schemas.errors import UsageError
from tracktokens.schemas.playlist_encoders import ALS, AUTO, PLAYLIST_ENCODERS, WORD2VEC
from tracktokens.transforms.playlists import als
from tracktokens.transforms.playlists.als import AlsConfig
from tracktokens.transforms.playlists.training_steps import Steps, uncounted
from tracktokens.transforms.playlists.warm_start import PreviousVectors
from tracktokens.transforms.playlists.word2vec import Word2VecConfig

KINDS: Mapping[str, type[Word2VecConfig] | type[AlsConfig]] = {WORD2VEC: Word2VecConfig, ALS: AlsConfig}
"""Name to the class of the settings. Of kinds that are equally good, the first is chosen."""


class PlaylistEncoder(Protocol):
    """Settings of a training that makes a vector for each track of a corpus."""

    @property
    def name(self) -> str:
        """Name of the kind."""

    @property
    def dim(self) -> int:
        """Dimensions of a vector."""

    @property
    def smallest_component(self) -> int:
        """Fewest tracks of a component whose tracks get vectors; see :mod:`.numbered_corpus`."""

    def identity(self, digest: str, start: PreviousVectors | None = None, isolated: int = 0) -> Mapping[str, object]:
        """Return everything that changes the vectors, as JSON values; see :meth:`.Word2VecConfig.identity`."""

    def encoder_id(self, digest: str, start: PreviousVectors | None = None, isolated: int = 0) -> str:
        """Id of the vectors: 12 hex digits."""

    def train(
        self, corpus: pa.Table, start: PreviousVectors | None = None, steps: Steps = uncounted
    ) -> tuple[pa.FixedSizeBinaryArray, Floats]:
        """Train vectors: the tracks' keys, sorted, and float32 (tracks, dim). ``steps`` counts the progress."""


def encoders_of(choice: str) -> tuple[PlaylistEncoder, ...]:
    """Return the encoders to choose from: one, or with ``auto`` each kind that is installed.

    Raises:
        UsageError: the choice is unknown, or its package is not installed.
    """
    if choice == AUTO:
        return tuple(kind() for name, kind in KINDS.items() if name != ALS or als.is_installed())
    if choice not in KINDS:
        raise UsageError(f"unknown playlist encoder {choice}: choose one of {', '.join(PLAYLIST_ENCODERS)}")
    require_installed(choice)
    return (KINDS[choice](),)


def require_installed(name: str) -> None:
    """Check that the package of a kind is installed.

    Raises:
        UsageError: it is not.
    """
    if name == ALS and not als.is_installed():
        raise UsageError("the playlist encoder als needs implicit, which is not installed: pip install '.[als]'")


def read_settings(identity: Mapping[str, Any]) -> Word2VecConfig | AlsConfig:
    """Read the settings of a trained encoder from its identity."""
    kind = KINDS[identity["name"]]
    return kind(**{field.name: identity[field.name] for field in fields(kind) if field.name in identity})
