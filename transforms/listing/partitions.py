"""Partitions: columns whose values are in the names of folders, such as ``year=1999``, as Hive and Spark write them."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

NULL_VALUE = b"__HIVE_DEFAULT_PARTITION__"
"""Value of a null."""


def partition_values(path: str) -> dict[str, bytes | None]:
    """Read the columns in the folders of a file's path: name to value as bytes of text, None for null.

    Names and values are percent-decoded. Of several folders with the same name, the innermost counts.

    Args:
        path: absolute path, or URL.

    Example:
        >>> partition_values("/data/artist=AC%2FDC/year=1980/part-0.parquet")
        {'artist': b'AC/DC', 'year': b'1980'}
    """
    pairs = (folder.partition("=") for folder in path.split("/")[:-1] if "=" in folder[1:])
    decoded = ((_decode(name).decode("utf-8", "backslashreplace"), _decode(value)) for name, _, value in pairs)
    return {name: None if value in (b"", NULL_VALUE) else value for name, value in decoded}


def _decode(text: str) -> bytes:
    return unquote_to_bytes(text.encode("utf-8", "surrogateescape"))
