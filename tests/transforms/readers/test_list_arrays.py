"""Lists keep some of their elements."""

import numpy as np
import pyarrow as pa

from tracktokens.transforms.readers.list_arrays import keep_elements


def test_lists_keep_the_marked_elements():
    lists = pa.array([["a", "b"], None, [], ["c"]])
    assert keep_elements(lists, np.array([False, True, False])).to_pylist() == [["b"], None, [], []]
