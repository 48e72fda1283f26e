"""``forgotten.json`` and ``forgetting.json``: tracks that were taken down, and a takedown that has not ended."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from tracktokens.schemas.manifests.base import Manifest


@dataclass(frozen=True)
class ForgottenManifest(Manifest):
    """Tracks that no job accepts any more. The store does not keep their ids.

    Attributes:
        salt: text in front of an id when it is hashed; drawn once per store.
        tracks: SHA-256 of salt and id, in hexadecimal digits, to the time of the takedown, ISO 8601 in UTC.
    """

    KIND: ClassVar[str] = "forgotten"

    salt: str
    tracks: Mapping[str, str]


@dataclass(frozen=True)
class TakedownJournal(Manifest):
    """A takedown that has begun. It exists until the receipt is written.

    Attributes:
        started: time of the beginning, ISO 8601 in UTC.
        tracks: hashes of the ids, as in :class:`ForgottenManifest`.
        unknown: of these, ids that the store did not have.
        files: path below the store to SHA-256, of every file before the takedown.
        rows: name of a table to the number of rows that were removed from it so far, by file.
    """

    KIND: ClassVar[str] = "forgetting"

    started: str
    tracks: Sequence[str]
    unknown: Sequence[str]
    files: Mapping[str, str]
    rows: Mapping[str, Any]
