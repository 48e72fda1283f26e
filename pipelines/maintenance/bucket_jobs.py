"""What the jobs that keep a store in order share: a folder for results, and a pipeline over buckets of facts."""

import shutil
import tempfile
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager

import apache_beam as beam

from tracktokens.pipelines.runner import PipelineRunner
from tracktokens.transforms.runtime.arrow_coder import Count
from tracktokens.transforms.runtime.counters import WriteCounts, read_counts
from tracktokens.transforms.store import files
from tracktokens.transforms.store.layout import WORKING, Store, new_id
from tracktokens.transforms.store.record_buckets import RecordBucket


@contextmanager
def working_folder(store: Store, runner: PipelineRunner) -> Iterator[str]:
    """A folder in which workers leave results, for the length of a block: in the store when they may be elsewhere."""
    local = not runner.names_runner
    folder = tempfile.mkdtemp(prefix="tracktokens-") if local else files.join(store.root, WORKING, new_id())
    try:
        yield folder
    finally:
        if local:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            files.delete_tree(folder)


def count_in_buckets(
    store: Store, stage: str, buckets: Collection[RecordBucket], work: beam.DoFn, runner: PipelineRunner
) -> Counter[str]:
    """Do something to buckets of facts, wherever workers are, and add up what it counts. It counts as ``stage``."""
    if not buckets:
        return Counter()
    runner.progress.add(stage, total=len(buckets))
    with working_folder(store, runner) as folder:
        path = files.join(folder, "counts.json")

        def build(pipeline: beam.Pipeline) -> None:
            (
                pipeline
                | "fact buckets" >> beam.Create(list(buckets))
                | "spread fact buckets" >> beam.Reshuffle()  # Create gives them to one worker
                | "work" >> beam.ParDo(work).with_output_types(Count)
                | "write counts" >> WriteCounts(path)
            )

        runner.run(build)
        return read_counts(path)
