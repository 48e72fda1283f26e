"""Gather a collection in one place."""

from collections.abc import Callable
from functools import partial
from typing import Any

import apache_beam as beam


class Gather(beam.PTransform):
    """Call a function with all elements of a small collection, once, also where it has none.

    Beam's ``ToList`` and ``ToDict`` do the same in twenty steps.

    Args:
        function: receives the list of the elements, in any order. What it returns is the only element of the output.
        kind: type of that element.
    """

    def __init__(self, function: Callable[[list[Any]], Any], kind: object = Any) -> None:
        super().__init__()
        self._function = function
        self._kind = kind

    def expand(self, elements: beam.PCollection) -> beam.PCollection:
        """Call the function on the collection as a side input of one element."""
        call = beam.Map(partial(_call, self._function), beam.pvalue.AsList(elements)).with_output_types(self._kind)
        return elements.pipeline | beam.Impulse() | call


def _call(function: Callable[[list[Any]], Any], _: bytes, elements: list[Any]) -> Any:
    return function(elements)
