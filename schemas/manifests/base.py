"""Base of all manifests: JSON with a kind and a format version, which are checked when it is read."""

import dataclasses
import json
from typing import Any, ClassVar, TypeVar

from tracktokens.schemas.display import show_value
from tracktokens.schemas.errors import InvalidDataError
from tracktokens.schemas.manifests.field_types import field_types, fits

AnyManifest = TypeVar("AnyManifest", bound="Manifest")

_RESTORE = "restore it from a backup"


@dataclasses.dataclass(frozen=True)
class Manifest:
    """A frozen record that is stored as JSON. Subclasses set ``KIND`` and, when it changes, ``FORMAT``.

    ``OTHER_FORMATS`` are further format versions that the class reads.
    """

    KIND: ClassVar[str]
    FORMAT: ClassVar[int] = 1
    OTHER_FORMATS: ClassVar[tuple[int, ...]] = ()
    OLDER_REMEDY: ClassVar[str] = "make a new store that keeps its tokens with `tracktokens run --codebooks-from`"
    """Remedy for a manifest of an older format, which is not read any more."""

    @property
    def format(self) -> int:
        """Format version to write."""
        return self.FORMAT

    def to_json(self) -> str:
        """Serialize as JSON, fields in the order of the class."""
        head = {"kind": f"tracktokens.{self.KIND}", "format": self.format}
        text = json.dumps({**head, **dataclasses.asdict(self)}, ensure_ascii=False, indent=2) + "\n"
        # A path that is not UTF-8 has lone surrogates, which become escapes of JSON.
        return text.encode("utf-8", "backslashreplace").decode("utf-8")

    @classmethod
    def from_json(cls: type[AnyManifest], text: str | bytes, path: str) -> AnyManifest:
        """Parse what :meth:`to_json` wrote. ``path`` is for messages.

        Raises:
            InvalidDataError: the text is not JSON, another kind of manifest, or another format version; or a field has
                a value of another type, or a name that leads out of its folder.
        """
        record = _parse(text, path)
        kind, version = record.pop("kind", None), record.pop("format", None)
        if kind != f"tracktokens.{cls.KIND}":
            raise InvalidDataError(f"{path} is of kind {kind!r}, not tracktokens.{cls.KIND}: pass the right folder")
        if version not in (cls.FORMAT, *cls.OTHER_FORMATS):
            raise InvalidDataError(
                f"{path} has format version {version}, this tracktokens reads {cls.FORMAT}: {cls._remedy(version)}"
            )
        try:
            manifest = cls(**_known_fields(cls, record, path))
            manifest.check()
        except ValueError as error:
            raise InvalidDataError(f"{path} is damaged ({error}): {_RESTORE}") from error
        return manifest

    @classmethod
    def is_older(cls, version: object) -> bool:
        """Return whether a format version is of an older tracktokens, and not read any more."""
        return isinstance(version, int) and version < min((cls.FORMAT, *cls.OTHER_FORMATS))

    @classmethod
    def _remedy(cls, version: object) -> str:
        """Name the remedy for a format version that is not read."""
        if not isinstance(version, int):
            return _RESTORE
        newer = "install the version of tracktokens that wrote it, or a newer one"
        return cls.OLDER_REMEDY if cls.is_older(version) else newer

    def check(self) -> None:
        """Check what the types of the fields do not state.

        Raises:
            ValueError: the fields are not those of a manifest that was written.
        """


def _parse(text: str | bytes, path: str) -> dict[str, Any]:
    try:
        record = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidDataError(f"{path} is not JSON ({error}): {_RESTORE}") from error
    if not isinstance(record, dict):
        raise InvalidDataError(f"{path} is not a JSON object: {_RESTORE}")
    return record


def _known_fields(cls: type[Manifest], record: dict[str, Any], path: str) -> dict[str, Any]:
    """Select the fields of a class. A field with a default may be missing: older versions did not write it."""
    fields = dataclasses.fields(cls)
    missing = [field.name for field in fields if field.name not in record and field.default is dataclasses.MISSING]
    if missing:
        raise InvalidDataError(f"{path} lacks {', '.join(missing)}: {_RESTORE}")
    known = {field.name: record[field.name] for field in fields if field.name in record}
    kind: Any = cls
    for name, annotation in field_types(kind).items():
        if name in known and not fits(known[name], annotation):
            raise InvalidDataError(f"{path} has an unusable {name}, {show_value(known[name])}: {_RESTORE}")
    return known
