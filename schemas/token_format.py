"""Token format: the tokens of a track, one column each, in the order in which they are written.

The first five columns are TalkPlay's (arXiv 2502.13713): the first level of each modality. Further columns are optional
and come after them: residual levels, which quantize what the levels before leave of a vector, and last a number, which
differs between tracks whose other tokens are equal.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Annotated, Any, Literal

from tracktokens.schemas.modalities import MODALITIES

MAX_CODES = 32767
"""Largest number of codes of a column: codes are stored as int16."""

NUMBER = "n"
"""Name of the number's column."""

SHARED, NUMBERED = "shared", "numbered"
"""Treatment of several ids of the same song: they share a number, or each has a number of its own."""

DEFAULT_NUMBERS = 256
"""Default number of number tokens."""

MAX_COLUMNS = 12
"""Largest number of columns: matching computes the score of each subset of them."""


@dataclass(frozen=True)
class TokenColumn:
    """One token of a track.

    Attributes:
        name: name in tokens, tables and folders: ``metadata``, ``metadata2`` for its second level, or ``n``.
        modality: modality of its codes; None for the number.
        level: 1 for the codes of vectors, 2 for those of what level 1 leaves, and so on; 0 for the number.
        size: codes in the vocabulary.
    """

    name: str
    modality: str | None
    level: int
    size: int

    @property
    def has_none(self) -> bool:
        """True if a track may lack it: then its vocabulary has a ``none`` token. Every track has a number."""
        return self.modality is not None


@dataclass(frozen=True)
class FurtherColumns:
    """Columns after the first level of each modality, as :meth:`TokenFormat.to_json` writes them.

    Attributes:
        columns: the fields of :class:`TokenColumn`, one mapping per column.
        same_song: ``SHARED`` or ``NUMBERED``.
    """

    columns: Sequence[Annotated[Mapping[str, Any], TokenColumn]]
    same_song: Literal["shared", "numbered"]


@dataclass(frozen=True)
class TokenFormat:
    """Columns of a bundle's token table.

    Example:
        >>> token_format = TokenFormat.of(1024, levels={"metadata": [32]}, numbers=256)
        >>> token_format.names
        ('playlist', 'tags', 'metadata', 'lyrics', 'audio', 'metadata2', 'n')
        >>> token_format.requires[5], token_format["metadata2"].size
        ((2,), 32)

    Attributes:
        columns: the first level of each modality in token order, then residual levels, then the number.
        same_song: ``SHARED`` or ``NUMBERED``; without a number it has no effect.

    Raises:
        ValueError: there are more columns than ``MAX_COLUMNS``.
    """

    columns: tuple[TokenColumn, ...]
    same_song: str = SHARED

    def __post_init__(self) -> None:
        if len(self.columns) > MAX_COLUMNS:
            raise ValueError(f"a track has {len(self.columns)} tokens: use at most {MAX_COLUMNS}")

    @classmethod
    def of(
        cls,
        codebook_size: int,
        levels: Mapping[str, Sequence[int]] | None = None,
        numbers: int = 0,
        same_song: str = SHARED,
    ) -> "TokenFormat":
        """Make a format.

        Args:
            codebook_size: codes of each first level.
            levels: modality to the codes of its second level, its third level, and so on.
            numbers: number tokens; 0 for a format without a number.
            same_song: ``SHARED`` or ``NUMBERED``.
        """
        first = [TokenColumn(modality, modality, 1, codebook_size) for modality in MODALITIES]
        residual = [
            TokenColumn(column_name(modality, level), modality, level, size)
            for modality, sizes in (levels or {}).items()
            for level, size in enumerate(sizes, 2)
        ]
        residual.sort(key=lambda column: column_order(column.modality or "", column.level))
        number = [TokenColumn(NUMBER, None, 0, numbers)] if numbers else []
        return cls((*first, *residual, *number), same_song)

    @classmethod
    def from_json(cls, codebook_size: int, fields: Mapping[str, Any] | None) -> "TokenFormat":
        """Read what :meth:`to_json` returned."""
        further = [TokenColumn(**column) for column in fields["columns"]] if fields else []
        same_song = fields["same_song"] if fields else SHARED
        return cls((*cls.of(codebook_size).columns, *further), same_song)

    def to_json(self) -> dict[str, Any] | None:
        """Return the columns after the first level of each modality, for a manifest; None without any."""
        further = [asdict(column) for column in self.columns[len(MODALITIES) :]]
        return {"columns": further, "same_song": self.same_song} if further else None

    def check(self) -> None:
        """Check a format that was read from a file.

        Raises:
            ValueError: :meth:`of` cannot have made it.
        """
        wrong = [column.name for column in self.columns if not 0 < column.size <= MAX_CODES]
        if wrong:
            raise ValueError(f"{wrong[0]} must have 1 to {MAX_CODES} codes")
        if self != TokenFormat.of(self.codebook_size, self.levels, self.numbers, self.same_song):
            raise ValueError("the columns are not those of a token table")

    def __len__(self) -> int:
        return len(self.columns)

    def __getitem__(self, name: str) -> TokenColumn:
        return self.columns[self.names.index(name)]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of all columns, in the order of a track's tokens."""
        return tuple(column.name for column in self.columns)

    @cached_property
    def coded(self) -> tuple[TokenColumn, ...]:
        """Columns that have a codebook: all but the number."""
        return tuple(column for column in self.columns if column.modality is not None)

    @property
    def codebook_size(self) -> int:
        """Codes of each first level."""
        return self.columns[0].size

    @property
    def numbers(self) -> int:
        """Number tokens; 0 for a format without a number."""
        return 0 if self.columns[-1].has_none else self.columns[-1].size

    @cached_property
    def levels(self) -> dict[str, list[int]]:
        """Modality to the codes of its residual levels, from the second on, for :meth:`of`."""
        levels: dict[str, list[int]] = {}
        for column in self.coded[len(MODALITIES) :]:
            levels.setdefault(column.modality or "", []).append(column.size)
        return levels

    @cached_property
    def requires(self) -> tuple[tuple[int, ...], ...]:
        """Per column the columns without which it has no meaning: the levels before it, or for the number all."""
        return tuple(
            tuple(n for n, other in enumerate(self.columns[:number]) if _precedes(other, column))
            for number, column in enumerate(self.columns)
        )

    def columns_of(self, modality: str) -> tuple[TokenColumn, ...]:
        """Return the columns of a modality, by level."""
        return tuple(column for column in self.columns if column.modality == modality)


