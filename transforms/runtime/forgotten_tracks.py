"""Tracks that were taken down: recognize their ids, which the store keeps as salted hashes, and reject their rows."""

import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tracktokens.schemas.manifests.forgotten import ForgottenManifest
from tracktokens.schemas.manifests.store import StoreManifest
from tracktokens.schemas.tables.rejects import FORGOTTEN, REJECTS, TRACKS_TABLE, make_rejects
from tracktokens.transforms.store import files
from tracktokens.transforms.store.layout import Store, store_manifest

FORGOTTEN_FILE = "forgotten.json"

JOURNAL = "forgetting.json"
"""File of a store while a takedown is not finished."""

TAKEN_DOWN = "the track was taken down with `tracktokens forget`"
"""Detail of a reject; the id is not repeated."""


@dataclass(frozen=True)
class ForgottenTracks:
    """Tracks that no job accepts. It is pickled with the steps that use it.

    Attributes:
        salt: text in front of an id when it is hashed.
        hashes: SHA-256 of salt and id, in hexadecimal digits.
    """

    salt: str = ""
    hashes: frozenset[str] = frozenset()

    @classmethod
    def of(cls, store: Store) -> "ForgottenTracks":
        """Read those of a store.

        Raises:
            InvalidDataError: the list is damaged.
        """
        manifest = read_forgotten(store)
        return cls() if manifest is None else cls(manifest.salt, frozenset(manifest.tracks))

    def hash(self, track_id: str) -> str:
        """Hash an id, as ``printf %s%s SALT ID | sha256sum`` does."""
        return hashlib.sha256(f"{self.salt}{track_id}".encode()).hexdigest()

    def mask(self, track_ids: pa.Array) -> npt.NDArray[np.bool_]:
        """Mark the ids of forgotten tracks: bool (ids,). A null is none."""
        if not self.hashes:
            return np.zeros(len(track_ids), np.bool_)
        ids = track_ids.to_pylist()
        return np.array([name is not None and self.hash(name) in self.hashes for name in ids], np.bool_)

    def scrub(self, rejects: pa.RecordBatch) -> pa.RecordBatch:
        """Remove id and detail from the ``REJECTS`` of forgotten tracks; their reasons are still counted."""
        forgotten = self.mask(rejects["track_id"])
        return anonymize(rejects, forgotten) if forgotten.any() else rejects


NOTHING_FORGOTTEN = ForgottenTracks()
"""No track was taken down."""


def read_forgotten(store: Store) -> ForgottenManifest | None:
    """Read the list of forgotten tracks of a store; None if no track was ever taken down.

    Raises:
        InvalidDataError: it is damaged: without it, such tracks could come back.
    """
    path = files.join(store.root, FORGOTTEN_FILE)
    content = files.read_existing(path)
    return None if content is None else ForgottenManifest.from_json(content, path)


def write_forgotten(store: Store, manifest: ForgottenManifest) -> None:
    """Write the list of forgotten tracks. Versions that do not read it refuse the store from then on."""
    path = store_manifest(store.root)
    old = StoreManifest.from_json(files.read_bytes(path), path)
    if (new := replace(old, forgets=bool(manifest.tracks))) != old:
        files.write_bytes(path, new.to_json().encode())
    listed = files.join(store.root, FORGOTTEN_FILE)
    files.write_bytes(listed, manifest.to_json().encode())
    files.sync([path, listed])


def add_forgotten(store: Store, track_ids: Iterable[str], time: str) -> ForgottenTracks:
    """Add ids to the list of a store. A track that is on it keeps its time.

    Args:
        store: the store.
        track_ids: the ids.
        time: time of the takedown, ISO 8601 in UTC.
    """
    old = read_forgotten(store) or ForgottenManifest(secrets.token_hex(16), {})
    tracks = ForgottenTracks(old.salt)
    added = {tracks.hash(name): time for name in track_ids}
    write_forgotten(store, replace(old, tracks={**added, **old.tracks}))
    return ForgottenTracks.of(store)


def remove_forgotten(store: Store, track_ids: Iterable[str]) -> list[str]:
    """Remove ids from the list of a store, so that jobs accept them again; return those that were on it."""
    old = read_forgotten(store)
    if old is None:
        return []
    tracks = ForgottenTracks(old.salt)
    found = {tracks.hash(name): name for name in track_ids if tracks.hash(name) in old.tracks}
    kept = {digest: time for digest, time in old.tracks.items() if digest not in found}
    write_forgotten(store, replace(old, tracks=kept))
    return sorted(found.values())


def anonymize(rejects: pa.RecordBatch, rows: npt.NDArray[np.bool_]) -> pa.RecordBatch:
    """Remove ``track_id`` and replace ``detail`` in the marked rows of ``REJECTS``."""
    kept = pa.array(~rows)
    columns = {
        "track_id": pc.if_else(kept, rejects["track_id"], pa.scalar(None, pa.string())),
        "detail": pc.if_else(kept, rejects["detail"], TAKEN_DOWN),
    }
    return pa.record_batch([columns.get(name, rejects[name]) for name in REJECTS.names], schema=REJECTS)


def row_rejects(stage: str, rows: Iterable[str]) -> pa.RecordBatch:
    """Make a reject of each row of tracks that was taken down, from the names of the rows."""
    return make_rejects(
        [{"table": TRACKS_TABLE, "stage": stage, "reason": FORGOTTEN, "detail": f"{row}: {TAKEN_DOWN}"} for row in rows]
    )
