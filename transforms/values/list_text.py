"""Lists as text, as CSV files contain them: a notation with brackets, or elements with separators."""

from __future__ import annotations

import ast
import csv
import io
import re
import tokenize
import warnings
from collections.abc import Callable, Mapping
from itertools import accumulate

import orjson

LIST_SEPARATORS = ("|", ";", ",")
"""Separators between the elements of a list, in order of preference."""

_BRACKETS = {"[": "]", "(": ")", "{": "}", "<": ">"}
_FIRST_BRACKET = re.compile(r"[^\s|;,()\[\]{}<>]*([(\[{<])")
_EMPTY_OR_QUOTED = re.compile(r"""[(\[{<]\s*(['"].*['"]\s*)?[)\]}>]+\Z""", re.DOTALL)

_NEIGHBOURS = re.compile(r"""['"][\s\\]*[a-z]{0,2}['"]""", re.IGNORECASE)
"""Quotes with nothing but white space or the prefix of a string between them."""

_POSTGRES_ELEMENT = r'"(?:[^"\\]|\\.)*"|[^\s\'",{}\\][^\s",{}\\]*'
_POSTGRES_LIST = re.compile(
    rf"(?:\[-?\d+:-?\d+\]=)?\{{((?:{_POSTGRES_ELEMENT})(?:,(?:{_POSTGRES_ELEMENT}))*)?\}}", re.DOTALL
)

_PYTHON_ERRORS = (SyntaxError, ValueError, TypeError, MemoryError, RecursionError, tokenize.TokenError)


def parse_list(text: str) -> list[object] | None:
    """Parse text that is not blank, without white space at its ends, into a list.

    Text in brackets is a JSON array, a list, tuple or set as Python prints it, or an array as PostgreSQL prints it.
    Other text has one of :data:`LIST_SEPARATORS` between its elements, the first that occurs, or quoted elements as in
    CSV.

    Returns:
        the elements, of any type for JSON and Python; None for text in brackets in another notation, whose elements
        would contain pieces of it.

    Example:
        >>> parse_list("rock|hip hop"), parse_list('{rock,"hip hop",NULL}'), parse_list("['rock' 'pop']")
        (['rock', 'hip hop'], ['rock', 'hip hop', None], None)
    """
    for parse in _NOTATIONS.get(text[0] + text[-1], ()):
        elements = parse(text)
        if elements is not None:
            return elements
    if text[0] + text[-1] == "[]" or _is_other_notation(text):
        return None
    return [part.strip() for part in _quoted_parts(text) or _split(text) if part.strip()]


def _from_json(text: str) -> list[object] | None:
    try:
        elements: list[object] = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return elements


def _from_python(text: str) -> list[object] | None:
    """Parse a literal, unless it has strings without a comma between them, as NumPy prints and Python concatenates."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about backslashes in the strings
            node = ast.parse(text, mode="eval").body
        if not isinstance(node, ast.List | ast.Tuple | ast.Set) or _concatenates(text, node):
            return None
        return [ast.literal_eval(element) for element in node.elts]
    except _PYTHON_ERRORS:
        return None


def _concatenates(text: str, node: ast.expr) -> bool:
    """Return whether a literal has more strings in its text than in its value."""
    if not _NEIGHBOURS.search(text):  # the common case, without tokens
        return False
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    values = (part.value for part in ast.walk(node) if isinstance(part, ast.Constant))
    return sum(token.type == tokenize.STRING for token in tokens) != sum(isinstance(v, str | bytes) for v in values)


def _from_postgres(text: str) -> list[object] | None:
    match = _POSTGRES_LIST.fullmatch(text)
    if match is None:
        return None
    return [_postgres_value(element) for element in re.findall(_POSTGRES_ELEMENT, match[1] or "", re.DOTALL)]


def _postgres_value(element: str) -> str | None:
    if element.startswith('"'):
        return re.sub(r"\\(.)", r"\1", element[1:-1], flags=re.DOTALL)
    return None if element.upper() == "NULL" else element


_NOTATIONS: Mapping[str, tuple[Callable[[str], list[object] | None], ...]] = {
    "[]": (_from_json, _from_python),
    "()": (_from_python,),
    "{}": (_from_postgres, _from_python),
    "[}": (_from_postgres,),
}
"""First and last character to the notations to try."""


def _is_other_notation(text: str) -> bool:
    """Return whether brackets enclose the whole text, such as ``c("a", "b")`` or ``{a: 1}``.

    Parentheses around a single plain element, such as ``(live)``, are part of the element.
    """
    first = _FIRST_BRACKET.match(text)
    if first is None or not _encloses(text[first.start(1) :].rstrip("'\"")):
        return False
    return first[1] in "[{" or len(_split(text)) > 1 or bool(_EMPTY_OR_QUOTED.search(text))


def _encloses(text: str) -> bool:
    """Return whether the bracket at the beginning is closed by the last character."""
    opening, closing = text[0], _BRACKETS[text[0]]
    depths = list(accumulate((char == opening) - (char == closing) for char in text))
    return depths.index(0) == len(text) - 1 if 0 in depths else False


def _split(text: str) -> list[str]:
    return text.split(next((separator for separator in LIST_SEPARATORS if separator in text), "|"))


def _quoted_parts(text: str) -> list[str] | None:
    """Parse elements of which the first is quoted; None if they are not as in CSV."""
    if text[0] not in "'\"":
        return None
    parses = (_parse_quoted(text, separator) for separator in LIST_SEPARATORS)
    return next((parts for parts in parses if parts and not _is_apostrophe(text, parts)), None)


def _parse_quoted(text: str, separator: str) -> list[str] | None:
    try:
        rows = list(csv.reader([text], delimiter=separator, quotechar=text[0], strict=True, skipinitialspace=True))
    except csv.Error:
        return None
    return rows[0] if len(rows) == 1 else None


def _is_apostrophe(text: str, parts: list[str]) -> bool:
    """Return whether single quotes around all elements are apostrophes, as in ``'til tuesday|cookin'``."""
    return text[0] == "'" and len(parts) == 1 and len(_split(parts[0])) > 1
