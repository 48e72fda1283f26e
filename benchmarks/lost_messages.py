"""Count the rows that Beam's local runner loses between processes, with its own streams and with locked ones.

    python benchmarks/lost_messages.py [RUNS]

A plain Beam pipeline joins two collections of large blocks in two worker processes. The runner flushes its streams
every 20 ms instead of every second, so that a loss is likely in a short run.
"""

import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import worker_handlers
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner

from tracktokens.pipelines.beam_patches import lock_streams

BLOCKS, BLOCK_BYTES, KEYS, SOURCES = 240, 1 << 20, 8, 8
FLUSH_MS = 20


def blocks(source: int) -> list[tuple[int, bytes]]:
    """Blocks of one source, by key."""
    return [(number % KEYS, bytes(BLOCK_BYTES)) for number in range(source, BLOCKS, SOURCES)]


def count_blocks(element: tuple[int, tuple[Iterable[bytes], Iterable[bytes]]]) -> int:
    """Count the blocks of a key, of both collections."""
    return sum(len(list(side)) for side in element[1])


def received(folder: str) -> int:
    """Run the pipeline, and count the blocks that arrive; of 2 x BLOCKS."""
    options = PipelineOptions(["--direct_running_mode=multi_processing", "--direct_num_workers=2"])
    path = f"{folder}/count"
    with beam.Pipeline(runner=FnApiRunner(), options=options) as pipeline:
        sides = [
            pipeline | f"sources {n}" >> beam.Create(range(SOURCES)) | f"blocks {n}" >> beam.FlatMap(blocks)
            for n in (0, 1)
        ]
        joined = sides | beam.CoGroupByKey() | beam.Map(count_blocks) | beam.CombineGlobally(sum)
        joined | beam.Map(str) | beam.io.WriteToText(path, shard_name_template="")
    return int(Path(path).read_text())


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    worker_handlers.DATA_BUFFER_TIME_LIMIT_MS = FLUSH_MS
    for name, prepare in (("Beam's own streams", lambda: None), ("locked streams", lock_streams)):
        prepare()
        for _ in range(runs):
            with tempfile.TemporaryDirectory() as folder:
                print(f"{name}: {2 * BLOCKS - received(folder)} of {2 * BLOCKS} blocks lost", flush=True)


if __name__ == "__main__":
    main()
