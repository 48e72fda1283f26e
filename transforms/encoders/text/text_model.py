"""A text model in memory, in any library."""

import threading
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from tokenizers import Tokenizer


class TextModel(ABC):
    """A model that all encoders of this process share.

    Attributes:
        tokenizer: divides texts into word pieces, for the chunk rule. It may be used with ``lock`` alone.
        max_length: word pieces that the model reads, special tokens included; None for any number.
        default_prompt: text that precedes each input unless another one is given.
        pads_with_end_token: whether the tokenizer has no padding token, so that its end token takes this place.
        in_torch: whether it runs in torch.
        lock: held by who uses the tokenizer or runs the model.
    """

    tokenizer: "Tokenizer"
    max_length: float | None
    default_prompt: str
    pads_with_end_token: bool
    in_torch: bool

    def __init__(self) -> None:
        self.lock = threading.Lock()

    @abstractmethod
    def encode(self, texts: list[str], prompt: str | None) -> npt.NDArray[np.float32]:
        """Encode a batch on one thread; several threads may do so at once.

        Args:
            texts: the texts; the model reads ``max_length`` word pieces of each.
            prompt: text that precedes each of them; None for ``default_prompt``.

        Returns:
            float32 of shape (texts, dim), of any length.
        """
