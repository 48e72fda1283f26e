"""A text encoder that fails on some texts while a file is missing, and logs its inputs."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from tracktokens.schemas.tables.rejects import ENCODER_FAILED, TRANSIENT_REASONS
from tracktokens.transforms.encoders.base import Encoded, Encoder, Failure, LoadedEncoder

ASKED, CODEC = "asked.txt", "codec"
"""Files in the encoder's folder: the log of its inputs, and the file without which some texts fail."""

REASONS = {"odd": ENCODER_FAILED, "gone": TRANSIENT_REASONS[0]}
"""First word of texts that fail without the codec, and the reject reason: permanent, or transient."""


@dataclass(frozen=True)
class FussyEncoder(Encoder):
    """Encode texts as their hashes."""

    folder: str

    def identity(self) -> Mapping[str, object]:
        return {"name": "fussy"}

    def load(self, threads: int) -> LoadedEncoder:
        return LoadedFussy(self.folder)


@dataclass
class LoadedFussy(LoadedEncoder):
    folder: str

    def encode(self, inputs: pa.StringArray) -> Encoded:
        texts = inputs.to_pylist()
        with Path(self.folder, ASKED).open("a") as log:
            log.writelines(f"{text}\n" for text in texts)
        vectors = [np.frombuffer(hashlib.sha256(text.encode()).digest(), np.uint8) for text in texts]
        reasons = {} if Path(self.folder, CODEC).exists() else REASONS
        words = (text.partition(" ")[0] for text in texts)
        failures = {row: Failure(reasons[word], "no codec") for row, word in enumerate(words) if word in reasons}
        return Encoded(np.stack(vectors).astype(np.float32), failures)
