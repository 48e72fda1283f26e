"""Inputs and settings of a set of training files."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tracktokens.pipelines.training_data.trainers import MESSAGES, PROMPT_COMPLETION, SHAPES, TRAINERS, TRL
from tracktokens.schemas.errors import UsageError
from tracktokens.transforms.store.user_files import check_input, check_outside


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """Inputs and settings of a set of training files.

    Attributes:
        store: root of the store.
        out: folder to write, new or empty.
        release: release to read; the latest by default.
        tracks: table of tracks with lyrics.
        playlists: table of playlists.
        conversations: files of conversations.
        trainer: one of ``TRAINERS``.
        shape: one of ``SHAPES``; the second for TRL alone.
        model: folder of the model, whose chat template is checked; needed for the shape ``messages``.
        mix: task to rows per source, for those that differ from the default.
        permute: whether half of the training rows get another order of tokens.
        seed: seed of all draws but the splits.
        validation_share: share of the conversations and playlists without a split, and of grounding sources.
        test_share: share of the conversations and playlists without a split.
    """

    store: str
    out: str
    release: str | None = None
    tracks: str | None = None
    playlists: str | None = None
    conversations: tuple[str, ...] = ()
    trainer: str = TRL
    shape: str = PROMPT_COMPLETION
    model: str | None = None
    mix: Mapping[str, float] = field(default_factory=dict)
    permute: bool = False
    seed: int = 0
    validation_share: float = 0.05
    test_share: float = 0.05

    def check(self) -> None:
        """Check all that can be checked without reading.

        Raises:
            UsageError: options exclude each other, or an input does not exist.
        """
        if self.trainer not in TRAINERS or self.shape not in SHAPES:
            raise UsageError(f"trainer {self.trainer}, shape {self.shape}: use one of {TRAINERS} and of {SHAPES}")
        if self.validation_share + self.test_share >= 1:
            raise UsageError("the shares of validation and test leave nothing to train on: give less than 1 together")
        if self.shape == MESSAGES and self.trainer != TRL:
            raise UsageError(f"--shape {MESSAGES} is for trl: leave it out, {self.trainer} has messages anyway")
        if self.shape == MESSAGES and self.model is None:
            raise UsageError(f"--shape {MESSAGES} needs --model, whose chat template must mark what is learned")
        for path in self.conversations:
            check_input(path, "conversations")
        for path in filter(None, (self.store, self.model)):
            check_outside(self.out, path)
