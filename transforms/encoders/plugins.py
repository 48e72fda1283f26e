"""Encoders of third parties: found by a Python entry point, made from what the user asked for, and checked.

A package names a factory in the group ``tracktokens.encoders``. The factory takes an :class:`EncoderRequest` and
returns an :class:`tracktokens.transforms.encoders.base.Encoder`.
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
    """What a factory is asked for.

    Attributes:
        modality: whose inputs are encoded: texts, or audio paths below ``audio_root``.
        audio_root: folder of the audio, local or ``scheme://...``; None where there is none.
        device: torch device that the user wants, or None.
        options: the user's options for this encoder, as given.
    """

    modality: str
    audio_root: str | None = None
    device: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)


def plugin_encoder(name: str, request: EncoderRequest) -> Encoder:
    """Make the encoder that is installed under a name.

    Raises:
        UsageError: there is none of this name, it cannot be made, or what is made is no encoder that can be sent to
            workers.
    """
    found = [point for point in entry_points(group=GROUP) if point.name == name]
    if not found:
        others = ", ".join(sorted({point.name for point in entry_points(group=GROUP)})) or "none"
        raise UsageError(f"no encoder {name} is installed (entry points of {GROUP}: {others}): install its package")
    where = found[0].value
    try:
        encoder = found[0].load()(request)
    except TracktokensError:
        raise
    except Exception as error:  # the code of others: any type
        raise UsageError(f"encoder {name} ({where}) cannot be made: {error!r}") from error
    _check(encoder, f"encoder {name} ({where})")
    made: Encoder = encoder
    return made


def _check(encoder: object, name: str) -> None:
    if not isinstance(encoder, Encoder):
        raise UsageError(f"{name} makes a {type(encoder).__name__}, which is no {Encoder.__module__}.Encoder")
    try:
        same = pickle.loads(pickle.dumps(encoder)).encoder_id == encoder.encoder_id  # noqa: S301 - our own bytes
    except Exception as error:  # whatever its parts raise
        raise UsageError(f"{name} cannot be sent to workers: {error!r}") from error
    if not same:
        raise UsageError(f"{name} has another encoder_id when it was sent: its identity may not change in a run")
