"""Choose an encoder for each modality from what the user gave."""

from tracktokens.schemas.modalities import AUDIO, TEXT_MODALITIES
from tracktokens.transforms import files
from tracktokens.transforms.encoders.base import Encoder
from tracktokens.transforms.encoders.descriptors import DescriptorEncoder
from tracktokens.transforms.encoders.sentence import sentence_encoder
from tracktokens.transforms.inputs.validation import check_audio_root


def choose_encoders(text_model: str | None, audio_root: str | None) -> dict[str, Encoder]:
    """Encoders of the text modalities, and of audio where there is an audio root.

    Args:
        text_model: name or folder of a sentence-transformers model; None takes the packaged MiniLM.
        audio_root: folder below which audio paths lie, or None.

    Raises:
        UsageError: when the model or the folder is not there.
    """
    encoders: dict[str, Encoder] = {}
    if audio_root is not None:
        check_audio_root(audio_root)
        encoders[AUDIO] = DescriptorEncoder(root=files.absolute(audio_root))
    text = sentence_encoder(text_model)
    return {**dict.fromkeys(TEXT_MODALITIES, text), **encoders}
