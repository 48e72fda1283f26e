"""Options of the commands that read a catalog: where it is, and where each modality's vectors come from."""

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import click

from tracktokens.pipelines.cli.options import NonEmptyStr, options
from tracktokens.schemas.errors import UsageError

if TYPE_CHECKING:
    from tracktokens.pipelines.encoder_config import VectorSources

Pairs = tuple[tuple[str, str], ...]
"""Values of an option that may be repeated: modality and value."""


class Share(click.FloatRange):
    """A number from 0 to 1, which NaN is not."""

    def __init__(self) -> None:
        super().__init__(0, 1)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Refuse NaN, which no comparison refuses."""
        share = float(super().convert(value, param, ctx))
        if math.isnan(share):
            self.fail("is not a number", param, ctx)
        return share


class OfModality(click.ParamType[tuple[str, str]]):
    """``MODALITY=VALUE``."""

    name = "text"

    def convert(
        self, value: str | tuple[str, str], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Part the modality from the value."""
        from tracktokens.schemas.modalities import MODALITIES

        modality, _, rest = (value[0], "=", value[1]) if isinstance(value, tuple) else value.partition("=")
        if modality not in MODALITIES or not rest.strip():
            self.fail(f"{value!r} is not MODALITY=VALUE, with one of {', '.join(MODALITIES)}", param, ctx)
        return modality, rest


tracks_option = click.option(
    "--tracks",
    required=True,
    type=NonEmptyStr(),
    metavar="PATH",
    help="Tracks: file, folder or glob; Parquet, CSV or JSON Lines.",
)
max_reject_rate_option = click.option(
    "--max-reject-rate",
    type=Share(),
    default=0.05,
    show_default=True,
    help="Share of rows that may be lost before the catalog is refused.",
)
audio_root_option = click.option(
    "--audio-root",
    type=NonEmptyStr(),
    metavar="DIR",
    help="Folder below which audio paths lie. Without it no track has an audio token.",
)
encoder_options = options(
    click.option(
        "--text-model",
        type=NonEmptyStr(),
        metavar="MODEL",
        help="sentence-transformers model, name or folder; the packaged MiniLM when not given.",
    ),
    click.option(
        "--text-prompt",
        metavar="TEXT",
        help='What the model reads before every text, such as "query: ", or the name of a prompt that it has.',
    ),
    click.option(
        "--text-backend",
        type=click.Choice(["torch", "onnx", "openvino"]),
        default="torch",
        show_default=True,
        help="What runs the text model; onnx and openvino are faster on a CPU.",
    ),
    click.option(
        "--text-precision",
        type=click.Choice(["float32", "float16", "bfloat16", "int8"]),
        help="What the text model computes in; float32, and float16 on a GPU, when not given.",
    ),
    click.option(
        "--text-graph",
        type=NonEmptyStr(),
        metavar="FILE",
        help="Graph in the text model's folder, for onnx and openvino.",
    ),
    click.option(
        "--device", metavar="NAME", help="Where models run: cpu, cuda, cuda:1, mps; a GPU where there is one."
    ),
    click.option(
        "--audio-encoder",
        type=click.Choice(["descriptors", "clap"]),
        default="descriptors",
        show_default=True,
        help="What is heard in audio: computed descriptors, or a learned LAION-CLAP model.",
    ),
    click.option(
        "--clap-checkpoint",
        type=NonEmptyStr(),
        metavar="PATH",
        help="The CLAP model: a file that laion-clap saved, or a folder that transformers did.",
    ),
    click.option("--clap-model", metavar="NAME", help="Size of the model in a file; HTSAT-base when not given."),
    click.option(
        "--trust-checkpoint",
        is_flag=True,
        help="Read a CLAP checkpoint that holds more than weights, which may run any code.",
    ),
    click.option(
        "--encoder",
        "plugins",
        type=OfModality(),
        multiple=True,
        metavar="MODALITY=NAME",
        help="Encoder that another package installed, for a modality. May be repeated.",
    ),
    click.option(
        "--encoder-option",
        "plugin_options",
        type=OfModality(),
        multiple=True,
        metavar="MODALITY=KEY=VALUE",
        help="Option for the encoder of --encoder. May be repeated.",
    ),
    click.option(
        "--vectors",
        type=OfModality(),
        multiple=True,
        metavar="MODALITY=PATH",
        help="Vectors that exist already: Parquet with track_id and vector. May be repeated.",
    ),
    click.option(
        "--vectors-id",
        "vector_ids",
        type=OfModality(),
        multiple=True,
        metavar="MODALITY=NAME",
        help="Name of the encoder that made the vectors; a hash of the files when not given.",
    ),
    click.option(
        "--vectors-column",
        "vector_columns",
        type=OfModality(),
        multiple=True,
        metavar="MODALITY=NAME",
        help="Column of the vectors, when it is not `vector`.",
    ),
)


def vector_sources(
    audio_root: str | None,
    *,
    text_model: str | None,
    text_prompt: str | None,
    text_backend: str,
    text_precision: str | None,
    text_graph: str | None,
    device: str | None,
    audio_encoder: str,
    clap_checkpoint: str | None,
    clap_model: str | None,
    trust_checkpoint: bool,
    plugins: Pairs,
    plugin_options: Pairs,
    vectors: Pairs,
    vector_ids: Pairs,
    vector_columns: Pairs,
) -> "VectorSources":
    """Collect what the user said of encoders and vectors."""
    from tracktokens.pipelines.encoder_config import (
        AudioEncoderConfig,
        PluginConfig,
        PrecomputedConfig,
        TextEncoderConfig,
        VectorSources,
    )
    from tracktokens.schemas.tables.vectors import VECTOR

    names, paths = _once("--encoder", plugins), _once("--vectors", vectors)
    ids, columns = _once("--vectors-id", vector_ids), _once("--vectors-column", vector_columns)
    _require_main("--encoder-option", [modality for modality, _ in plugin_options], "--encoder", names)
    for option, given in (("--vectors-id", ids), ("--vectors-column", columns)):
        _require_main(option, given, "--vectors", paths)
    return VectorSources(
        TextEncoderConfig(text_model, text_prompt, text_backend, text_precision, text_graph),
        audio_root,
        AudioEncoderConfig(audio_encoder, clap_checkpoint, clap_model, trust_checkpoint),
        {modality: PluginConfig(name, _options_of(modality, plugin_options)) for modality, name in names.items()},
        {m: PrecomputedConfig(path, columns.get(m, VECTOR), ids.get(m)) for m, path in paths.items()},
        device,
    )


def _once(option: str, pairs: Pairs) -> dict[str, str]:
    """Values by modality, of which each has one."""
    values = dict(pairs)
    if len(values) < len(pairs):
        raise UsageError(f"{option}: give each modality once")
    return values


def _require_main(option: str, modalities: Iterable[str], main_option: str, given: Mapping[str, str]) -> None:
    for modality in modalities:
        if modality not in given:
            raise UsageError(f"{option} {modality}=... goes with {main_option} {modality}=...")


def _options_of(modality: str, pairs: Pairs) -> dict[str, str]:
    """Options for one modality's encoder, out of all that were given as ``KEY=VALUE``."""
    parted = [pair.partition("=") for owner, pair in pairs if owner == modality]
    if broken := [key for key, equals, _ in parted if not (key and equals)]:
        raise UsageError(f"--encoder-option {modality}={broken[0]}: give it as {modality}=KEY=VALUE")
    return {key: value for key, _, value in parted}
