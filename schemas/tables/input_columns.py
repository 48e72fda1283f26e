"""Arrow fields of the input columns that belong to modalities."""

import pyarrow as pa

from tracktokens.schemas.modalities import MODALITY_RECORDS

_ARROW_TYPES = {"string": pa.string(), "int32": pa.int32(), "list<string>": pa.list_(pa.string())}


def columns_of(*modalities: str) -> tuple[pa.Field, ...]:
    """Return the input columns of some modalities, in the order of the arguments.

    Example:
        >>> [column.name for column in columns_of("tags", "audio")]
        ['tags', 'audio_path', 'audio_version']
    """
    columns = {record.name: record.columns for record in MODALITY_RECORDS}
    return tuple(pa.field(column.name, _ARROW_TYPES[column.type]) for name in modalities for column in columns[name])
