"""All checks of the doctor, in order."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from tracktokens.pipelines.doctor import machine, models, store_room
from tracktokens.pipelines.doctor.check import ERROR, OK, Check, examine


def examine_all(store: str | None, tracks: str | None = None, text_model: str | None = None) -> Iterator[Check]:
    """Check a machine, and a store if there is one. Nothing is changed.

    Args:
        store: root of a store, also of one that does not exist yet.
        tracks: tracks of a new store, for the room that it needs.
        text_model: name or folder of a text model; that of the latest release, or the packaged one, by default.
    """
    installed = examine("packages", machine.packages)
    yield installed
    if installed.state == ERROR:  # the other checks import them
        return
    yield examine("device", machine.device)
    yield examine("decoders", machine.decoders)
    has_release = False
    if store is not None:
        opened = examine("store", partial(store_room.opened, store))
        yield opened
        has_release = opened.state == OK and store_room.has_release(store)
        yield examine("lock", partial(store_room.lock, store))
        yield examine("disk", partial(store_room.room, store, tracks))
    yield examine("temporary files", store_room.temporary_room)
    if store is not None and has_release:
        text_model = text_model or models.released_text_model(store)
    yield examine("text model", partial(models.text_model, text_model))
    if store is not None and has_release:
        yield examine("encoders", partial(models.encoders, store))
