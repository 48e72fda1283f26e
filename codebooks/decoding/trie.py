"""Trie of the token tuples of a catalog, in arrays: it lists the codes that may follow a prefix.

Layout: distinct tuples are sorted and numbered in this order. A node at depth d is a prefix of d + 1 codes of some
tuple. The nodes of a depth are sorted by prefix; each has its last code (int16) and its first tuple (int32). The tuples
of a node end where those of the next node begin. Its children are the nodes of the next depth that begin within them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracktokens.codebooks.numerics.arrays import CodeMatrix, Codes, RowIndices
from tracktokens.codebooks.tokens.code_matrix import check_codes, equal_rows


@dataclass(frozen=True)
class Node:
    """An existing prefix.

    Attributes:
        depth: number of its codes.
        first: its first tuple.
        last: the tuple after its last one.
    """

    depth: int
    first: int
    last: int


@dataclass(frozen=True, eq=False)
class _Depth:
    codes: Codes
    starts: npt.NDArray[np.int32]


class TupleTrie:
    """Prefix tree of the tuples of a code matrix. It is immutable, so threads may share it.

    Example:
        >>> import numpy as np
        >>> trie = TupleTrie(np.array([[1, 2, 3, 4, 5], [1, 2, 7, -1, 0], [6, 2, 3, 4, 5]], np.int16))
        >>> len(trie), trie.next_codes(trie.root).tolist()
        (3, [1, 6])
        >>> trie.next_codes(trie.find([1, 2])).tolist()
        [3, 7]
        >>> trie.find([2]) is None
        True
    """

    def __init__(self, codes: CodeMatrix) -> None:
        """Sort the tuples of int16 (n, M), -1 for none; a tuple may occur more than once.

        Raises:
            ValueError: ``codes`` is not a code matrix.
        """
        check_codes(codes)
        groups = equal_rows(codes)
        self._size = len(groups.sizes)
        self._depths: list[_Depth] = []
        begins = np.zeros(self._size, bool)
        begins[:1] = True
        for column in codes[groups.first_rows].T:
            begins[1:] |= column[1:] != column[:-1]
            starts = np.flatnonzero(begins)
            self._depths.append(_Depth(column[starts], starts.astype(np.int32)))

    @classmethod
    def of_nodes(cls, codes: Sequence[Codes], starts: Sequence[npt.NDArray[np.int32]]) -> "TupleTrie":
        """Take the nodes of a trie from arrays, which are not copied: they may be memory-mapped.

        Args:
            codes: per depth int16 (nodes,), the last code of each node.
            starts: per depth int32 (nodes,), the first tuple of each node; at the last depth there is one per tuple.
        """
        trie = cls.__new__(cls)
        trie._size = len(starts[-1])
        trie._depths = [_Depth(*arrays) for arrays in zip(codes, starts, strict=True)]
        return trie

    def __len__(self) -> int:
        """Number of distinct tuples."""
        return self._size

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays."""
        return sum(depth.codes.nbytes + depth.starts.nbytes for depth in self._depths)

    @property
    def root(self) -> Node:
        """The empty prefix."""
        return Node(0, 0, self._size)

    def child(self, node: Node, code: int) -> Node | None:
        """Return the prefix with one more code, or None if no tuple has it."""
        begin, end = self._children(node)
        depth = self._depths[node.depth]
        index = begin + int(np.searchsorted(depth.codes[begin:end], np.int16(code)))
        if index == end or depth.codes[index] != code:
            return None
        return Node(node.depth + 1, int(depth.starts[index]), self._end(node.depth, index))

    def find(self, prefix: Iterable[int]) -> Node | None:
        """Return the node of a prefix of up to M codes, or None if no tuple has it."""
        node: Node | None = self.root
        for code in prefix:
            if node is None:
                return None
            node = self.child(node, int(code))
        return node

    def next_codes(self, node: Node, excluded: RowIndices | None = None) -> Codes:
        """List the codes that may follow a prefix, in ascending order.

        Args:
            node: a prefix of fewer than M codes.
            excluded: numbers of tuples to skip, int64, ascending; see :meth:`numbers`.
        """
        begin, end = self._children(node)
        depth = self._depths[node.depth]
        codes: Codes = depth.codes[begin:end]
        if excluded is None or not len(excluded):
            return codes
        bounds = np.append(depth.starts[begin:end], node.last)
        remaining = np.diff(bounds) - np.diff(np.searchsorted(excluded, bounds))
        kept: Codes = codes[remaining > 0]
        return kept

    def numbers(self, codes: CodeMatrix) -> RowIndices:
        """Return the numbers of those tuples of int16 (n, M) that the trie has: int64, ascending, distinct."""
        nodes = [self.find(row) for row in codes.tolist()]
        return np.array(sorted({node.first for node in nodes if node is not None}), np.int64)

    def _children(self, node: Node) -> tuple[int, int]:
        bounds = np.array([node.first, node.last], np.int32)  # the dtype of the starts, or NumPy would copy all of them
        begin, end = np.searchsorted(self._depths[node.depth].starts, bounds)
        return int(begin), int(end)

    def _end(self, depth: int, index: int) -> int:
        starts = self._depths[depth].starts
        return int(starts[index + 1]) if index + 1 < len(starts) else self._size
