"""The page of an atlas: one file that loads nothing, and whose policy allows its own script and style only."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Mapping
from importlib.resources import files as resources
from string import Template
from typing import Any

from tracktokens.pipelines.analysis.atlas.columns import NEAREST_TRACKS
from tracktokens.pipelines.analysis.atlas.document import Atlas
from tracktokens.pipelines.analysis.atlas.source import AtlasSource

LARGEST_PAGE = 3_000_000
"""Bytes of a page. Fewer tracks per code are shown where it would be larger."""

SCRIPTS = ("echarts.min.js", "atlas.js")
"""Scripts of the page, in order."""


def atlas_page(source: AtlasSource) -> bytes:
    """Make the page of a release, in UTF-8.

    Equal releases have equal pages: a page has neither the time nor anything random in it.

    Raises:
        InvalidDataError: a file of the release is missing, or cannot be read.
    """
    atlas = Atlas.of(source)
    page = b""
    for nearest_tracks in range(NEAREST_TRACKS, 0, -1):
        page = render_page(atlas.to_json(nearest_tracks))
        if len(page) <= LARGEST_PAGE:
            break
    return page


def render_page(data: Mapping[str, Any]) -> bytes:
    """Render the page that shows some data, see :meth:`.Atlas.to_json`."""
    style, scripts = _resource("atlas.css"), [_resource(name) for name in SCRIPTS]
    sources = " ".join(_hash(script) for script in scripts)
    policy = {
        "default-src": "'none'",
        "script-src": sources,
        "style-src": _hash(style),
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    page = Template(_resource("atlas.html")).substitute(
        policy="; ".join(f"{name} {value}" for name, value in policy.items()),
        title=html.escape(f"Atlas of release {data['release']}"),
        style=style,
        data=script_json(data),
        scripts="\n".join(f"<script>{script}</script>" for script in scripts),
    )
    return page.encode()


def script_json(value: object) -> str:
    r"""Format JSON for a script element: no text in it can end the element, or begin a comment.

    Example:
        >>> print(script_json({"title": "</script><b>"}))
        {"title":"\u003c/script\u003e\u003cb\u003e"}
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _resource(name: str) -> str:
    return (resources(__package__) / "assets" / name).read_text(encoding="utf-8")


def _hash(content: str) -> str:
    """Return the source expression that allows an inline element of exactly this content."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
