"""Checks of weight files: hashes and shapes."""

import pytest

from tracktokens.schemas.errors import InvalidDataError
from tracktokens.transforms.encoders.weights import check_hash, check_shapes


def test_a_different_hash_is_refused() -> None:
    check_hash("12", "12", "the model")
    with pytest.raises(InvalidDataError, match=r"the model hashes to 12, but the job was started with 13\. Give every"):
        check_hash("12", "13", "the model")


@pytest.mark.parametrize(
    ("actual", "fault"),
    [
        ({"a": (1,)}, r"x: b is missing, not \(2, 3\); y"),
        ({"a": (2,), "b": (3, 2)}, r"x: a is \(2,\), not \(1,\), and 1 more; y"),
        ({"a": (1,), "b": (2, 3), "c": (4,)}, r"x: c is \(4,\), not a part of it; y"),
    ],
)
def test_weights_that_do_not_fit_are_refused(actual: dict[str, tuple[int, ...]], fault: str) -> None:
    expected = {"a": (1,), "b": (2, 3)}
    check_shapes(expected, expected, problem="x", remedy="y")
    with pytest.raises(InvalidDataError, match=f"^{fault}$"):
        check_shapes(actual, expected, problem="x", remedy="y")
