"""Where each modality's vectors come from: encoders that we have, encoders of others, or vectors that exist already."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tracktokens.schemas.errors import UsageError
from tracktokens.schemas.modalities import AUDIO, CONTENT_MODALITIES, TEXT_MODALITIES
from tracktokens.schemas.tables.vectors import VECTOR
from tracktokens.transforms.encoders.audio.clap_checkpoint import clap_encoder
from tracktokens.transforms.encoders.audio.descriptors import DescriptorEncoder
from tracktokens.transforms.encoders.base import Encoder
from tracktokens.transforms.encoders.devices import check_device_name
from tracktokens.transforms.encoders.plugins import EncoderRequest, plugin_encoder
from tracktokens.transforms.encoders.text.sentence import TORCH, sentence_encoder
from tracktokens.transforms.precomputed.scan_vectors import PrecomputedEmbeddings, open_precomputed
from tracktokens.transforms.readers.audio_root import check_audio_root
from tracktokens.transforms.store import files

CLAP = "clap"
DESCRIPTORS = "descriptors"


@dataclass(frozen=True)
class TextEncoderConfig:
    """Which text encoder the user wants; see :func:`sentence_encoder`.

    Attributes:
        model: name or folder of a sentence-transformers model; None takes the packaged MiniLM.
        prompt: text before every input, or the name of one of the model's own prompts.
        backend: ``torch``, ``onnx`` or ``openvino``.
        precision: what it computes in; None for what suits the device.
        graph: graph that the model's folder brings, for ``onnx`` and ``openvino``.
    """

    model: str | None = None
    prompt: str | None = None
    backend: str = TORCH
    precision: str | None = None
    graph: str | None = None


@dataclass(frozen=True)
class AudioEncoderConfig:
    """Which of our audio encoders the user wants.

    Attributes:
        encoder: ``DESCRIPTORS`` or ``CLAP``.
        clap_checkpoint: file that laion-clap saved, or folder that transformers did, which ``CLAP`` needs.
        clap_model: laion-clap's name of a file's model; None for the usual one.
        trust_checkpoint: whether the checkpoint may be unpickled.
    """

    encoder: str = DESCRIPTORS
    clap_checkpoint: str | None = None
    clap_model: str | None = None
    trust_checkpoint: bool = False


@dataclass(frozen=True)
class PluginConfig:
    """An encoder of a third party: the name of its entry point, and options for it."""

    name: str
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class PrecomputedConfig:
    """Vectors that exist already.

    Attributes:
        path: Parquet file, folder or glob.
        column: column of the vectors.
        source: name of the encoder that made them; None takes a hash of the files.
    """

    path: str
    column: str = VECTOR
    source: str | None = None


@dataclass(frozen=True)
class VectorSources:
    """Where each modality's vectors come from.

    Attributes:
        text: which text encoder reads tags, metadata and lyrics.
        audio_root: folder below which audio paths lie, or None: then no track has audio that could be encoded.
        audio: which of our audio encoders hears it.
        plugins: modality to an encoder of a third party, in place of ours.
        vectors: modality to vectors that exist already, in place of an encoder.
        device: torch device of the models; None for a GPU where there is one, else the CPU.
    """

    text: TextEncoderConfig = TextEncoderConfig()
    audio_root: str | None = None
    audio: AudioEncoderConfig = AudioEncoderConfig()
    plugins: Mapping[str, PluginConfig] = field(default_factory=dict)
    vectors: Mapping[str, PrecomputedConfig] = field(default_factory=dict)
    device: str | None = None

    def encoders(self) -> dict[str, Encoder]:
        """Make the encoders of the modalities whose vectors are not given.

        Raises:
            UsageError: when a model or the audio root is not there, or the choice makes no sense.
            InvalidDataError: when a model is there and cannot be used.
        """
        self._check()
        check_device_name(self.device)
        if self.audio_root is not None:
            check_audio_root(self.audio_root)
        wanted = [modality for modality in CONTENT_MODALITIES if modality not in self.vectors]
        encoders = {m: self._plugin(m, self.plugins[m]) for m in wanted if m in self.plugins}
        texts = [modality for modality in wanted if modality in TEXT_MODALITIES and modality not in encoders]
        if texts:
            encoders |= dict.fromkeys(texts, self._text_encoder())
        if AUDIO in wanted and AUDIO not in encoders and self.audio_root is not None:
            encoders[AUDIO] = self._audio_encoder(files.absolute(self.audio_root))
        return encoders

    def given(self) -> dict[str, PrecomputedEmbeddings]:
        """Open the vectors that are given.

        Raises:
            UsageError: when there are none.
            InvalidDataError: when they are there and cannot be used.
        """
        return {
            modality: open_precomputed(choice.path, choice.column, choice.source)
            for modality, choice in self.vectors.items()
        }

    def _text_encoder(self) -> Encoder:
        text = self.text
        return sentence_encoder(
            text.model,
            prompt=text.prompt,
            backend=text.backend,
            precision=text.precision,
            graph=text.graph,
            device=self.device,
        )

    def _audio_encoder(self, root: str) -> Encoder:
        audio = self.audio
        if audio.encoder == CLAP and audio.clap_checkpoint:
            return clap_encoder(
                root,
                checkpoint=audio.clap_checkpoint,
                model=audio.clap_model,
                trusted=audio.trust_checkpoint,
                device=self.device,
            )
        return DescriptorEncoder(root)

    def _plugin(self, modality: str, choice: PluginConfig) -> Encoder:
        root = None if self.audio_root is None else files.absolute(self.audio_root)
        return plugin_encoder(choice.name, EncoderRequest(modality, root, self.device, choice.options))

    def _check(self) -> None:
        _check_audio(self.audio, self.audio_root)
        for modality in self.plugins:
            if modality not in CONTENT_MODALITIES:
                raise UsageError(f"--encoder {modality}: there are encoders for {', '.join(CONTENT_MODALITIES)}")
            if modality in self.vectors:
                raise UsageError(f"{modality}: give either --encoder or --vectors")
        if AUDIO in self.plugins and self.audio_root is None:
            raise UsageError(f"--encoder {AUDIO} needs --audio-root: the folder below which audio paths lie")
        if AUDIO in {*self.plugins, *self.vectors} and self.audio.encoder == CLAP:
            raise UsageError("audio: give one of --audio-encoder clap, --encoder and --vectors")


def _check_audio(audio: AudioEncoderConfig, audio_root: str | None) -> None:
    if audio.encoder != CLAP:
        if audio.clap_checkpoint or audio.clap_model or audio.trust_checkpoint:
            raise UsageError("--clap-checkpoint, --clap-model and --trust-checkpoint go with --audio-encoder clap")
    elif not audio.clap_checkpoint:
        raise UsageError(
            "--audio-encoder clap needs --clap-checkpoint: a file of laion-clap, or a folder of transformers"
        )
    elif audio_root is None:
        raise UsageError("--audio-encoder clap needs --audio-root: the folder below which audio paths lie")
