"""The atlas in a real browser."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.browser import Page, open_browser
from tracktokens.transforms.store.layout import Store
from tracktokens.transforms.store.releases import published_release

pytestmark = pytest.mark.job

PANEL = "document.querySelector('#panel .token').textContent"
CANVAS = "document.querySelector('#map canvas')"
CLIPS = "[...document.querySelectorAll('#panel audio')]"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with open_browser(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


@pytest.fixture
def address(hostile_store: Path) -> str:
    store = Store.open(str(hostile_store))
    return Path(store.release(published_release(store).release_id).report).as_uri()


def test_the_page_draws_its_map_and_loads_nothing(page: Page, address: str) -> None:
    page.open(address)
    page.wait(CANVAS)
    assert page.evaluate("document.title").startswith("Atlas of release ")
    assert page.evaluate("document.querySelectorAll('script').length") == 3
    assert page.evaluate("document.querySelectorAll('img, svg, iframe, link').length") == 0
    assert page.complaints == []
    assert [request for request in page.requests if request not in (address, "about:blank")] == []


def test_a_link_with_a_fragment_shows_its_code_with_titles_as_text(page: Page, address: str) -> None:
    for code in range(8):
        page.open(f"{address}#audio_{code}")
        page.wait(f"{PANEL} === '<|audio_{code}|>'")
    assert "<img src=x onerror=" in page.evaluate("document.body.innerText")
    assert page.evaluate("document.title").startswith("Atlas of release ")
    page.evaluate("location.hash = '#audio_2'")
    page.wait(f"{PANEL} === '<|audio_2|>'")
    page.evaluate("location.hash = '#audio_99'")
    assert page.evaluate(PANEL) == "<|audio_2|>"


def test_a_search_lists_codes_and_a_click_on_one_shows_it(page: Page, address: str) -> None:
    page.open(address)
    page.type("#search", "ONERROR somebody")
    page.wait("document.querySelector('#results button')")
    found = page.evaluate("document.querySelector('#results button b').textContent")
    page.evaluate("document.querySelector('#results button').click()")
    page.wait(f"{PANEL} === '<|audio_{found}|>'")
    assert page.evaluate("location.hash") == f"#audio_{found}"
    page.type("#search", " nowhere")
    page.wait("document.querySelector('#results').textContent.startsWith('Nothing for')")


def test_a_click_on_the_map_shows_the_code_under_it(page: Page, address: str) -> None:
    page.open(address)
    page.wait(CANVAS)
    place = page.evaluate(
        "document.querySelector('#codes').scrollIntoView({behavior: 'instant'});"
        "(() => { const map = document.querySelector('#map'), box = map.getBoundingClientRect();"
        "const data = JSON.parse(document.getElementById('data').textContent).columns[0];"
        "const [x, y] = echarts.getInstanceByDom(map).convertToPixel({gridIndex: 0}, [data.x[5], data.y[5]]);"
        "return [box.left + x, box.top + y]; })()"
    )
    page.click(*place)
    page.wait(f"{PANEL} === '<|audio_5|>'")
    assert page.evaluate("location.hash") == "#audio_5"


def test_the_page_fits_a_phone(page: Page, address: str) -> None:
    page.send("Emulation.setDeviceMetricsOverride", width=390, height=844, deviceScaleFactor=1, mobile=True)
    page.open(f"{address}#audio_1")
    page.wait(CANVAS)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.send("Emulation.clearDeviceMetricsOverride")
    assert page.complaints == []


def test_clips_are_loaded_from_the_folder_beside_the_page_when_they_are_played(
    page: Page, page_with_clips: Path
) -> None:
    address = page_with_clips.as_uri()
    page.requests.clear()
    page.complaints.clear()
    page.open(f"{address}#audio_2")
    page.wait(f"{PANEL} === '<|audio_2|>'")
    assert page.evaluate(f"{CLIPS}.length") == 3
    assert page.evaluate(f"{CLIPS}.every((clip) => clip.controls && clip.preload === 'none')")
    assert page.evaluate("document.querySelectorAll('#panel ol li')[2].lastChild.tagName") == "AUDIO"
    assert requested(page) == {address}
    for clip in range(3):
        page.send("Runtime.evaluate", expression=f"{CLIPS}[{clip}].play()", userGesture=True)
        page.wait(f"{CLIPS}[{clip}].currentTime > 0")
        assert page.evaluate(f"{CLIPS}[{clip}].duration") == pytest.approx(5, abs=0.01)
        assert page.evaluate(f"{CLIPS}.filter((clip) => !clip.paused).length") == 1
    folder = page_with_clips.with_name("100% sure? #1_audio")
    assert requested(page) == {address, *((folder / f"audio_2_{rank}.opus").as_uri() for rank in (1, 2, 3))}
    assert page.complaints == []


def test_another_code_has_its_own_clips_and_titles_beside_them_stay_text(page: Page, page_with_clips: Path) -> None:
    page.requests.clear()
    page.complaints.clear()
    page.open(f"{page_with_clips.as_uri()}#audio_2")
    page.wait(f"{CLIPS}.length === 3")
    for code in range(8):
        page.evaluate(f"location.hash = '#audio_{code}'")
        page.wait(f"{PANEL} === '<|audio_{code}|>'")
        page.wait(f"{CLIPS}.length && {CLIPS}.every((clip) => clip.src.includes('/audio_{code}_'))")
        assert page.evaluate(f"{CLIPS}.every((clip) => clip.ariaLabel === clip.previousSibling.textContent)")
    page.evaluate("document.querySelector('#tabs button').click()")
    page.wait(f"{CLIPS}.length === 0")
    assert page.evaluate("document.querySelectorAll('img, svg, iframe, link').length") == 0
    assert page.evaluate("document.title").startswith("Atlas of release ")
    assert "but the clips in 100% sure? #1_audio/ beside it" in page.evaluate("document.body.innerText")
    assert page.complaints == []


def test_the_policy_of_a_page_with_clips_forbids_media_of_other_places(page: Page, page_with_clips: Path) -> None:
    page.open(page_with_clips.as_uri())
    violated = page.evaluate(
        "new Promise((found) => { addEventListener('securitypolicyviolation', ({ violatedDirective }) =>"
        "found(violatedDirective)); new Audio('https://example.org/a.opus').load(); })"
    )
    assert violated == "media-src"


def requested(page: Page) -> set[str]:
    """Addresses that a page has requested, without fragments, and without the icons of the browser's own controls."""
    return {request.partition("#")[0] for request in page.requests if not request.startswith(("about:", "data:"))}
