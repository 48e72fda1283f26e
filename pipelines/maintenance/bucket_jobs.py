"""Shared parts of the maintenance jobs: a folder for results, and a pipeline over buckets of records."""

import shutil
import tempfile
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager

import apache_beam as beam

from tracktokens.pipelines.runner import PipelineRunner
from tracktokens.transforms.maintenance.divide_folder import BucketGroup
from tracktokens.transforms.runtime.arrow_coder import Count
from tracktokens.transforms.runtime.counters import WriteCounts, read_counts
from tracktokens.transforms.runtime.spilled import CreateSpilled, spill
from tracktokens.transforms.store import files
from tracktokens.transforms.store.layout import WORKING, Store, new_id
from tracktokens.transforms.store.record_buckets import RecordBucket


@contextmanager
def working_folder(store: Store, runner: PipelineRunner) -> Iterator[str]:
    """Create a folder for the results of workers, and delete it at the end of the block.

    It is in the store where the workers may run on other machines.
    """
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
    store: Store, stage: str, buckets: Collection[RecordBucket | BucketGroup], count: beam.DoFn, runner: PipelineRunner
) -> Counter[str]:
    """Process buckets of records in a pipeline, and sum the counts.

    Args:
        store: the store.
        stage: name of the stage in the progress.
        buckets: the buckets; without any, no pipeline runs.
        count: step that processes one bucket and outputs pairs of name and count.
        runner: runner of the pipeline.
    """
    if not buckets:
        return Counter()
    runner.check_reachable({"store": store.root})
    runner.progress.add(stage, total=len(buckets))
    with working_folder(store, runner) as folder:
        path = files.join(folder, "counts.json")
        spilled = spill(buckets, files.join(folder, "buckets.json"))

        def build(pipeline: beam.Pipeline) -> None:
            (
                pipeline
                | "record buckets" >> CreateSpilled(spilled)
                | "process" >> beam.ParDo(count).with_output_types(Count)
                | "write counts" >> WriteCounts(path)
            )

        runner.run(build)
        return read_counts(path)
