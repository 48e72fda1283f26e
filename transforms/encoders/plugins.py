"""Third-party encoders, registered as Python entry points.

A package registers a factory in the group ``tracktokens.encoders``. The factory takes an :class:`EncoderRequest` and
returns a :class:`tracktokens.transforms.encoders.base.Encoder`.
"""

import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points

from tracktokens.schemas.errors import TracktokensError, UsageError
from tracktokens.transforms.encoders.base import Encoder

GROUP = "tracktokens.encoders"


@dataclass(frozen=True)
class EncoderRequest:
    """Arguments of an encoder factory.

    Attributes:
        modality: modality whose inputs are encoded: texts, or for ``audio`` paths below ``audio_root``.
        audio_root: folder of the audio, local or ``scheme://...``; None if there is none.
        device: torch device that the user asked for, or None.
        options: the user's options for this encoder, as strings.
    """

    modality: str
    audio_root: str | None = None
    device: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)


def plugin_encoder(name: str, request: EncoderRequest) -> Encoder:
    """Create the encoder that is registered under a name.

    Raises:
        UsageError: no encoder has this name, its factory fails, or the factory's result is not an encoder that can be
            sent to workers.
    """
    matches = [point for point in entry_points(group=GROUP) if point.name == name]
    if not matches:
        installed = ", ".join(sorted({point.name for point in entry_points(group=GROUP)})) or "none"
        raise UsageError(f"no encoder {name} is installed (entry points of {GROUP}: {installed}): install its package")
    factory = matches[0].value
    try:
        encoder = matches[0].load()(request)
    except TracktokensError:
        raise
    except Exception as error:  # third-party code: any type
        raise UsageError(f"encoder {name} ({factory}) cannot be created: {error!r}") from error
    return _checked(encoder, f"encoder {name} ({factory})")


def _checked(encoder: object, name: str) -> Encoder:
    """Check that an object is an encoder, and that pickling keeps its id."""
    if not isinstance(encoder, Encoder):
        raise UsageError(
            f"{name} returns an object of type {type(encoder).__name__}, not an {Encoder.__module__}.Encoder"
        )
    try:
        same = pickle.loads(pickle.dumps(encoder)).encoder_id == encoder.encoder_id  # noqa: S301 - our own bytes
    except Exception as error:  # raised by any of its parts
        raise UsageError(f"{name} cannot be sent to workers: {error!r}") from error
    if not same:
        raise UsageError(f"{name} has a different encoder_id after pickling: its identity must not change during a run")
    return encoder
