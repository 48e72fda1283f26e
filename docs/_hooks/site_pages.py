"""MkDocs hook: pages of the site that are made from other files.

The API section has one page per package, with every module in it, so a new module is documented without a list to edit.
The home page is ``README.md``, and ``CONTRIBUTING.md``, ``CHANGELOG.md`` and ``SECURITY.md`` are pages too: a forge
expects them at the top of the repository.
"""

import ast
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import griffe
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
PACKAGES = ("schemas", "codebooks", "serving", "transforms", "pipelines")
SOURCES = ROOT / "build" / "api"
"""A folder of links, in which mkdocstrings finds the packages under the name ``tracktokens``."""

TOP_PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
}
"""Page at the top of the repository to its name on the site."""

_logger = logging.getLogger("mkdocs.hooks.site_pages")
"""A logger below MkDocs' own: in strict mode a warning here fails the build."""

_LINK = re.compile(r"(\]\()([^)#\s]+)")


def on_startup(command: str, dirty: bool) -> None:
    """Link the packages, before mkdocstrings looks for them."""
    folder = SOURCES / "tracktokens"
    folder.mkdir(parents=True, exist_ok=True)
    for package in PACKAGES:
        if not (folder / package).exists():
            (folder / package).symlink_to(ROOT / package)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add the API section to the navigation."""
    config.nav = [*config.nav, {"API": [{name: page_name(name)} for name in packages()]}]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that have no file in ``docs/``, and check that every public name is documented."""
    loaded = griffe.GriffeLoader(search_paths=[SOURCES]).load("tracktokens")
    for name in undocumented(loaded):
        _logger.warning("%s has no docstring", name)
    for source, page in TOP_PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text(encoding="utf-8")))
    for name in packages():
        files.append(File.generated(config, page_name(name), content=api_page(name)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point links to the top of the repository at the pages that are made from it."""
    return _LINK.sub(_site_link, markdown)


def undocumented(parent: griffe.Object | griffe.Alias) -> Iterator[str]:
    """Public modules, classes, functions and methods without a docstring.

    Constants and fields are exempt: a group of constants has a comment, and fields are in the docstring of their class.
    """
    for name, member in parent.members.items():
        if name.startswith("_") or member.is_alias or member.is_attribute:
            continue
        if not member.docstring:
            yield member.path
        if member.is_module or member.is_class:
            yield from undocumented(member)


def packages() -> list[str]:
    """Every package below ``tracktokens``, in order of name within the four folders."""
    found = [path.parent for folder in PACKAGES for path in sorted((ROOT / folder).rglob("__init__.py"))]
    return [".".join(("tracktokens", *path.relative_to(ROOT).parts)) for path in found]


def page_name(package: str) -> str:
    """Path of a package's page below ``docs/``."""
    return f"api/{package}.md"


def api_page(package: str) -> str:
    """Markdown of one package: its docstring, the names that it exports, then each of its modules."""
    lines = [f"# {package}", "", f"::: {package}", "    options:", "      members: false", "      heading_level: 2"]
    if exported := [*exports(package)]:
        lines += ["", f"Names that can be imported from `{package}`:", ""]
        lines += [f"- [`{full.rpartition('.')[2]}`][{full}]" for full in exported]
    for module in modules(package):
        lines += ["", f"::: {module}"]
    return "\n".join(lines) + "\n"


def exports(package: str) -> Iterator[str]:
    """Full names of what a package exports, from its ``__init__.pyi``."""
    stub = folder_of(package) / "__init__.pyi"
    for node in ast.walk(ast.parse(stub.read_text(encoding="utf-8") if stub.exists() else "")):
        if isinstance(node, ast.ImportFrom):
            yield from (f"{package}.{node.module}.{alias.name}" for alias in node.names)


def folder_of(package: str) -> Path:
    """Folder of a package's modules."""
    return ROOT.joinpath(*package.split(".")[1:])


def modules(package: str) -> Iterator[str]:
    """Public modules that are directly in a package."""
    yield from (f"{package}.{path.stem}" for path in sorted(folder_of(package).glob("[!_]*.py")))


def _site_link(link: re.Match[str]) -> str:
    target = link[2].removeprefix("docs/").removeprefix("../")
    return link[1] + TOP_PAGES.get(target, target)
