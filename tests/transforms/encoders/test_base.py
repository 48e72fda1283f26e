"""The check of an encoder before a job."""

import numpy as np
import pyarrow as pa
import pytest

from tracktokens.schemas.errors import InvalidDataError, UsageError
from tracktokens.transforms.encoders.base import Encoded, Encoder, LoadedEncoder


class Broken(Encoder):
    """An encoder that raises when it is loaded."""

    def __init__(self, error: Exception | None) -> None:
        self.error = error

    def identity(self) -> dict[str, object]:
        return {"name": "broken"}

    def load(self, threads: int) -> LoadedEncoder:
        if self.error:
            raise self.error
        return Ones()


class Ones(LoadedEncoder):
    def encode(self, inputs: pa.StringArray) -> Encoded:
        return Encoded(np.ones((len(inputs), 2), np.float32), {})


def test_an_encoder_that_loads_passes() -> None:
    Broken(None).check()


def test_an_error_of_a_library_is_a_usage_error_in_one_line() -> None:
    with pytest.raises(UsageError, match=r"the encoder Broken cannot be used \(KeyError: 'size'\)"):
        Broken(KeyError("size")).check()
    with pytest.raises(UsageError, match=r"a b$|a b\)$"):
        Broken(RuntimeError("a\nb")).check()


def test_our_own_error_stays() -> None:
    with pytest.raises(InvalidDataError, match="damaged"):
        Broken(InvalidDataError("damaged")).check()
