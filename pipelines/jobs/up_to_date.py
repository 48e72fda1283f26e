"""Recognise a release that is up to date, so that a refresh has nothing to do.

A job keeps hashes of the states of the files that it read, and of the store that it left. Where a refresh finds both
unchanged, it would publish the same tokens again. Whatever else differs, a restored file of the store too, makes it
read everything as usual.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from itertools import chain, islice

from tracktokens.codebooks.metrics.drift import DriftLimits
from tracktokens.pipelines.jobs.embed import EmbedJob
from tracktokens.pipelines.jobs.publish import Release
from tracktokens.schemas.errors import InvalidDataError
from tracktokens.schemas.manifests.up_to_date import UpToDateManifest
from tracktokens.schemas.modalities import AUDIO
from tracktokens.transforms.listing.file_states import FileState, file_states, list_states
from tracktokens.transforms.readers.fragments import Fragment
from tracktokens.transforms.store import files
from tracktokens.transforms.store.layout import LOCK, UP_TO_DATE, Store

MOST_AUDIO_FILES = 1 << 20
"""Files below an audio root, above which the states of all of them cost more than they may save."""


def hash_inputs(embed: EmbedJob, playlists: Sequence[Fragment], limits: DriftLimits) -> str | None:
    """Hash the options of a job and the states of its input files.

    Args:
        embed: the job that scans the catalog.
        playlists: fragments of the playlists table.
        limits: limits of drift, with which a release is compared.

    Returns:
        Hexadecimal digits; None where a file was modified just now, so that another change may not show in its state,
        and where there is remote audio, or more than ``MOST_AUDIO_FILES``.
    """
    tracks, encoder_ids = embed.fragments, embed.encoder_ids  # in the order in which the job checks them
    vectors = chain.from_iterable(vectors.table.fragments for vectors in embed.precomputed.values())
    paths = dict.fromkeys(fragment.path for fragment in chain(tracks, playlists, vectors))
    try:
        audio, tables = _audio_states(embed), file_states(paths)
    except OSError:  # what cannot be listed is read again, and fails there where it matters
        return None
    if audio is None:
        return None
    states = [*audio, *tables]
    if not all(state.is_settled for state in states):
        return None
    options = {"version": version("tracktokens"), **embed.source.to_options(), "limits": dataclasses.asdict(limits)}
    return _hash([json.dumps([options, encoder_ids], sort_keys=True)], states)


def _audio_states(embed: EmbedJob) -> list[FileState] | None:
    root = embed.source.absolute_audio_root
    if root is None or AUDIO not in embed.encoders:
        return []
    if files.is_remote(root):
        return None
    states = list(islice(list_states(root), MOST_AUDIO_FILES + 1))
    return states if len(states) <= MOST_AUDIO_FILES else None


def is_up_to_date(store: Store, release_id: str, inputs: str | None) -> bool:
    """Return whether a job with these inputs has published a release, and nothing in the store changed since.

    Args:
        store: the store.
        release_id: the latest release.
        inputs: result of :func:`hash_inputs`.
    """
    content = files.read_existing(store.up_to_date)
    if inputs is None or content is None:
        return False
    try:
        kept = UpToDateManifest.from_json(content, store.up_to_date)
    except InvalidDataError:  # it only saves work
        return False
    return (kept.release_id, kept.inputs) == (release_id, inputs) and kept.store == _hash_store(store)


def keep_up_to_date(store: Store, release: Release, inputs: str | None) -> None:
    """Write the hashes of a job that has published and ended, unless the next one would find or warn of more.

    Each refresh tries an input again that failed for a transient reason, and warns of a drift past the limits.

    Args:
        store: the store.
        release: the release that the job has published.
        inputs: result of :func:`hash_inputs` when the job began.
    """
    drift, failures = release.metrics["drift"], store.catalog(release.manifest.catalog_id).failures_folder
    if inputs is None or (drift and drift["warnings"]) or files.list_all(failures, 1):
        return
    left = _hash_store(store)
    if left is not None:
        manifest = UpToDateManifest(release.manifest.release_id, inputs, left)
        files.write_bytes(store.up_to_date, manifest.to_json().encode())


def _hash_store(store: Store) -> str | None:
    """Hash the states of all files of a store but its lock and the hashes themselves; None if they cannot be listed."""
    try:
        return _hash([], (state for state in list_states(store.root) if state.path not in (LOCK, UP_TO_DATE)))
    except OSError:  # such as of the folder of lost files in the root of a disk, which no other job reads
        return None


def _hash(texts: Iterable[str], states: Iterable[FileState]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for part in (*texts, *map(repr, sorted(states))):
        digest.update(part.encode("utf-8", "surrogateescape") + b"\0")
    return digest.hexdigest()
