"""The page of an atlas: one file that loads nothing but clips, and whose policy allows its own scripts and style."""

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

CLIPS = "clips"
"""Key of the clips in the data of a page that has any: a further script and style show them."""


def atlas_page(source: AtlasSource) -> bytes:
    """Make the page of a release, in UTF-8.

    Equal releases have equal pages: a page has neither the time nor anything random in it.

    Raises:
        InvalidDataError: a file of the release is missing, or cannot be read.
    """
    return fit_page(Atlas.of(source))[0]


def fit_page(atlas: Atlas, clips: Mapping[str, Any] | None = None) -> tuple[bytes, int]:
    """Render a page with as many tracks per code as fit; return it, and that number of tracks.

    Args:
        atlas: the atlas.
        clips: clips beside the page, see :func:`.clips_json`; None without any.
    """
    page = b""
    for nearest_tracks in range(NEAREST_TRACKS, 0, -1):
        page = render_page(page_data(atlas, nearest_tracks, clips))
        if len(page) <= LARGEST_PAGE:
            break
    return page, nearest_tracks


def page_data(atlas: Atlas, nearest_tracks: int, clips: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the data of a page, see :meth:`.Atlas.to_json` and :func:`fit_page`."""
    return atlas.to_json(nearest_tracks) | ({} if clips is None else {CLIPS: clips})


def render_page(data: Mapping[str, Any]) -> bytes:
    """Render the page that shows some data, see :func:`page_data`."""
    styles, names = ["atlas.css"], [*SCRIPTS]
    if CLIPS in data:
        styles.append("clips.css")
        names.append("clips.js")
    style, scripts = "".join(map(_resource, styles)), [_resource(name) for name in names]
    policy = {
        "default-src": "'none'",
        "script-src": " ".join(_hash(script) for script in scripts),
        "style-src": _hash(style),
        **({"media-src": "'self'"} if CLIPS in data else {}),
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
