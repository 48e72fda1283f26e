"""The sizes of the graphs that jobs send to a runner."""

from collections.abc import Callable
from dataclasses import dataclass, field

import apache_beam as beam

from tracktokens.pipelines.runner import PipelineRunner

MEGABYTE = 1_000_000


def graph_size(build: Callable[[beam.Pipeline], object]) -> int:
    """Build a pipeline without running it, and return the bytes of its graph as a runner gets it."""
    pipeline = beam.Pipeline()
    build(pipeline)
    return len(pipeline.to_runner_api().SerializeToString())


class NotRunError(Exception):
    """A pipeline was built and not run."""


@dataclass(frozen=True)
class GraphRecorder(PipelineRunner):
    """Records the size of each graph, and runs it only where ``runs``.

    Attributes:
        sizes: sizes of the graphs so far, in bytes.
        runs: whether pipelines are run; otherwise ``run`` raises :class:`NotRunError`.
    """

    sizes: list[int] = field(default_factory=list)
    runs: bool = True

    def run(self, build: Callable[[beam.Pipeline], object]) -> None:
        self.sizes.append(graph_size(build))
        if not self.runs:
            raise NotRunError
        super().run(build)
