"""A bundle: the codebooks of all columns of a token table, under a hash of their contents."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from tracktokens.codebooks.codebook import Codebook
from tracktokens.schemas.errors import InvalidDataError
from tracktokens.schemas.modalities import MODALITIES
from tracktokens.schemas.token_format import NUMBER, SHARED, TokenFormat, column_name, column_order


@dataclass(frozen=True, eq=False)
class Bundle:
    """One codebook per modality, all with the same codebook size, and optionally residual levels and numbers.

    Attributes:
        codebooks: the codebooks, in the order of ``schemas.token_format``. :meth:`of` takes them in any order.
        numbers: number tokens of its token tables; 0 for tables without a number.
        same_song: whether several ids of a song share a number: ``SHARED`` or ``NUMBERED``.

    Raises:
        InvalidDataError: a codebook is missing, duplicate or out of order, or the sizes of first levels differ.
    """

    codebooks: tuple[Codebook, ...]
    numbers: int = 0
    same_song: str = SHARED

    def __post_init__(self) -> None:
        first = [codebook for codebook in self.codebooks if codebook.level == 1]
        modalities = tuple(codebook.modality for codebook in first)
        if modalities != MODALITIES or tuple(first) != self.codebooks[: len(first)]:
            raise InvalidDataError(_modality_fault(modalities))
        if fault := _level_fault(self.codebooks[len(first) :]):
            raise InvalidDataError(fault)
        if len({codebook.codebook_size for codebook in first}) > 1:
            sizes = ", ".join(f"{codebook.modality} {codebook.codebook_size}" for codebook in first)
            raise InvalidDataError(f"the codebooks of a bundle must have the same codebook size, not: {sizes}")

    @classmethod
    def of(cls, codebooks: Iterable[Codebook], numbers: int = 0, same_song: str = SHARED) -> "Bundle":
        """Make a bundle of codebooks in any order."""
        ordered = sorted(codebooks, key=lambda codebook: column_order(codebook.modality, codebook.level))
        return cls(tuple(ordered), numbers, same_song)

    def __getitem__(self, name: str) -> Codebook:
        """Return the codebook of a column: a modality, or a residual level such as ``metadata2``."""
        return self.codebooks[self.token_format.names.index(name)]

    def before(self, codebook: Codebook) -> tuple[Codebook, ...]:
        """Return the codebooks of the levels before one, by level; none for a first level."""
        return tuple(self[column_name(codebook.modality, level)] for level in range(1, codebook.level))

    @property
    def codebook_size(self) -> int:
        """Codes of each first level in the vocabulary."""
        return self.codebooks[0].codebook_size

    @cached_property
    def token_format(self) -> TokenFormat:
        """Columns of its token tables."""
        levels: dict[str, list[int]] = {}
        for codebook in self.codebooks[len(MODALITIES) :]:
            levels.setdefault(codebook.modality, []).append(codebook.codebook_size)
        return TokenFormat.of(self.codebook_size, levels, self.numbers, self.same_song)

    @cached_property
    def bundle_id(self) -> str:
        """Name of the bundle: 12 hex digits, a hash of the codebooks' content hashes and of the numbers."""
        hashes = "".join(f"{codebook.name} {codebook.content_hash}\n" for codebook in self.codebooks)
        numbers = f"{NUMBER} {self.numbers} {self.same_song}\n" if self.numbers else ""
        return hashlib.blake2b((hashes + numbers).encode(), digest_size=6).hexdigest()


def _modality_fault(modalities: tuple[str, ...]) -> str:
    if missing := [modality for modality in MODALITIES if modality not in modalities]:
        return f"the bundle has no codebook for {', '.join(missing)}"
    if duplicates := [modality for modality, count in Counter(modalities).items() if count > 1]:
        return f"the bundle has more than one codebook for {', '.join(duplicates)}"
    return f"the bundle's codebooks are in the order {', '.join(modalities)}, not {', '.join(MODALITIES)}"


def _level_fault(residual: Sequence[Codebook]) -> str | None:
    """Describe a residual level that is duplicate, out of order, or without the level before it; None if none is."""
    keys = [column_order(codebook.modality, codebook.level) for codebook in residual]
    if keys != sorted(set(keys)):
        return f"the bundle's residual levels are out of order: {', '.join(codebook.name for codebook in residual)}"
    known = {*MODALITIES, *(codebook.name for codebook in residual)}
    orphans = [book.name for book in residual if column_name(book.modality, book.level - 1) not in known]
    return f"the bundle lacks the level before {', '.join(orphans)}" if orphans else None
