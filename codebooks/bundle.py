"""A bundle: one codebook per modality, under a hash of their contents."""

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from tracktokens.codebooks.codebook import MAX_CODES, Codebook
from tracktokens.schemas.errors import InvalidDataError
from tracktokens.schemas.modalities import MODALITIES

__all__ = ["MAX_CODES", "Bundle"]


@dataclass(frozen=True, eq=False)
class Bundle:
    """One codebook per modality, all with the same codebook size.

    Attributes:
        codebooks: the codebooks, in the order of ``schemas.modalities.MODALITIES``. :meth:`of` takes them in any order.

    Raises:
        InvalidDataError: a modality is missing, duplicate or out of order, or the codebook sizes differ.
    """

    codebooks: tuple[Codebook, ...]

    def __post_init__(self) -> None:
        modalities = tuple(codebook.modality for codebook in self.codebooks)
        if modalities != MODALITIES:
            raise InvalidDataError(_modality_fault(modalities))
        if len({codebook.codebook_size for codebook in self.codebooks}) > 1:
            sizes = ", ".join(f"{codebook.modality} {codebook.codebook_size}" for codebook in self.codebooks)
            raise InvalidDataError(f"the codebooks of a bundle must have the same codebook size, not: {sizes}")

    @classmethod
    def of(cls, codebooks: Iterable[Codebook]) -> "Bundle":
        """Make a bundle of codebooks in any order."""
        return cls(tuple(sorted(codebooks, key=lambda codebook: MODALITIES.index(codebook.modality))))

    def __getitem__(self, modality: str) -> Codebook:
        return self.codebooks[MODALITIES.index(modality)]

    @property
    def codebook_size(self) -> int:
        """Codes per modality in the vocabulary."""
        return self.codebooks[0].codebook_size

    @cached_property
    def bundle_id(self) -> str:
        """Name of the bundle: 12 hex digits, a hash of the codebooks' content hashes."""
        hashes = "".join(f"{codebook.modality} {codebook.content_hash}\n" for codebook in self.codebooks)
        return hashlib.blake2b(hashes.encode(), digest_size=6).hexdigest()


def _modality_fault(modalities: tuple[str, ...]) -> str:
    if missing := [modality for modality in MODALITIES if modality not in modalities]:
        return f"the bundle has no codebook for {', '.join(missing)}"
    if duplicates := [modality for modality, count in Counter(modalities).items() if count > 1]:
        return f"the bundle has more than one codebook for {', '.join(duplicates)}"
    return f"the bundle's codebooks are in the order {', '.join(modalities)}, not {', '.join(MODALITIES)}"
