"""Write the serving table of a release, see :mod:`tracktokens.serving.layout`; into a release of an older version too.

The driver builds it in local files, in bounded memory, and copies them into the release.
"""

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from tracktokens.schemas.errors import UsageError
from tracktokens.schemas.manifests.release import ReleaseManifest
from tracktokens.schemas.manifests.serving import ServingManifest
from tracktokens.serving.build import ServingBuild
from tracktokens.transforms.store import files
from tracktokens.transforms.store.layout import SERVING, Store
from tracktokens.transforms.store.release_index import read_ranked_bucket
from tracktokens.transforms.store.token_tables import TokenTable
from tracktokens.transforms.store.writer_lock import writer


def write_serving(table: TokenTable, tracks: int) -> ServingManifest:
    """Write the serving table of a release whose token table is written; return its header.

    Args:
        table: token table of the release.
        tracks: number of its tracks.
    """
    with tempfile.TemporaryDirectory(prefix="tracktokens-") as folder:
        built, scratch = Path(folder, SERVING), Path(folder, "scratch")
        built.mkdir()
        scratch.mkdir()
        build = ServingBuild(built, scratch, table.token_format, tracks)
        release_id = table.release.folder.rsplit("/", 1)[-1]
        manifest = build.write(_buckets(table), release_id, table.bundle_id)
        for path in sorted(built.iterdir()):
            _copy(path, files.join(table.release.serving, path.name))
    return manifest


def add_serving(store: Store, release: ReleaseManifest) -> ReleaseManifest:
    """Write the serving table of a published release that has none, and list it in the manifest of the release.

    Raises:
        UsageError: the release has one.
        StoreBusyError: another job writes the store.
    """
    if any(name.startswith(f"{SERVING}/") for name in release.files):
        raise UsageError(f"release {release.release_id} has a serving table already: nothing was written")
    with writer(store.root, "releases serving"):
        table = TokenTable.of(store, release)
        write_serving(table, release.rows["published"])
        completed = replace(release, files={**release.files, **_hashes(table.release.serving)})
        files.write_bytes(table.release.manifest, completed.to_json().encode())
    return completed


def _buckets(table: TokenTable) -> Iterator[pa.Table]:
    for bucket in range(table.catalog.buckets):
        yield read_ranked_bucket(table, bucket)


def _copy(source: Path, target: str) -> None:
    with source.open("rb") as original, files.atomic_writer(target) as copy:
        shutil.copyfileobj(original, copy, 1 << 24)


def _hashes(folder: str) -> dict[str, dict[str, Any]]:
    return {
        f"{SERVING}/{name}": {"bytes": size, "sha256": files.sha256(files.join(folder, name), size)}
        for name, size in files.list_tree(folder).items()
    }
