"""Resource hints: a GPU for the steps that encode, and for no other."""

import apache_beam as beam
import pyarrow as pa
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability.common_urns import resource_hints

from tests.support.echo_encoder import Echo
from tracktokens.pipelines.runner import PipelineRunner
from tracktokens.schemas.modalities import LYRICS
from tracktokens.transforms.embedding.encode_missing import EncodeMissing
from tracktokens.transforms.runtime.progress import ProgressReporter
from tracktokens.transforms.store.layout import Store

GPU = "type:nvidia-tesla-t4;count:1;install-nvidia-driver"


def steps_with_a_gpu(hints: dict[str, str]) -> set[str]:
    """Build a pipeline that encodes, and return the leaf steps whose environment has an accelerator."""
    store = Store("gs://bucket/store", 1)
    encode = EncodeMissing(
        store=store,
        catalog=store.catalog("c"),
        modality=LYRICS,
        encoder=Echo(LYRICS, None, {}),
        workers=1,
        progress=ProgressReporter(),
        hints=hints,
    )
    pipeline = beam.Pipeline(options=PipelineOptions([]))
    inputs = pipeline | beam.Create([0]) | beam.Map(str).with_output_types(pa.RecordBatch)
    inputs | "encode lyrics" >> encode
    proto = pipeline.to_runner_api()
    with_gpu = {
        name
        for name, environment in proto.components.environments.items()
        if environment.resource_hints.get(resource_hints.ACCELERATOR.urn) == GPU.encode()
    }
    steps = proto.components.transforms.values()
    return {step.unique_name for step in steps if step.environment_id in with_gpu and not step.subtransforms}


def test_only_the_steps_that_encode_run_on_machines_with_a_gpu() -> None:
    steps = steps_with_a_gpu({"accelerator": GPU})
    assert {name.split("/")[1] for name in steps} == {"encode", "write records"}
    assert steps_with_a_gpu({}) == set()


@pytest.mark.parametrize(
    ("flags", "hints"),
    [
        ((), {}),
        (("--resource_hints=min_ram=8GB",), {}),
        (("--resource_hints=min_ram=8GB", f"--resource_hints=accelerator={GPU}"), {"accelerator": GPU}),
    ],
)
def test_the_accelerator_of_beams_options_is_the_encoders(flags: tuple[str, ...], hints: dict[str, str]) -> None:
    assert PipelineRunner(1, ("--runner=FlinkRunner", *flags)).encoder_hints == hints
