from .assign import Assignment
from .bundle import Bundle
from .codebook import Codebook, Preprocessing
from .continuity.alignment import Alignment, CodePairs, align, count_pairs, relabel
from .continuity.procrustes import Rotation, RotationAccumulator, rotation
from .decoding.catalog_constraint import CatalogConstraint, TokenIds
from .decoding.trie import TupleTrie
from .matching.code_similarity import CodeSimilarity
from .matching.token_index import Matches, Matching, TokenIndex
from .matching.weights import MATCHING_WEIGHTS
from .metrics.churn import ChurnAccumulator
from .metrics.codebook_quality import CodebookQualityAccumulator
from .metrics.neighbour_recall import NeighbourRecallAccumulator
from .metrics.oracle import OracleAccumulator
from .metrics.token_uniqueness import TokenTableAccumulator
from .tokens.code_matrix import NONE, WILDCARD, check_codes
from .tokens.parsing import parse_tokens
from .tokens.vocabulary import token, token_strings, tuple_string, vocabulary
from .training.fit import Fit, TrainingMetrics, fit_codebook

__all__ = [
    "MATCHING_WEIGHTS",
    "NONE",
    "WILDCARD",
    "Alignment",
    "Assignment",
    "Bundle",
    "CatalogConstraint",
    "ChurnAccumulator",
    "CodePairs",
    "CodeSimilarity",
    "Codebook",
    "CodebookQualityAccumulator",
    "Fit",
    "Matches",
    "Matching",
    "NeighbourRecallAccumulator",
    "OracleAccumulator",
    "Preprocessing",
    "Rotation",
    "RotationAccumulator",
    "TokenIds",
    "TokenIndex",
    "TokenTableAccumulator",
    "TrainingMetrics",
    "TupleTrie",
    "align",
    "check_codes",
    "count_pairs",
    "fit_codebook",
    "parse_tokens",
    "relabel",
    "rotation",
    "token",
    "token_strings",
    "tuple_string",
    "vocabulary",
]
