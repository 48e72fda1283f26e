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
