"""Checks of the models: the text model on this machine, and whether a store's encoders are those of its release."""

from __future__ import annotations

from tracktokens.pipelines.doctor.check import ERROR, OK, Finding
from tracktokens.pipelines.released_options import read_released_options, released_source


def text_model(model: str | None) -> str:
    """Find a text model on this machine, the packaged one by default, and hash its files.

    Raises:
        UsageError: it is not on this machine.
        InvalidDataError: its files are damaged.
    """
    from tracktokens.transforms.encoders.text.model_files import model_folder, model_hash

    folder = model_folder(model)
    return f"{model or 'all-MiniLM-L6-v2, the default'}, files {model_hash(folder)}"


def released_text_model(store: str) -> str | None:
    """Return the text model that the latest release was made with; None for the packaged one.

    Raises:
        UsageError: the store has no release.
        InvalidDataError: the release is damaged.
    """
    return read_released_options(store).options.get("text-model")


def encoders(store: str) -> Finding:
    """Compare the encoders on this machine with those of the latest release.

    Raises:
        UsageError: a model or the audio root is missing.
        InvalidDataError: a model or the release is damaged.
    """
    from tracktokens.transforms.store.layout import Store
    from tracktokens.transforms.store.releases import published_release

    release = published_release(Store.open(store))
    here = {modality: encoder.encoder_id for modality, encoder in released_source(store).make_encoders().items()}
    changed = sorted(m for m, encoder_id in here.items() if release.encoders.get(m, encoder_id) != encoder_id)
    if changed:
        return ERROR, (
            f"{', '.join(changed)}: other encoders than those of release {release.release_id}, so a refresh would "
            "refuse them: restore the models and versions that it was made with"
        )
    return OK, f"{', '.join(here) or 'none here'}: as in release {release.release_id}"
