"""The documentation against the code: tables, links, options, paths and sizes."""

import ast
import importlib
import re
import shlex
import textwrap
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from tracktokens.pipelines.cli import main
from tracktokens.schemas import errors
from tracktokens.schemas.tables import rejects

ROOT = Path(__file__).parents[2]

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])

FOLDERS_OF_CODE = ("schemas", "codebooks", "serving", "transforms", "pipelines", "tests", "benchmarks", "examples")

EXIT_CODES_WITHOUT_ERROR = {0, 1, 130, 141, 143}
"""Success, an unexpected exception, and signals: Ctrl-C, a closed output, SIGTERM."""


def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def prose(text: str) -> str:
    """A page without its fenced code."""
    return re.sub(r"^ *```.*?^ *```$", "", text, flags=re.DOTALL | re.MULTILINE)


def first_cells(text: str) -> list[str]:
    """First cells of all table rows of a page, without backticks; heads and rules are left out."""
    rows = re.findall(r"^\|(.*)\|$\n", text, re.MULTILINE)
    cells = [row.split("|")[0].strip() for row in rows]
    return [
        cell.strip("`")
        for cell, following in zip(cells, [*cells[1:], ""], strict=True)
        if not _is_rule(cell, following)
    ]


def _is_rule(cell: str, following: str) -> bool:
    return set(cell) == {"-"} or set(following) == {"-"}


def anchors(text: str) -> set[str]:
    """Anchors of a page's headings, as forges and the site make them."""
    headings = re.findall(r"^#+ (.*)$", prose(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def commands(command: click.Command, name: str = "tracktokens") -> Iterator[tuple[str, click.Command]]:
    yield name, command
    if isinstance(command, click.Group):
        for inner_name, inner in command.commands.items():
            yield from commands(inner, f"{name} {inner_name}")


def fenced(text: str, language: str = "") -> Iterator[str]:
    """Contents of a page's code blocks in a language."""
    for indent, block in re.findall(rf"^( *)```{language}\n(.*?)^ *```$", text, re.DOTALL | re.MULTILINE):
        yield textwrap.dedent(block) if indent else block


def command_lines(text: str) -> Iterator[list[str]]:
    """Words of each call of the command line in a page's code blocks, without comments."""
    for block in fenced(text):
        for line in block.replace("\\\n", " ").splitlines():
            if line.startswith("tracktokens "):
                yield shlex.split(line, comments=True)[1:]


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_bytes()) <= 8192


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page.read_text(encoding="utf-8"))):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        if not linked.exists() or (anchor and anchor not in anchors(linked.read_text(encoding="utf-8"))):
            broken.append(target)
    assert broken == []


def test_the_readme_links_to_every_page() -> None:
    linked = set(re.findall(r"\]\(docs/([\w-]+\.md)\)", read("README.md")))
    assert linked == {page.name for page in (ROOT / "docs").glob("*.md")}


def test_the_page_of_rejects_lists_every_reason() -> None:
    reasons = {
        value
        for name, value in vars(rejects).items()
        if name.isupper()
        and isinstance(value, str)
        and value not in (rejects.TRACKS_TABLE, rejects.PLAYLISTS_TABLE, rejects.VECTORS_TABLE)
        and value not in (rejects.READ, rejects.VALIDATE, rejects.ENCODE, rejects.FORGET)
    }
    cells = first_cells(read("docs/rejects.md"))
    assert sorted(cells) == sorted(reasons)


def test_the_page_of_exit_codes_lists_every_code() -> None:
    classes = [value for value in vars(errors).values() if isinstance(value, type)]
    codes = {found.exit_code for found in classes if issubclass(found, errors.TracktokensError)}
    cells = first_cells(read("docs/exit-codes.md"))
    assert [int(cell) for cell in cells] == sorted(codes | EXIT_CODES_WITHOUT_ERROR)


def test_the_table_of_packages_is_the_order_that_is_checked() -> None:
    source = ast.parse(read("tests/test_architecture.py"))
    [order] = [
        ast.literal_eval(node.value)
        for node in source.body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", None) == "PACKAGES"
    ]
    cells = first_cells(read("docs/architecture.md"))
    packages = [
        cell for cell in cells if cell.split(".")[0] in ("schemas", "codebooks", "serving", "transforms", "pipelines")
    ]
    assert packages == list(order)


@pytest.mark.parametrize(("name", "command"), list(commands(main)), ids=lambda value: str(value))
def test_every_command_and_option_is_on_a_page(name: str, command: click.Command) -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    options = [
        flag
        for parameter in command.params
        if isinstance(parameter, click.Option) and not parameter.hidden
        for flag in parameter.opts
        if flag.startswith("--")
    ]
    missing = [flag for flag in options if not re.search(rf"(?<![\w-]){flag}(?![\w-])", text)]
    assert missing == []
    if not isinstance(command, click.Group):
        assert re.search(rf"{name.replace('tracktokens ', '')}\b", text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_command_lines_name_commands_and_options_that_exist(page: Path) -> None:
    for words in command_lines(page.read_text(encoding="utf-8")):
        command: click.Command = main
        while isinstance(command, click.Group) and words[0] in command.commands:
            command = command.commands[words.pop(0)]
        own = words[: words.index("--")] if "--" in words else words
        shown = [parameter for parameter in command.params if not getattr(parameter, "hidden", False)]
        assert not isinstance(command, click.Group) or command.invoke_without_command, words
        assert {word for word in own if word.startswith("--")} <= {flag for option in shown for flag in option.opts}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_python_examples_import_names_that_exist(page: Path) -> None:
    for block in fenced(page.read_text(encoding="utf-8"), "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("tracktokens"):
                module = importlib.import_module(node.module)
                assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_paths_of_code_exist(page: Path) -> None:
    paths = re.findall(r"`([\w./]+)`", prose(page.read_text(encoding="utf-8")))
    of_code = [path for path in paths if "/" in path and path.split("/")[0] in FOLDERS_OF_CODE and "." in path]
    assert [path for path in of_code if not (ROOT / path).exists()] == []


def test_the_changelog_has_the_versions_of_all_formats() -> None:
    rows = re.findall(r"^\| [^|]+ \| (\d+) \| [^|]+ \| `(\w+)` in `([\w/.]+)` \|$", read("CHANGELOG.md"), re.MULTILINE)
    constants = {
        (path.relative_to(ROOT).as_posix(), name, version)
        for folder in FOLDERS_OF_CODE[:5]
        for path in (ROOT / folder).rglob("*.py")
        for name, version in re.findall(
            r'^ *(FORMAT|FORMAT_VERSION)(?:: [\w\[\]]+)? = "?(\d+)"?$', path.read_text(encoding="utf-8"), re.MULTILINE
        )
    }
    assert {(path, name, version) for version, name, path in rows} == constants
