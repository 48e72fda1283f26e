"""Token columns of a serving table: one per token of a track, in token order."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tracktokens.codebooks.numerics.arrays import CodeMatrix
from tracktokens.codebooks.tokens.code_matrix import NONE
from tracktokens.codebooks.tokens.vocabulary import token
from tracktokens.schemas.manifests.serving import ServingManifest
from tracktokens.schemas.modalities import MODALITY_RECORDS


@dataclass(frozen=True)
class TokenColumn:
    """One token of each track.

    Attributes:
        name: name in tokens and tables: ``<|name_3|>``.
        modality: modality of its codes.
        level: 1 for the codes of the first codebook, 2 for those of its residuals, and so on.
        size: number of codes.
        weight: default weight in matching.

    Example:
        >>> TokenColumn("audio", "audio", 1, 1024, 1.0).tokens([3, -1])
        ['<|audio_3|>', '<|audio_none|>']
    """

    name: str
    modality: str
    level: int
    size: int
    weight: float

    def tokens(self, codes: Sequence[int]) -> list[str]:
        """Write codes as tokens, -1 as ``none``."""
        return [token(self.name, None if code == NONE else code) for code in codes]


def modality_columns(codebook_size: int) -> tuple[TokenColumn, ...]:
    """List the columns of a table with one token per modality."""
    return tuple(
        TokenColumn(record.name, record.name, 1, codebook_size, record.matching_weight) for record in MODALITY_RECORDS
    )


def manifest_columns(manifest: ServingManifest) -> tuple[TokenColumn, ...]:
    """Read the columns of a header."""
    return tuple(TokenColumn(**column) for column in manifest.columns)


def column_records(columns: Sequence[TokenColumn]) -> list[dict[str, object]]:
    """Return the columns as a header holds them."""
    return [asdict(column) for column in columns]


def tuple_texts(codes: CodeMatrix, columns: Sequence[TokenColumn]) -> pa.Array:
    """Write the tokens of each row of int16 (n, M) in order, without a separator: string (n,)."""
    texts = [_texts(column, values) for column, values in zip(columns, codes.T, strict=True)]
    return pc.binary_join_element_wise(*texts, "")


def _texts(column: TokenColumn, codes: CodeMatrix) -> pa.Array:
    used, indices = np.unique(codes, return_inverse=True)
    return pa.array(column.tokens(used.tolist()), pa.string()).take(pa.array(indices))
