"""Write the atlas of a published release to a file."""

from dataclasses import dataclass

from tracktokens.pipelines.analysis.atlas.page import atlas_page
from tracktokens.pipelines.analysis.atlas.source import AtlasSource
from tracktokens.transforms.store.layout import Store
from tracktokens.transforms.store.releases import release_or_latest
from tracktokens.transforms.store.user_files import check_output, open_output


@dataclass(frozen=True)
class WrittenAtlas:
    """A written page: its release, the number of codes in it, and its bytes."""

    release_id: str
    codes: int
    size: int


def write_atlas(store: Store, release: str | None, out: str) -> WrittenAtlas:
    """Write the page of a release; the latest if ``release`` is None.

    Raises:
        UsageError: the store has no such release, or the file cannot be written.
        InvalidDataError: a file of the release is missing, or cannot be read.
    """
    check_output(out, store=store.root)
    source = AtlasSource.published(store, release_or_latest(store, release))
    page = atlas_page(source)
    with open_output(out) as file:
        file.write(page)
    codes = sum(codebook.num_centroids for codebook in source.bundle.codebooks)
    return WrittenAtlas(source.release_id, codes, len(page))
