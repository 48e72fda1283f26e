"""Files of a serving table, in the folder ``serving`` of a release.

| file | contents |
|---|---|
| ``serving.json`` | header, see :class:`~tracktokens.schemas.manifests.serving.ServingManifest` |
| ``tuples.parquet`` | one row per distinct tuple: its codes, its text, and its track ids by popularity |
| ``track_ids.arrow`` | Arrow IPC, one batch: ``track_id`` by popularity, then id; rows are numbered so |
| ``codes.npy`` | int16 (columns, tracks), -1 for none |
| ``postings.npy`` | int32 (columns, tracks): rows in order of the column's code |
| ``posting_starts.npy`` | int64 (columns, largest code + 3): where the rows of each code begin, none first |
| ``rows_by_id.npy`` | int32 (tracks,): rows in order of the track id |
| ``rows_by_tuple.npy`` | int32 (tracks,): rows in order of the tuple, then by popularity |
| ``tuple_starts.npy`` | int32 (tuples + 1,): where the rows of each tuple begin |
| ``trie_codes.npy``, ``trie_starts.npy`` | int16 and int32 (nodes,): the nodes of the trie, depth by depth |

The arrays are memory-mapped when they are read.
"""

FOLDER = "serving"
HEADER = "serving.json"
TUPLES = "tuples.parquet"
TRACK_IDS = "track_ids.arrow"
CODES = "codes.npy"
POSTINGS = "postings.npy"
POSTING_STARTS = "posting_starts.npy"
ROWS_BY_ID = "rows_by_id.npy"
ROWS_BY_TUPLE = "rows_by_tuple.npy"
TUPLE_STARTS = "tuple_starts.npy"
TRIE_CODES = "trie_codes.npy"
TRIE_STARTS = "trie_starts.npy"

LATEST = "LATEST"
"""File of a store that names the release in use."""

RELEASES = "releases"
"""Folder of a store with its releases."""
