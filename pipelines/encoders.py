"""Choose an encoder for each modality from what the user gave."""

from dataclasses import dataclass

from tracktokens.schemas.errors import UsageError
from tracktokens.schemas.modalities import AUDIO, TEXT_MODALITIES
from tracktokens.transforms import files
from tracktokens.transforms.encoders.base import Encoder
from tracktokens.transforms.encoders.clap import DEFAULT_MODEL, clap_encoder
from tracktokens.transforms.encoders.descriptors import DescriptorEncoder
from tracktokens.transforms.encoders.sentence import sentence_encoder
from tracktokens.transforms.inputs.validation import check_audio_root

CLAP = "clap"
DESCRIPTORS = "descriptors"


@dataclass(frozen=True)
class AudioChoice:
    """Which audio encoder the user wants.

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


def choose_encoders(
    text_model: str | None, audio_root: str | None, audio: AudioChoice = AudioChoice()
) -> dict[str, Encoder]:
    """Encoders of the text modalities, and of audio where there is an audio root.

    Args:
        text_model: name or folder of a sentence-transformers model; None takes the packaged MiniLM.
        audio_root: folder below which audio paths lie, or None.
        audio: which audio encoder.

    Raises:
        UsageError: when a model or the folder is not there, or the choice of the audio encoder makes no sense.
        DataRefusedError: when a model is there and cannot be used.
    """
    _check_choice(audio, audio_root)
    encoders: dict[str, Encoder] = {}
    if audio_root is not None:
        check_audio_root(audio_root)
        encoders[AUDIO] = _audio_encoder(files.absolute(audio_root), audio)
    text = sentence_encoder(text_model)
    return {**dict.fromkeys(TEXT_MODALITIES, text), **encoders}


def _check_choice(audio: AudioChoice, audio_root: str | None) -> None:
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
