"""A store whose titles try to inject markup into the atlas."""

from pathlib import Path

import pytest

from tests.support.titled_store import make_titled_store

HOSTILE = (
    '</script><script>document.title = "injected"</script>',
    "<img src=x onerror=\"document.title='injected'\">",
    "<svg onload='document.title=\"injected\"'>",
    "<!-- <script>",
    "{{constructor.constructor('document.title=1')()}}",
    "javascript:document.title='injected'",
    "\u2028 a line end of JavaScript, \u202e and a turn",
    "&lt;b&gt; is no tag",
)


@pytest.fixture(scope="session")
def hostile_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_titled_store(
        tmp_path_factory.mktemp("hostile"), [f"{n} {title}" for n in range(5) for title in HOSTILE]
    )
