"""The atlas of a release: a page that is complete, whose texts cannot leave their place."""

import base64
import hashlib
import json
import re
import tarfile
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tracktokens.pipelines.analysis.atlas import page as atlas_page_module
from tracktokens.pipelines.analysis.atlas.history import release_history
from tracktokens.pipelines.analysis.atlas.page import LARGEST_PAGE, atlas_page, script_json
from tracktokens.pipelines.analysis.atlas.source import AtlasSource
from tracktokens.pipelines.analysis.inspect import Inspector
from tracktokens.pipelines.cli import main
from tracktokens.transforms.store.layout import Store
from tracktokens.transforms.store.releases import published_release

OLD_STORE = Path(__file__).parents[3] / "support" / "stores" / "format-2026-11.tar.xz"


class Elements(HTMLParser):
    """Elements of a page: tag, attributes and text."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None], str]] = []
        self._inside = False
        self.feed(page.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs), ""))
        self._inside = True

    def handle_endtag(self, tag: str) -> None:
        self._inside = False

    def handle_data(self, data: str) -> None:
        if self._inside:
            tag, attributes, text = self.found[-1]
            self.found[-1] = (tag, attributes, text + data)

    def of(self, tag: str) -> list[tuple[dict[str, str | None], str]]:
        return [(attributes, text) for name, attributes, text in self.found if name == tag]


@pytest.fixture(scope="module")
def written(hostile_store: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    out = tmp_path_factory.mktemp("atlas") / "atlas.html"
    result = CliRunner().invoke(main, ["atlas", "--store", str(hostile_store), "--out", str(out)])
    assert result.exit_code == 0, result.output
    return out.read_bytes()


def data_of(page: bytes) -> dict[str, Any]:
    [text] = [text for attributes, text in Elements(page).of("script") if attributes.get("type") == "application/json"]
    data: dict[str, Any] = json.loads(text)
    return data


@pytest.mark.job
def test_the_report_of_a_release_is_its_atlas(hostile_store: Path, written: bytes) -> None:
    store = Store.open(str(hostile_store))
    assert Path(store.release(published_release(store).release_id).report).read_bytes() == written


@pytest.mark.job
def test_the_policy_allows_exactly_the_style_and_the_scripts_of_the_page(written: bytes) -> None:
    elements = Elements(written)
    [policy] = [m["content"] or "" for m, _ in elements.of("meta") if m.get("http-equiv") == "Content-Security-Policy"]
    inline = [text for attributes, text in elements.of("script") if "type" not in attributes]
    styles = [text for _, text in elements.of("style")]
    hashes = {base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (*inline, *styles)}
    assert set(re.findall(r"sha256-([^']+)'", policy)) == hashes
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert [a for _, a, _ in elements.found if a.keys() & {"src", "style", "onload", "onerror", "onclick"}] == []
    assert [a["href"] for a, _ in elements.of("a") if not (a["href"] or "").startswith("#")] == []


@pytest.mark.job
def test_titles_are_in_the_data_alone_and_come_back_as_they_are(written: bytes) -> None:
    names = data_of(written)["names"]
    assert any('</script><script>document.title = "injected"</script>' in name for name in names)
    assert not any(character in name for name in names for character in "\u2028\u202e")
    assert b'document.title = "injected"<' not in written
    assert len(Elements(written).of("script")) == 3


@pytest.mark.job
def test_inspect_and_the_atlas_agree_on_words_tracks_and_neighbours(hostile_store: Path, written: bytes) -> None:
    data = data_of(written)
    [column] = data["columns"]
    store = Store.open(str(hostile_store))
    inspector = Inspector(store, published_release(store).bundle_id, "audio")
    for code in range(8):
        view = inspector.code(code)
        words = [data["words"][number] for number in column["words"][code]]
        assert words == [word[:64] for word in view.summary.terms[: len(words)]]
        assert column["tracks"][code] == view.summary.tracks
        assert column["neighbours"][code] == [other.code for other in view.nearest_codes]
        names = [data["names"][number] for number in column["nearest"][code]]
        assert len(names) == min(5, len(view.nearest_tracks))
    assert sum(column["tracks"]) == data["tracks"] == 40
    assert sum(column["distances"]) == sum(column["margins"]) == 40
    assert any(column["words"])


@pytest.mark.job
def test_a_page_that_would_be_too_large_shows_fewer_tracks(
    hostile_store: Path, written: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store.open(str(hostile_store))
    source = AtlasSource.published(store, published_release(store))
    monkeypatch.setattr(atlas_page_module, "LARGEST_PAGE", len(written) - 1)
    smaller = atlas_page(source)
    assert len(smaller) < len(written) < LARGEST_PAGE
    [column] = data_of(smaller)["columns"]
    assert max(map(len, column["nearest"])) == 4


@pytest.mark.job
def test_the_file_is_not_written_into_the_store(hostile_store: Path) -> None:
    command = ["atlas", "--store", str(hostile_store), "--out", str(hostile_store / "atlas.html")]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 2
    assert "write outside of it" in result.stderr
    assert not (hostile_store / "atlas.html").exists()


@pytest.fixture
def old_store(tmp_path: Path) -> Store:
    """A store of an older version: a release of 40 tracks, and its refresh with 8 new tracks and without 2."""
    with tarfile.open(OLD_STORE) as archive:
        archive.extractall(tmp_path, filter="data")
    [root] = {path.parent for path in tmp_path.rglob("store.json")}
    return Store.open(str(root))


def test_a_release_of_an_older_version_has_an_atlas_with_the_releases_before_it(old_store: Store) -> None:
    data = data_of(atlas_page(AtlasSource.published(old_store, published_release(old_store))))
    first, second = data["history"]["releases"]
    assert (first["tracks"], second["tracks"]) == (40, 46)
    assert first["churn"] == {}
    assert second["churn"]["tags"] == pytest.approx(10 / 46)
    assert data["history"]["unreadable"] == 0
    tags = next(column for column in data["columns"] if column["name"] == "tags")
    assert (sum(tags["baseline"]), sum(tags["tracks"])) == (40, 46)


def test_an_older_release_that_is_damaged_is_counted(old_store: Store) -> None:
    latest = published_release(old_store)
    Path(old_store.release(latest.previous or "").metrics).write_text("{}", encoding="utf-8")
    history = release_history(AtlasSource.published(old_store, latest))
    assert [figures.release_id for figures in history.releases] == [latest.release_id]
    assert history.unreadable == 1


def test_an_older_release_whose_manifest_is_damaged_does_not_prevent_the_atlas_of_a_later_one(old_store: Store) -> None:
    latest = published_release(old_store)
    source = AtlasSource.published(old_store, latest)
    Path(old_store.release(latest.previous or "").manifest).write_text("{", encoding="utf-8")
    history = release_history(source)
    assert [figures.release_id for figures in history.releases] == [latest.release_id]
    assert history.unreadable == 1


def test_json_of_a_script_cannot_end_it() -> None:
    value = {"</script>": ["<!--", "&", "\u2028\u2029", "é"]}
    text = script_json(value)
    assert not set(text) & set("<>&\u2028\u2029")
    assert json.loads(text) == value
