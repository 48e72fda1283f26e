"""Fixtures of this folder: an input table read as a job reads it."""

import pytest

from tracktokens.schemas.tables.rejects import REJECTS, ROW_REASONS
from tracktokens.schemas.tables.tracks import TRACKS
from tracktokens.transforms.readers.fragment_reader import read_fragment
from tracktokens.transforms.readers.fragments import find_fragments


class Scanned(list):
    """The batches of a table, with their rows and rejects concatenated."""

    @property
    def rows(self):
        return [row for batch in self for row in batch.rows.to_pylist()]

    @property
    def reasons(self):
        return [reason for batch in self for reason in batch.rejects.column("reason").to_pylist()]

    @property
    def details(self):
        return [detail for batch in self for detail in batch.rejects.column("detail").to_pylist()]


@pytest.fixture(scope="session")
def scan():
    """A function that reads a whole table and checks the invariants of every batch."""

    def scan(path, schema=TRACKS, batch_rows=4096):
        batches = Scanned()
        for fragment in find_fragments(str(path), "tracks"):
            for batch in read_fragment(fragment, schema, batch_rows):
                batch.rows.validate(full=True)
                batch.rejects.validate(full=True)
                assert batch.rejects.schema == REJECTS
                lost = sum(reason in ROW_REASONS for reason in batch.rejects.column("reason").to_pylist())
                assert batch.rows_read == batch.rows.num_rows + lost <= batch_rows
                batches.append(batch)
        return batches

    return scan


@pytest.fixture(scope="session")
def scan_bytes(scan):
    """A function that writes a file into a folder and reads it."""

    def scan_bytes(folder, name, data, schema=TRACKS, **settings):
        (folder / name).write_bytes(data)
        return scan(folder / name, schema, **settings)

    return scan_bytes
