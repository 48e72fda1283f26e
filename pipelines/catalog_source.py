"""The catalog that ``run``, ``refresh``, ``plan`` and ``embed`` read: files, encoders and precomputed embeddings."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracktokens.pipelines.encoder_config import (
    CLAP,
    AudioEncoderConfig,
    PluginConfig,
    PrecomputedConfig,
    TextEncoderConfig,
    check_audio_choice,
    make_audio_encoder,
    make_plugin_encoder,
    make_text_encoder,
    open_embeddings,
)
from tracktokens.pipelines.option_fields import Option, OptionField, from_options, option, option_fields, to_options
from tracktokens.schemas.errors import UsageError
from tracktokens.schemas.modalities import AUDIO, CONTENT_MODALITIES, TEXT_MODALITIES

if TYPE_CHECKING:
    from tracktokens.pipelines.runner import PipelineRunner
    from tracktokens.transforms.encoders.base import Encoder
    from tracktokens.transforms.gates.losses import LossLimits
    from tracktokens.transforms.precomputed.scan_vectors import PrecomputedEmbeddings

MAX_REJECT_RATE = 0.05
"""Default share of the rows of a table that may be rejected."""

MAX_LOST = 0.5
"""Default share of the inputs of a modality that may be unusable."""

MAX_REMOVED = 0.2
"""Default share of the tracks of the latest release that may be missing."""

MAX_LOST_HELP = "Share of a modality's inputs that may be unusable before the command fails."
MAX_REMOVED_HELP = (
    "Share of the latest release's tracks that may be missing before the command fails; 1 also accepts a column or a "
    "modality without a value left."
)

REJECT_RATE_HELP = "Share of rows of each table that may be rejected before the command fails."


@dataclass(frozen=True, kw_only=True)
class CatalogSource:
    """A catalog, and the encoder or the precomputed embeddings of each modality.

    Attributes:
        tracks: file, folder or glob of the tracks table.
        playlists: file, folder or glob of the playlists table, or None.
        audio_root: folder of the audio files, or None: then audio is not encoded.
        text: text encoder of tags, metadata and lyrics.
        audio: audio encoder.
        device: torch device of the models; None for a GPU where there is one, else the CPU.
        plugins: modality to an installed encoder, instead of ``text`` or ``audio``.
        embeddings: modality to precomputed embeddings, instead of an encoder.
        max_reject_rate: share of the rows of each table, 0 to 1, that may be rejected before the job fails.
        max_lost: share of a modality's inputs, 0 to 1, of which nothing can be used before the job fails.
        max_removed: share of the latest release's tracks, 0 to 1, that may be missing before the job fails. Below 1, it
            fails too if a column or a modality lost all of its values.
        encoders: modality to encoder, as objects; replaces ``text``, ``audio`` and ``plugins`` altogether. A modality
            that is neither here nor in ``embeddings`` gets no codes. None makes the encoders from the other fields.
    """

    tracks: str = field(
        metadata=option(
            "tracks", metavar="PATH", is_path=True, help="Tracks: file, folder or glob; Parquet, CSV or JSON Lines."
        )
    )
    playlists: str | None = field(
        default=None,
        metadata=option(
            "playlists",
            metavar="PATH",
            is_path=True,
            help="Playlists: file, folder or glob. Without it tracks get no new playlist tokens.",
        ),
    )
    audio_root: str | None = field(
        default=None,
        metadata=option(
            "audio-root",
            metavar="DIR",
            is_path=True,
            help="Folder that audio paths are relative to. Without it audio is not encoded.",
        ),
    )
    text: TextEncoderConfig = field(default_factory=TextEncoderConfig)
    device: str | None = field(
        default=None,
        metadata=option(
            "device",
            metavar="NAME",
            may_be_empty=True,
            help="Device of the models: cpu, cuda, cuda:1, mps; by default a GPU where there is one.",
        ),
    )
    audio: AudioEncoderConfig = field(default_factory=AudioEncoderConfig)
    plugins: Mapping[str, PluginConfig] = field(default_factory=dict)
    embeddings: Mapping[str, PrecomputedConfig] = field(default_factory=dict)
    max_reject_rate: float = field(default=MAX_REJECT_RATE, metadata=option("max-reject-rate", help=REJECT_RATE_HELP))
    max_lost: float = field(default=MAX_LOST, metadata=option("max-lost", help=MAX_LOST_HELP))
    max_removed: float = field(
        default=MAX_REMOVED, metadata=option("max-removed", inherited=False, help=MAX_REMOVED_HELP)
    )
    encoders: "Mapping[str, Encoder] | None" = None

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> "CatalogSource":
        """Build a source from options, long name to value, as a manifest keeps them.

        Raises:
            UsageError: an option is given for a modality without the option that it belongs to.
        """
        return from_options(cls, options)

    def to_options(self) -> dict[str, Any]:
        """Flatten to options, long name to JSON value, with absolute paths. Encoders given as objects are left out."""
        options = to_options(self)
        if self.encoders is not None:
            options = {name: value for name, value in options.items() if name not in ENCODER_OPTIONS}
        for part in SOURCE_OPTIONS:
            if part.option.is_path and part.option.name in options:
                options[part.option.name] = absolute_value(part.option, options[part.option.name])
        return options

    def check_apart_from(self, store: str) -> None:
        """Check that no table contains the store, and that the store contains no table.

        Raises:
            UsageError: they overlap, so the next job would read what this one writes.
        """
        from tracktokens.pipelines.input_paths import check_apart

        check_apart(store, self.tables)

    @property
    def tables(self) -> dict[str, Any]:
        """Option to path, or to modality to path, of the input tables; None for one that is not given."""
        vectors = {modality: config.path for modality, config in self.embeddings.items()}
        return {"tracks": self.tracks, "playlists": self.playlists, "embeddings": vectors}

    def check_reachable(self, store: str, runner: "PipelineRunner") -> None:
        """Check that the workers of a runner can read the inputs, and write the store.

        Raises:
            UsageError: they run on other machines, and a path is on this one.
        """
        models = {"text-model": self.text.model, "clap-checkpoint": self.audio.clap_checkpoint}
        runner.check_reachable({"store": store, **self.tables, "audio-root": self.audio_root}, models)

    def make_encoders(self) -> "dict[str, Encoder]":
        """Make the encoders of the modalities that have no precomputed embeddings.

        Raises:
            UsageError: a model or the audio root is missing, or the choices do not go together.
            InvalidDataError: a model cannot be used.
        """
        from tracktokens.transforms.encoders.devices import check_device_name
        from tracktokens.transforms.readers.audio_root import check_audio_root

        self._check_choices()
        check_device_name(self.device)
        if self.absolute_audio_root is not None:
            check_audio_root(self.absolute_audio_root)
        if self.encoders is not None:
            return dict(self.encoders)
        wanted = [modality for modality in CONTENT_MODALITIES if modality not in self.embeddings]
        encoders = {m: self._make_plugin(m) for m in wanted if m in self.plugins}
        texts = [modality for modality in wanted if modality in TEXT_MODALITIES and modality not in encoders]
        if texts:
            encoders |= dict.fromkeys(texts, make_text_encoder(self.text, self.device))
        root = self.absolute_audio_root
        if AUDIO in wanted and AUDIO not in encoders and root is not None:
            encoders[AUDIO] = make_audio_encoder(self.audio, root, self.device)
        return encoders

    def open_embeddings(self) -> "dict[str, PrecomputedEmbeddings]":
        """Open the precomputed embeddings, by modality.

        Raises:
            UsageError: the files are missing.
            InvalidDataError: the files cannot be used.
        """
        return {modality: open_embeddings(config) for modality, config in self.embeddings.items()}

    @property
    def loss_limits(self) -> "LossLimits":
        """Limits of losses."""
        from tracktokens.transforms.gates.losses import LossLimits

        return LossLimits(max_lost=self.max_lost, max_removed=self.max_removed)

    @property
    def absolute_audio_root(self) -> str | None:
        """The audio root as worker processes find it."""
        return None if self.audio_root is None else _absolute_path(self.audio_root)

    def _make_plugin(self, modality: str) -> "Encoder":
        return make_plugin_encoder(self.plugins[modality], modality, self.absolute_audio_root, self.device)

    def _check_choices(self) -> None:
        check_audio_choice(self.audio, self.audio_root)
        for modality in self.plugins:
            if modality not in CONTENT_MODALITIES:
                raise UsageError(f"--encoder {modality}: there are encoders for {', '.join(CONTENT_MODALITIES)}")
            if modality in self.embeddings:
                raise UsageError(f"{modality}: give either --encoder or --embeddings")
        if AUDIO in self.plugins and self.audio_root is None:
            raise UsageError(f"--encoder {AUDIO} needs --audio-root: the folder of the audio files")
        if AUDIO in {*self.plugins, *self.embeddings} and self.audio.encoder == CLAP:
            raise UsageError("audio: give one of --audio-encoder clap, --encoder and --embeddings")


SOURCE_OPTIONS: tuple[OptionField, ...] = tuple(option_fields(CatalogSource))
"""Every option of a catalog source, in field order."""

ENCODER_OPTIONS = frozenset(
    part.option.name
    for config in (TextEncoderConfig, AudioEncoderConfig, PluginConfig)
    for part in option_fields(config)
)
"""Options that choose the encoders."""


def encoder_options(modality: str) -> list[str]:
    """List the options that choose the vectors of a modality, by their long names."""
    built_in: dict[str, type] = {AUDIO: AudioEncoderConfig, **dict.fromkeys(TEXT_MODALITIES, TextEncoderConfig)}
    configs = [*([built_in[modality]] if modality in built_in else []), PluginConfig, PrecomputedConfig]
    return [part.option.name for config in configs for part in option_fields(config) if part.option.inherited]


def absolute_value(option: Option, value: Any) -> Any:
    """Return the value of an option of paths, or of a path per modality, with absolute paths."""
    if isinstance(value, Mapping):
        return {modality: absolute_value(option, path) for modality, path in value.items()}
    return value if option.may_be_name and not Path(value).exists() else _absolute_path(value)


def _absolute_path(path: str) -> str:
    from tracktokens.transforms.store import files

    return files.absolute(path)
