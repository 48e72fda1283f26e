"""Where facts lie: the store's buckets of vectors, failures and codes, with the files of each."""

import re
from dataclasses import dataclass

import pyarrow as pa

from tracktokens.schemas.tables.records import CODE_RECORDS, FAILURES
from tracktokens.transforms.store import files
from tracktokens.transforms.store.layout import CODES, FAILED, VECTORS, Store, bucket_folder
from tracktokens.transforms.store.records import vector_schema

KINDS = (VECTORS, FAILED, CODES)
"""Kinds of facts, and names of their folders in the store."""


_FILE = re.compile(r"([^/]+)/([^/]+)/bucket=(\d+)/([^/]+\.parquet)")


@dataclass(frozen=True)
class RecordBucket:
    """One bucket of facts.

    Attributes:
        kind: one of ``KINDS``.
        owner: encoder, or bundle of codes.
        modality: of the keys.
        bucket: number of the bucket.
    """

    kind: str
    owner: str
    modality: str
    bucket: int

    def folder(self, store: Store) -> str:
        """Folder of its files."""
        parts = (self.owner, self.modality) if self.kind == CODES else (self.modality, self.owner)
        return files.join(store.root, self.kind, *parts, bucket_folder(self.bucket))

    def schema(self, path: str) -> pa.Schema:
        """Schema that one of its files should have; vectors may be of any dimension.

        Raises:
            InvalidDataError: when it cannot be read.
        """
        return vector_schema(path) if self.kind == VECTORS else {FAILED: FAILURES, CODES: CODE_RECORDS}[self.kind]


def list_record_buckets(store: Store) -> dict[RecordBucket, dict[str, int]]:
    """All buckets that have files: the name of each, and its size in bytes."""
    found: dict[RecordBucket, dict[str, int]] = {}
    for kind in KINDS:
        for path, size in files.list_tree(files.join(store.root, kind)).items():
            match = _FILE.fullmatch(path)
            if match is not None:
                above, below, number, name = match.groups()
                owner, modality = (above, below) if kind == CODES else (below, above)
                found.setdefault(RecordBucket(kind, owner, modality, int(number)), {})[name] = size
    return found
