"""The token tuples of a catalog as a tree of prefixes in arrays: which codes may follow what was written.

Layout: tuples that differ are sorted, and numbered so. At depth d a node is a prefix of d + 1 codes that some tuple
has. Nodes of a depth stand in order of their prefix; each has its last code (int16) and its first tuple (int32). The
tuples of a node end where those of the next begin, and its children are the nodes of the next depth that begin within
them.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracktokens.codebooks.numerics.arrays import CodeMatrix, Codes, RowIndices
from tracktokens.codebooks.tokens.code_matrix import check_codes, equal_rows


@dataclass(frozen=True)
class Node:
    """A prefix that exists: how many codes it has, and its tuples, from ``first`` to before ``last``."""

    depth: int
    first: int
    last: int


@dataclass(frozen=True, eq=False)
class _Depth:
    codes: Codes
    starts: npt.NDArray[np.int32]


class TupleTrie:
    """The tuples of a code matrix, asked prefix by prefix. It never changes, so threads may share it."""

    def __init__(self, codes: CodeMatrix) -> None:
        """Sort the tuples of int16 (n, 5), -1 for none; a tuple may come more than once.

        Raises:
            ValueError: this is no code matrix.
        """
        check_codes(codes)
        sets = equal_rows(codes)
        self._size = len(sets.sizes)
        self._depths: list[_Depth] = []
        begins = np.zeros(self._size, bool)
        begins[:1] = True
        for column in codes[sets.first_rows].T:
            begins[1:] |= column[1:] != column[:-1]
            starts = np.flatnonzero(begins)
            self._depths.append(_Depth(column[starts], starts.astype(np.int32)))

    def __len__(self) -> int:
        """Number of tuples that differ."""
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
        """The prefix with one more code, or None where no tuple has it."""
        begin, end = self._children(node)
        depth = self._depths[node.depth]
        place = begin + int(np.searchsorted(depth.codes[begin:end], np.int16(code)))
        if place == end or depth.codes[place] != code:
            return None
        return Node(node.depth + 1, int(depth.starts[place]), self._end(node.depth, place))

    def find(self, prefix: Iterable[int]) -> Node | None:
        """The node of a prefix of up to five codes, or None where no tuple begins so."""
        node: Node | None = self.root
        for code in prefix:
            if node is None:
                return None
            node = self.child(node, int(code))
        return node

    def next_codes(self, node: Node, excluded: RowIndices | None = None) -> Codes:
        """Codes that may follow a prefix, in rising order.

        Args:
            node: a prefix of fewer than five codes.
            excluded: numbers of tuples that do not count, int64, rising; see :meth:`numbers`.
        """
        begin, end = self._children(node)
        depth = self._depths[node.depth]
        codes: Codes = depth.codes[begin:end]
        if excluded is None or not len(excluded):
            return codes
        bounds = np.append(depth.starts[begin:end], node.last)
        left = np.diff(bounds) - np.diff(np.searchsorted(excluded, bounds))
        kept: Codes = codes[left > 0]
        return kept

    def numbers(self, codes: CodeMatrix) -> RowIndices:
        """Numbers of the tuples of int16 (n, 5) that are here, int64, rising, each once."""
        nodes = [self.find(row) for row in codes.tolist()]
        return np.array(sorted({node.first for node in nodes if node is not None}), np.int64)

    def _children(self, node: Node) -> tuple[int, int]:
        bounds = np.array([node.first, node.last], np.int32)  # of the same type, or NumPy would copy all starts
        begin, end = np.searchsorted(self._depths[node.depth].starts, bounds)
        return int(begin), int(end)

    def _end(self, depth: int, place: int) -> int:
        starts = self._depths[depth].starts
        return int(starts[place + 1]) if place + 1 < len(starts) else self._size
