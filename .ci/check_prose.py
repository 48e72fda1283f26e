"""Check the words of code and docs: `python .ci/check_prose.py [PATH...]`, the whole tree by default.

Fails on words that must not come back, on docstrings that begin with a question word, and on lines of prose over 140
characters. Comments and strings of the packages are prose, and so are comments and docstrings of tests, and Markdown
outside of code and tables. `# prose: ok`, or `<!-- prose: ok -->` in Markdown, excepts a line.
"""

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

LONGEST = 140
EXCEPTION = "prose: ok"
QUESTIONS = ("What", "How", "Whether", "Where")

DATA = ("pipelines/demo/",)
"""Folders whose strings are data: only their comments and docstrings are prose."""

PACKAGES = ("schemas/", "codebooks/", "serving/", "transforms/", "pipelines/")

WORDS = {
    r"facts?": "record",
    r"settle[sd]?|settling": "write the snapshot",
    r"anew": "again, or from scratch",
    r"otherwise than|is otherwise|are otherwise|used otherwise": "different, or changed",
    r"tells?|told|telling": "name the field's verb: report, list, show",
    r"says?|said|saying": "report, state, show; `for example` for an aside",
    r"hears?|heard|hearing": "embed, or decode",
    r"stands?|stood|standing": "is, or is stored",
    r"lies|lying|lay": "is, or is stored",
    r"goes on|go on|going on|went on": "continue",
    r"comes to|came to|come to": "result in, or amount to",
    r"mends?|mended|mending": "fix",
    r"nights?|nightly": "refresh, or scheduled refresh",
    r"is gone|are gone|was gone|were gone|goes away": "missing",
    r"is no(?= [a-z])|are no(?= [a-z])": "is not a",
    r"halving|halves|halved": "bisection, bisect",
    r"sung lines?": "clean lyrics",
    r"given vectors?": "precomputed embeddings",
    r"vectors? that (?:exist already|you have already|is given|are given)": "precomputed embeddings",
    r"worth (?:its|their) name": "drop it",
    r"as ever|of old": "as before",
    r"begins? with nothing|from nothing|starts? with nothing": "from scratch",
    r"(?:one|codes?|tokens?|rows?|files?|codebooks?|encoders?|vectors?|batch(?:es)?|threads?|cop(?:y|ies)|folders?"
    r"|groups?|tracks?|dimensions?|bytes|seconds|requests?|models?|modules?|schemas?)"
    r" an? (?:modality|track|bucket|code|worker|key|token|file|row|vector|batch|process|second|release|table|stage"
    r"|song)(?= *[.,;:)]| (?:of|in|and|or|is|are|at|by|with|for)\b|$)": "per",
}

_WORDS = [(re.compile(rf"\b(?:{pattern})\b", re.IGNORECASE), better) for pattern, better in WORDS.items()]
_FENCE = re.compile(r"^\s*(```|~~~)")
_INLINE_CODE = re.compile(r"`[^`\n]*`")

Fault = tuple[int, str]


def faults_of_words(number: int, text: str) -> Iterator[Fault]:
    """Words in one line of prose that must not come back; what stands in backticks is a name."""  # prose: ok
    plain = _INLINE_CODE.sub("``", text)
    for pattern, better in _WORDS:
        for found in pattern.finditer(plain):
            yield number, f"{found.group(0)!r}: {better}"


def faults_of_lines(first: int, text: str) -> Iterator[Fault]:
    """Faults of prose that begins on line ``first``."""
    for number, line in enumerate(text.splitlines(), first):
        if EXCEPTION not in line:
            yield from faults_of_words(number, line)
            if len(line) > LONGEST:
                yield number, f"{len(line)} characters: break it at {LONGEST}"


def docstrings(tree: ast.Module) -> Iterator[ast.Constant]:
    """Docstrings of a module, its classes and functions, and the strings below constants."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            for statement in node.body:
                value = statement.value if isinstance(statement, ast.Expr) else None
                if isinstance(value, ast.Constant) and isinstance(value.value, str):
                    yield value


def faults_of_python(path: str, source: str) -> Iterator[Fault]:
    """Faults of a Python file."""
    lines = source.splitlines()
    excepted = {number for number, line in enumerate(lines, 1) if EXCEPTION in line}
    docs = {node.lineno: node for node in docstrings(ast.parse(source))}
    for number, node in docs.items():
        if str(node.value).split(" ")[0] in QUESTIONS and node.end_lineno not in excepted:
            yield number, f"a docstring that begins with {str(node.value).split(' ')[0]!r}: an imperative or a noun"
    all_strings = path.startswith(PACKAGES) and not path.startswith(DATA)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        is_doc = token.type == tokenize.STRING and token.start[0] in docs
        is_text = token.type == tokenize.STRING and all_strings and " " in token.string
        if token.type == tokenize.COMMENT or is_doc or is_text:
            text = token.string
            yield from (fault for fault in faults_of_lines(token.start[0], text) if fault[0] not in excepted)


def faults_of_markdown(source: str) -> Iterator[Fault]:
    """Faults of a Markdown page, outside of fenced code; a table's rows may be long."""
    fenced = False
    for number, line in enumerate(source.splitlines(), 1):
        if _FENCE.match(line):
            fenced = not fenced
        elif not fenced and EXCEPTION not in line:
            yield from faults_of_words(number, line)
            if len(line) > LONGEST and not line.lstrip().startswith(("|", "[")):
                yield number, f"{len(line)} characters: break it at {LONGEST}"


def main(paths: list[str]) -> int:
    """Print the faults of the files that git knows, and return how the process ends."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *(paths or ["*.py", "*.md"])],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    count = 0
    for path in listed:
        if not path.endswith((".py", ".md")) or not Path(path).exists():
            continue
        source = Path(path).read_text(encoding="utf-8")
        found = faults_of_python(path, source) if path.endswith(".py") else faults_of_markdown(source)
        for number, fault in sorted(found):
            print(f"{path}:{number}: {fault}")
            count += 1
    return int(count > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
