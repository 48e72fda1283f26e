"""The choice of each modality's encoder: text, audio, an installed plugin, or precomputed embeddings.

Only names and paths are kept here, so that this module imports no model library: the functions below import what they
need. The metadata of a field describes the option of the command line and of config files that sets it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tracktokens.pipelines.option_fields import option
from tracktokens.schemas.errors import UsageError

if TYPE_CHECKING:
    from tracktokens.transforms.encoders.base import Encoder
    from tracktokens.transforms.precomputed.scan_vectors import PrecomputedEmbeddings

CLAP = "clap"
DESCRIPTORS = "descriptors"
AUDIO_ENCODERS = (DESCRIPTORS, CLAP)

BACKENDS = ("auto", "torch", "onnx", "openvino")
TEXT_PRECISIONS = ("float32", "float16", "bfloat16", "int8")


@dataclass(frozen=True, kw_only=True)
class TextEncoderConfig:
    """The text encoder of tags, metadata and lyrics: a sentence-transformers model.

    Attributes:
        model: name or folder of the model; None takes the packaged all-MiniLM-L6-v2.
        prompt: text before every input, or the name of one of the model's own prompts.
        backend: one of ``BACKENDS``.
        precision: one of ``TEXT_PRECISIONS``; None for float16 on CUDA, else float32.
        graph: graph file in the model's folder, for ``onnx`` and ``openvino``.
    """

    model: str | None = field(
        default=None,
        metadata=option(
            "text-model",
            metavar="MODEL",
            is_path=True,
            may_be_name=True,
            help="sentence-transformers model, name or folder; `built-in`, the default, is the packaged MiniLM.",
        ),
    )
    prompt: str | None = field(
        default=None,
        metadata=option(
            "text-prompt",
            metavar="TEXT",
            may_be_empty=True,
            help='Text before every input of the text model, such as "query: ", or the name of one of its prompts.',
        ),
    )
    backend: str = field(
        default="auto",
        metadata=option(
            "text-backend",
            choices=BACKENDS,
            help="Library that runs the text model; auto measures once which is fastest on this CPU.",
        ),
    )
    precision: str | None = field(
        default=None,
        metadata=option(
            "text-precision",
            choices=TEXT_PRECISIONS,
            help="Precision of the text model; by default float16 on a GPU and float32 elsewhere.",
        ),
    )
    graph: str | None = field(
        default=None,
        metadata=option("text-graph", metavar="FILE", help="Graph in the text model's folder, for onnx and openvino."),
    )


@dataclass(frozen=True, kw_only=True)
class AudioEncoderConfig:
    """The audio encoder, one of the built-in ones.

    Attributes:
        encoder: ``DESCRIPTORS`` or ``CLAP``.
        clap_checkpoint: file saved by laion-clap, or folder saved by transformers; ``CLAP`` requires it.
        clap_model: laion-clap's name of the model in a file; None for HTSAT-base.
        clap_backend: one of ``BACKENDS``; None for ``auto``.
        trust_checkpoint: whether the checkpoint may be unpickled.
    """

    encoder: str = field(
        default=DESCRIPTORS,
        metadata=option(
            "audio-encoder",
            choices=AUDIO_ENCODERS,
            help="Audio encoder: computed descriptors, or a learned LAION-CLAP model.",
        ),
    )
    clap_checkpoint: str | None = field(
        default=None,
        metadata=option(
            "clap-checkpoint",
            metavar="PATH",
            is_path=True,
            help="CLAP model: a file saved by laion-clap, or a folder saved by transformers.",
        ),
    )
    clap_model: str | None = field(
        default=None,
        metadata=option(
            "clap-model",
            metavar="NAME",
            may_be_empty=True,
            help="Size of the CLAP model in a file; HTSAT-base by default.",
        ),
    )
    clap_backend: str | None = field(
        default=None,
        metadata=option(
            "clap-backend",
            choices=BACKENDS,
            help="Library that runs CLAP; auto, the default, measures once which is fastest on this CPU.",
        ),
    )
    trust_checkpoint: bool = field(
        default=False,
        metadata=option(
            "trust-checkpoint",
            inherited=False,
            help="Load a CLAP checkpoint that contains more than weights. It can run any code.",
        ),
    )


@dataclass(frozen=True, kw_only=True)
class PluginConfig:
    """An encoder that another package installed.

    Attributes:
        name: name of its entry point.
        options: key to value; the plugin defines the keys. Manifests keep them, so a secret does not belong here.
    """

    name: str = field(
        metadata=option(
            "encoder",
            metavar="MODALITY=NAME",
            help="Encoder of a modality that another package installed, or `built-in`. Repeatable.",
        )
    )
    options: Mapping[str, str] = field(
        default_factory=dict,
        metadata=option(
            "encoder-option",
            metavar="MODALITY=KEY=VALUE",
            help="Option of the encoder of --encoder; the release's manifest keeps it. Repeatable.",
        ),
    )


@dataclass(frozen=True, kw_only=True)
class PrecomputedConfig:
    """Precomputed embeddings of a modality.

    Attributes:
        path: Parquet file, folder or glob.
        version: name of the encoder that made them. Embeddings of the same version keep their tokens when the files
            change. None takes a hash of the files.
        column: column of the vectors; None takes ``vector``.
    """

    path: str = field(
        metadata=option(
            "embeddings",
            metavar="MODALITY=PATH",
            is_path=True,
            help="Precomputed embeddings of a modality: Parquet with track_id and vector. Repeatable.",
        )
    )
    version: str | None = field(
        default=None,
        metadata=option(
            "embeddings-version",
            metavar="MODALITY=NAME",
            help="Name of the encoder that made the embeddings; a hash of the files by default. Repeatable.",
        ),
    )
    column: str | None = field(
        default=None,
        metadata=option(
            "embeddings-column",
            metavar="MODALITY=NAME",
            help="Column of the embeddings; `vector` by default. Repeatable.",
        ),
    )


def make_text_encoder(config: TextEncoderConfig, device: str | None) -> "Encoder":
    """Make the text encoder.

    Raises:
        UsageError: the model or a package is missing, or the choices do not go together.
        InvalidDataError: the model cannot be used.
    """
    from tracktokens.transforms.encoders.text.sentence import sentence_encoder

    return sentence_encoder(
        config.model,
        prompt=config.prompt,
        backend=config.backend,
        precision=config.precision,
        graph=config.graph,
        device=device,
    )


def make_audio_encoder(config: AudioEncoderConfig, audio_root: str, device: str | None) -> "Encoder":
    """Make the audio encoder.

    Raises:
        UsageError: the checkpoint is missing, or laion-clap has no model of this name.
        InvalidDataError: the checkpoint cannot be used.
    """
    if config.encoder == CLAP and config.clap_checkpoint:
        from tracktokens.transforms.encoders.audio.clap_checkpoint import clap_encoder

        return clap_encoder(
            audio_root,
            checkpoint=config.clap_checkpoint,
            model=config.clap_model,
            trusted=config.trust_checkpoint,
            device=device,
            backend=config.clap_backend or BACKENDS[0],
        )
    from tracktokens.transforms.encoders.audio.descriptors import DescriptorEncoder

    return DescriptorEncoder(audio_root)


def make_plugin_encoder(config: PluginConfig, modality: str, audio_root: str | None, device: str | None) -> "Encoder":
    """Make the encoder that another package installed.

    Raises:
        UsageError: the encoder is not installed, or cannot be made.
    """
    from tracktokens.transforms.encoders.plugins import EncoderRequest, plugin_encoder

    return plugin_encoder(config.name, EncoderRequest(modality, audio_root, device, config.options))


def open_embeddings(config: PrecomputedConfig) -> "PrecomputedEmbeddings":
    """Open precomputed embeddings.

    Raises:
        UsageError: the files are missing.
        InvalidDataError: the files cannot be used.
    """
    from tracktokens.schemas.tables.vectors import VECTOR
    from tracktokens.transforms.precomputed.scan_vectors import open_precomputed

    return open_precomputed(config.path, config.column or VECTOR, config.version)


def check_audio_choice(config: AudioEncoderConfig, audio_root: str | None) -> None:
    """Check that the options of the audio encoder go together.

    Raises:
        UsageError: an option lacks another one that it needs.
    """
    if config.encoder != CLAP:
        if config.clap_checkpoint or config.clap_model or config.clap_backend or config.trust_checkpoint:
            raise UsageError(
                "--clap-checkpoint, --clap-model, --clap-backend and --trust-checkpoint go with --audio-encoder clap"
            )
    elif not config.clap_checkpoint:
        raise UsageError(
            "--audio-encoder clap needs --clap-checkpoint: a file of laion-clap, or a folder of transformers"
        )
    elif audio_root is None:
        raise UsageError("--audio-encoder clap needs --audio-root: the folder of the audio files")
