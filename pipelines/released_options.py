"""The source options of a store's latest release, and what of them holds beside the options that are given."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tracktokens.pipelines.catalog_source import ENCODER_OPTIONS, SOURCE_OPTIONS, CatalogSource, absolute_value
from tracktokens.pipelines.encoder_config import AudioEncoderConfig, PluginConfig, PrecomputedConfig
from tracktokens.pipelines.option_fields import option_fields
from tracktokens.schemas.errors import UsageError
from tracktokens.schemas.modalities import AUDIO, PLAYLIST

if TYPE_CHECKING:
    from tracktokens.schemas.manifests.release import ReleaseManifest

BUILT_IN = "built-in"
"""Value of ``--encoder`` and ``--text-model`` that selects what is used in a new store, instead of the release's."""

_OPTIONS = {part.option.name: part.option for part in SOURCE_OPTIONS}


def _names(config: type) -> tuple[str, ...]:
    return tuple(part.option.name for part in option_fields(config))


_VECTOR_OPTIONS = ENCODER_OPTIONS.union(_names(PrecomputedConfig))
"""Options that choose the encoders, or the precomputed embeddings that replace them: tokens depend on them."""

_SOURCES: Mapping[str, tuple[str, ...]] = {
    "embeddings": _names(PrecomputedConfig),
    "encoder": _names(PluginConfig),
    "audio-encoder": _names(AudioEncoderConfig),
    "playlists": ("playlists",),
}
"""Option that selects the source of a modality, to the options of that source."""

_MODALITY_OF: Mapping[str, str] = {"audio-encoder": AUDIO, "playlists": PLAYLIST}
"""Sources of one modality; the others take ``MODALITY=VALUE``."""

_DEPENDS_ON: Mapping[str, tuple[str, ...]] = {
    "text-prompt": ("text-model",),
    "text-precision": ("text-backend",),
    "text-graph": ("text-model", "text-backend"),
    "clap-checkpoint": ("audio-encoder",),
    "clap-model": ("audio-encoder", "clap-checkpoint"),
    "clap-backend": ("audio-encoder",),
    "encoder-option": ("encoder",),
}
"""Option to the options without whose value its own means nothing."""


@dataclass(frozen=True, kw_only=True)
class ReleasedOptions:
    """The source options of a store's latest release.

    Attributes:
        release_id: the release.
        options: long option name to value; empty when the release was made by a version that kept none.
    """

    release_id: str
    options: Mapping[str, Any]


def read_released_options(store: str) -> ReleasedOptions:
    """Read the source options that the latest release was made with, except those that must be given each time.

    Raises:
        UsageError: the store is missing or has no release.
        InvalidDataError: the release is damaged.
    """
    from tracktokens.transforms.store.layout import Store
    from tracktokens.transforms.store.releases import published_release

    return _released_options(published_release(Store.open(store)), [part.option.name for part in SOURCE_OPTIONS])


def read_vector_options(store: str) -> ReleasedOptions | None:
    """Read the options that the vectors of a store's release in use depend on; None without a release.

    The tables, playlists and audio root are not among them: they are those of one run.

    Raises:
        InvalidDataError: the store or the release is damaged.
    """
    from tracktokens.transforms.store.releases import release_in_use

    release = release_in_use(store)
    return None if release is None else _released_options(release, _VECTOR_OPTIONS)


def _released_options(release: "ReleaseManifest", names: Collection[str]) -> ReleasedOptions:
    """Select options of a release, apart from those that must be given each time."""
    kept, inherited = release.options or {}, {part.option.name for part in SOURCE_OPTIONS if part.option.inherited}
    options = {name: value for name, value in kept.items() if name in inherited.intersection(names)}
    return ReleasedOptions(release_id=release.release_id, options=options)


def released_source(store: str) -> CatalogSource:
    """The source that the latest release of a store was made from; change it with ``dataclasses.replace``.

    Raises:
        UsageError: the store is missing or has no release, or the release keeps no options.
        InvalidDataError: the release is damaged.
    """
    released = read_released_options(store)
    require_tracks(released.options, released.release_id)
    return CatalogSource.from_options(released.options)


def require_tracks(options: Mapping[str, Any], release_id: str) -> None:
    """Check that options name the tracks.

    Raises:
        UsageError: they do not, and neither does the release.
    """
    if "tracks" not in options:
        raise UsageError(
            f"--tracks is missing, and release {release_id} keeps no options, because an older version made it: give "
            "--tracks and the other options that it was made with; the next release keeps them"
        )


def still_released(released: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Select the options of a release that hold beside given ones.

    A modality has one source: one that is given replaces the release's with all of its options. An option that depends
    on another, as the prompt does on the model, is dropped where that one is given with a different value.

    Args:
        released: long option name to value.
        given: long option name to value, of the options that the user names.

    Example:
        >>> still_released({"embeddings": {"tags": "a", "audio": "b"}}, {"encoder": {"tags": "mine"}})
        {'embeddings': {'audio': 'b'}}
        >>> still_released({"text-model": "a", "text-prompt": "song: "}, {"text-model": "built-in"})
        {'text-model': 'a'}
    """
    choice = _Choice(released, given)
    kept: dict[str, Any] = {}
    for name, value in released.items():
        if not isinstance(value, Mapping):
            held = None if choice.replaces(name) else value
        else:
            held = {modality: part for modality, part in value.items() if not choice.replaces(name, modality)}
        if held not in (None, {}):
            kept[name] = held
    return kept


def without_built_in(options: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out the values that name no encoder, but what is used without one; see ``BUILT_IN``.

    Example:
        >>> without_built_in({"text-model": "built-in", "encoder": {"tags": "built-in", "lyrics": "mine"}})
        {'encoder': {'lyrics': 'mine'}}
    """
    chosen = {name: value for name, value in options.items() if (name, value) != ("text-model", BUILT_IN)}
    if "encoder" in chosen:
        chosen["encoder"] = {m: name for m, name in chosen["encoder"].items() if name != BUILT_IN}
    return chosen


@dataclass(frozen=True)
class _Choice:
    """Options of a release, and given ones."""

    released: Mapping[str, Any]
    given: Mapping[str, Any]

    def replaces(self, name: str, modality: str | None = None) -> bool:
        """Return whether an option of the release does not hold any more, though it may not be given itself."""
        own = next((source for source, names in _SOURCES.items() if name in names), None)
        if own is not None:
            of = modality or _MODALITY_OF[own]
            if any(self._selects(source, of) for source in _SOURCES if source != own):
                return True
        return any(self._changes(parent, modality) for parent in _DEPENDS_ON.get(name, ()))

    def _selects(self, source: str, modality: str) -> bool:
        """Return whether a source is given for a modality."""
        if source in _MODALITY_OF:
            return _MODALITY_OF[source] == modality and source in self.given
        return modality in self.given.get(source, {})

    def _changes(self, name: str, modality: str | None) -> bool:
        """Return whether an option is given with another value than the release's."""
        value = _value(self.given, name, modality)
        if value is not None and _OPTIONS[name].is_path:
            value = absolute_value(_OPTIONS[name], value)
        return value is not None and value != _value(self.released, name, modality)


def _value(options: Mapping[str, Any], name: str, modality: str | None) -> Any:
    """The value of an option, or that of one modality."""
    return options.get(name) if modality is None else options.get(name, {}).get(modality)
