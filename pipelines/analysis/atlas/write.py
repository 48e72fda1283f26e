"""Write the atlas of a published release to a file, and clips of tracks to a folder beside it."""

from dataclasses import dataclass

from tracktokens.pipelines.analysis.atlas.clip_audio import ClipSource
from tracktokens.pipelines.analysis.atlas.clip_folder import clip_folder, replace_clips
from tracktokens.pipelines.analysis.atlas.clips import CLIPS, WrittenClips, clips_json, wanted_clips, write_clips
from tracktokens.pipelines.analysis.atlas.document import Atlas
from tracktokens.pipelines.analysis.atlas.page import atlas_page, fit_page, page_data, render_page
from tracktokens.pipelines.analysis.atlas.source import AtlasSource
from tracktokens.transforms.store.layout import Store
from tracktokens.transforms.store.releases import release_or_latest
from tracktokens.transforms.store.user_files import check_output, open_output


@dataclass(frozen=True)
class WrittenAtlas:
    """A written page.

    Attributes:
        release_id: its release.
        codes: number of codes in it.
        size: its bytes.
        clips: the clips beside it; None without a folder of clips.
        folder: that folder, or None.
    """

    release_id: str
    codes: int
    size: int
    clips: WrittenClips | None = None
    folder: str | None = None


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
    return WrittenAtlas(source.release_id, _codes(source), len(page))


def write_atlas_with_clips(
    store: Store, release: str | None, out: str, tracks: str | None, audio_root: str | None
) -> WrittenAtlas:
    """Write the page of a release, and clips of the tracks nearest to each audio code to a folder beside it.

    Page and clips replace those of a former command together, when all are complete.

    Args:
        store: the store.
        release: the release; None for the latest.
        out: file of the page.
        tracks: tracks table with the audio paths; None for that of the release.
        audio_root: folder that audio paths are relative to; None for that of the release.

    Raises:
        UsageError: the store has no such release, the release has no audio codes, the audio root or the tracks are
            missing, or a file cannot be written.
        InvalidDataError: a file of the release or of the tracks is missing, or cannot be read.
    """
    check_output(out, store=store.root)
    manifest = release_or_latest(store, release)
    audio = ClipSource.of(manifest, tracks, audio_root)
    folder = clip_folder(out, store.root, audio.audio_root)
    atlas = Atlas.of(AtlasSource.published(store, manifest))
    _, shown = fit_page(atlas, clips_json(atlas, folder.name, wanted_clips(atlas)))
    with open_output(out) as file, replace_clips(folder) as write:
        clips = write_clips(wanted_clips(atlas, min(CLIPS, shown)), audio, write)
        page = render_page(page_data(atlas, shown, clips_json(atlas, folder.name, clips.clips)))
        file.write(page)
        file.flush()
    return WrittenAtlas(manifest.release_id, _codes(atlas.source), len(page), clips, str(folder))


def _codes(source: AtlasSource) -> int:
    return sum(codebook.num_centroids for codebook in source.bundle.codebooks)