def as_format(token_format: TokenFormat | int) -> TokenFormat:
    """Return a format; a number of codes means the five columns of that codebook size."""
    return TokenFormat.of(token_format) if isinstance(token_format, int) else token_format


def column_name(modality: str, level: int) -> str:
    """Name the column of a level of a modality.

    Example:
        >>> column_name("audio", 1), column_name("audio", 2)
        ('audio', 'audio2')
    """
    return modality if level == 1 else f"{modality}{level}"


def modality_of(name: str) -> str:
    """Return the modality of a column that has a codebook, by the column's name."""
    return name.rstrip("0123456789")


def column_order(modality: str, level: int) -> tuple[int, int]:
    """Sort key of the columns that have a codebook: by level, then in the order of modalities."""
    return level, MODALITIES.index(modality)


def modality_buckets(buckets: Iterable[tuple[str, int]], token_format: TokenFormat) -> list[tuple[str, int]]:
    """Replace the modality of each bucket by the columns of that modality: name of the column and bucket."""
    return [(column.name, bucket) for modality, bucket in buckets for column in token_format.columns_of(modality)]


def _precedes(other: TokenColumn, column: TokenColumn) -> bool:
    return column.modality is None or (other.modality == column.modality and other.level < column.level)


@dataclass(frozen=True)
class FurtherTokens:
    """Tokens after the five of the modalities, as options give them.

    Attributes:
        levels: modality to its number of levels, at least 1, and the codes of each residual level; 0 for as many as
            the codebook size. Other modalities keep the levels of the bundle that is continued.
        numbers: number tokens, 0 for none; None for those of the bundle that is continued.
        same_song: ``SHARED`` or ``NUMBERED``; None for that of the bundle that is continued.
    """

    levels: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    numbers: int | None = None
    same_song: str | None = None

    def format(self, codebook_size: int, continued: TokenFormat | None = None) -> TokenFormat:
        """Return the format of a new bundle, which may continue another of the same codebook size.

        Example:
            >>> FurtherTokens({"tags": (2, 0)}).format(8, TokenFormat.of(8, numbers=4)).names[5:]
            ('tags2', 'n')
        """
        base = continued or TokenFormat.of(codebook_size)
        given = {modality: [size or codebook_size] * (levels - 1) for modality, (levels, size) in self.levels.items()}
        numbers = base.numbers if self.numbers is None else self.numbers
        return TokenFormat.of(codebook_size, base.levels | given, numbers, self.same_song or base.same_song)

    def to_options(self) -> dict[str, Any]:
        """Return the given options, long name to value, as a manifest keeps them."""
        levels = [
            f"{modality}={count}" + (f":{size}" if size else "") for modality, (count, size) in self.levels.items()
        ]
        options = {"levels": levels or None, "number": self.numbers, "same-song": self.same_song}
        return {name: value for name, value in options.items() if value is not None}
