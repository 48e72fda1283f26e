"""Where each modality's vectors come from: encoders that we have, encoders of others, or vectors that exist already."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tracktokens.schemas.errors import UsageError
from tracktokens.schemas.modalities import AUDIO, CONTENT_MODALITIES, TEXT_MODALITIES
from tracktokens.schemas.vectors import VECTOR
from tracktokens.transforms import files
from tracktokens.transforms.encoders.base import Encoder
from tracktokens.transforms.encoders.clap import DEFAULT_MODEL, clap_encoder
from tracktokens.transforms.encoders.descriptors import DescriptorEncoder
from tracktokens.transforms.encoders.plugins import EncoderRequest, plugin_encoder
from tracktokens.transforms.encoders.sentence import sentence_encoder
from tracktokens.transforms.given_vectors import GivenVectors, given_vectors
from tracktokens.transforms.inputs.validation import check_audio_root

CLAP = "clap"
DESCRIPTORS = "descriptors"


@dataclass(frozen=True)
class AudioChoice:
    """Which of our audio encoders the user wants.

    Attributes:
        encoder: ``DESCRIPTORS`` or ``CLAP``.
        clap_checkpoint: path of the checkpoint, which ``CLAP`` needs.
        clap_model: laion-clap's name of the checkpoint's model; None for ``DEFAULT_MODEL``.
        trust_checkpoint: whether the checkpoint may be unpickled.
    """

    encoder: str = DESCRIPTORS
    clap_checkpoint: str | None = None
    clap_model: str | None = None
    trust_checkpoint: bool = False


@dataclass(frozen=True)
class PluginChoice:
    """An encoder of a third party: the name of its entry point, and options for it."""

    name: str
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class VectorsChoice:
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
        text_model: name or folder of a sentence-transformers model for texts; None takes the packaged MiniLM.
        audio_root: folder below which audio paths lie, or None: then no track has audio that could be encoded.
        audio: which of our audio encoders hears it.
        plugins: modality to an encoder of a third party, in place of ours.
        vectors: modality to vectors that exist already, in place of an encoder.
    """

    text_model: str | None = None
    audio_root: str | None = None
    audio: AudioChoice = AudioChoice()
    plugins: Mapping[str, PluginChoice] = field(default_factory=dict)
    vectors: Mapping[str, VectorsChoice] = field(default_factory=dict)

    def encoders(self) -> dict[str, Encoder]:
        """Make the encoders of the modalities whose vectors are not given.

        Raises:
            UsageError: when a model or the audio root is not there, or the choice makes no sense.
            DataRefusedError: when a model is there and cannot be used.
        """
        self._check()
        if self.audio_root is not None:
            check_audio_root(self.audio_root)
        wanted = [modality for modality in CONTENT_MODALITIES if modality not in self.vectors]
        encoders = {m: self._plugin(m, self.plugins[m]) for m in wanted if m in self.plugins}
        texts = [modality for modality in wanted if modality in TEXT_MODALITIES and modality not in encoders]
        if texts:
            encoders |= dict.fromkeys(texts, sentence_encoder(self.text_model))
        if AUDIO in wanted and AUDIO not in encoders and self.audio_root is not None:
            encoders[AUDIO] = _audio_encoder(files.absolute(self.audio_root), self.audio)
        return encoders

    def given(self) -> dict[str, GivenVectors]:
        """Open the vectors that are given.

        Raises:
            UsageError: when there are none.
            DataRefusedError: when they are there and cannot be used.
        """
        return {
            modality: given_vectors(choice.path, choice.column, choice.source)
            for modality, choice in self.vectors.items()
        }

    def _plugin(self, modality: str, choice: PluginChoice) -> Encoder:
        root = None if self.audio_root is None else files.absolute(self.audio_root)
        return plugin_encoder(choice.name, EncoderRequest(modality, root, options=choice.options))

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


def _check_audio(audio: AudioChoice, audio_root: str | None) -> None:
    if audio.encoder != CLAP:
        if audio.clap_checkpoint or audio.clap_model or audio.trust_checkpoint:
            raise UsageError("--clap-checkpoint, --clap-model and --trust-checkpoint go with --audio-encoder clap")
    elif not audio.clap_checkpoint:
        raise UsageError("--audio-encoder clap needs --clap-checkpoint: a file of weights that laion-clap saved")
    elif audio_root is None:
        raise UsageError("--audio-encoder clap needs --audio-root: the folder below which audio paths lie")


def _audio_encoder(root: str, audio: AudioChoice) -> Encoder:
    if audio.encoder == CLAP and audio.clap_checkpoint:
        return clap_encoder(root, audio.clap_checkpoint, audio.clap_model or DEFAULT_MODEL, audio.trust_checkpoint)
    return DescriptorEncoder(root)
