"""Record buckets: the buckets of vector, failure and code records in the store, with their files."""

import re
from dataclasses import dataclass

import pyarrow as pa

from tracktokens.schemas.tables.records import CODE_RECORDS, FAILURES
from tracktokens.transforms.store import files
from tracktokens.transforms.store.layout import CODES, FAILED, VECTORS, Store
from tracktokens.transforms.store.records import vector_schema

KINDS = (VECTORS, FAILED, CODES)
"""Kinds of records, which are also the names of their folders in the store."""


_FILE_PATH = re.compile(r"([^/]+)/([^/]+)/bucket=(\d+)(?:-of-\d+)?/([^/]+\.parquet)")


@dataclass(frozen=True)
class RecordBucket:
    """One bucket of records.

    Attributes:
        kind: one of ``KINDS``.
        owner: encoder id, or bundle id of code records.
        modality: modality of the keys; of code records the column, which may be a residual level such as
            ``metadata2``.
        bucket: number of the bucket.
    """

    kind: str
    owner: str
    modality: str
    bucket: int

    def folder(self, store: Store) -> str:
        """Folder of the files of the bucket."""
        parts = (self.owner, self.modality) if self.kind == CODES else (self.modality, self.owner)
        return files.join(store.root, self.kind, *parts, store.bucket_folder(self.bucket))

    def schema(self, path: str) -> pa.Schema:
        """Return the expected schema of one of its files; vectors may have any dimension.

        Raises:
            InvalidDataError: the file cannot be read.
        """
        return vector_schema(path) if self.kind == VECTORS else {FAILED: FAILURES, CODES: CODE_RECORDS}[self.kind]


def list_record_buckets(store: Store) -> dict[RecordBucket, dict[str, int]]:
    """List all buckets with files: file name to size in bytes."""
    buckets: dict[RecordBucket, dict[str, int]] = {}
    for kind in KINDS:
        for path, size in files.list_tree(files.join(store.root, kind)).items():
            match = _FILE_PATH.fullmatch(path)
            if match is not None and not store.is_outdated(path):
                above, below, number, name = match.groups()
                owner, modality = (above, below) if kind == CODES else (below, above)
                buckets.setdefault(RecordBucket(kind, owner, modality, int(number)), {})[name] = size
    return buckets
