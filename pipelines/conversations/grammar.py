"""A small grammar of sentences: alternatives, optional parts, references to rules, and slots that are filled later.

A rule is a list of patterns, each as likely as the others. In a pattern, ``(a|b)`` is a choice, whose part may be
empty, ``{rule}`` is replaced by a pattern of that rule, and ``{slot}``, a name without a rule, stays as it is. A rule
that depends on the register is an object of lists: those of the register, or of ``any`` where the register has none.

The form is that of a JSGF grammar, as JSON. Tracery, the usual library for this, draws from the global random state,
and neither keeps the slots apart from the words nor counts the sentences.
"""

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

SLOT = re.compile(r"\{([A-Za-z_.]+)\}")
"""A slot in a skeleton."""

ANY_REGISTER = "any"

_PIECE = re.compile(r"\{([A-Za-z_.]+)\}|([(|)])|([^{}()|]+)")

Node = str | tuple[str, Any]
"""A text, ``("ref", name)``, ``("all", nodes)`` or ``("one", nodes)``."""


@cache
def read_data(name: str) -> dict[str, Any]:
    """Read ``data/<name>.json``."""
    text = files(__package__).joinpath("data", f"{name}.json").read_text(encoding="utf-8")
    data: dict[str, Any] = json.loads(text)
    return data


@dataclass(frozen=True)
class Grammar:
    """The rules of one language.

    Attributes:
        rules: rule and register to its patterns, parsed.
    """

    rules: Mapping[str, Mapping[str, Node]]

    @classmethod
    def parse(cls, rules: Mapping[str, Sequence[str] | Mapping[str, Sequence[str]]]) -> "Grammar":
        """Parse rules.

        Raises:
            ValueError: a pattern has an unbalanced bracket or brace.
        """
        return cls({name: _parse_rule(rule) for name, rule in rules.items()})

    def has(self, rule: str) -> bool:
        """Return whether there is a rule."""
        return rule in self.rules

    def expand(self, rule: str, register: str, chance: np.random.Generator) -> str:
        """Draw a skeleton: a sentence with its slots."""
        return " ".join(self._expand(self._patterns(rule, register), register, chance).split())

    def skeletons(self, rule: str, register: str) -> set[str]:
        """List the different skeletons of a rule."""
        return {" ".join(text.split()) for text in self._all(self._patterns(rule, register), register)}

    def _patterns(self, rule: str, register: str) -> Node:
        registers = self.rules[rule]
        return registers.get(register) or registers[ANY_REGISTER]

    def _expand(self, node: Node, register: str, chance: np.random.Generator) -> str:
        if isinstance(node, str):
            return node
        kind, content = node
        if kind == "all":
            return "".join(self._expand(child, register, chance) for child in content)
        if kind == "one":
            return self._expand(content[int(chance.integers(len(content)))], register, chance)
        return (
            self._expand(self._patterns(content, register), register, chance) if self.has(content) else f"{{{content}}}"
        )

    def _all(self, node: Node, register: str) -> set[str]:
        if isinstance(node, str):
            return {node}
        kind, content = node
        if kind == "ref":
            return self._all(self._patterns(content, register), register) if self.has(content) else {f"{{{content}}}"}
        parts = [self._all(child, register) for child in content]
        return set().union(*parts) if kind == "one" else set(map("".join, itertools.product(*parts)))


@cache
def grammar_of(language: str) -> Grammar:
    """Read the grammar of a language."""
    return Grammar.parse(read_data(language)["rules"])


def _parse_rule(rule: Sequence[str] | Mapping[str, Sequence[str]]) -> dict[str, Node]:
    registers = rule if isinstance(rule, Mapping) else {ANY_REGISTER: rule}
    return {register: ("one", [_parse(pattern) for pattern in patterns]) for register, patterns in registers.items()}


def _parse(pattern: str) -> Node:
    """Parse a pattern; the stack holds the alternatives of each open bracket."""
    stack: list[list[list[Node]]] = [[[]]]
    end = 0
    for piece in _PIECE.finditer(pattern):
        if piece.start() != end:
            break
        end = piece.end()
        reference, mark, text = piece.groups()
        if mark == "(":
            stack.append([[]])
        elif mark == "|":
            stack[-1].append([])
        elif mark == ")" and len(stack) > 1:
            alternatives = stack.pop()
            stack[-1][-1].append(("one", [("all", nodes) for nodes in alternatives]))
        elif mark == ")":
            raise ValueError(f"{pattern!r} closes a bracket that is not open")
        else:
            stack[-1][-1].append(("ref", reference) if reference else text)
    if end != len(pattern) or len(stack) > 1 or len(stack[0]) > 1:
        raise ValueError(f"{pattern!r} has an unbalanced bracket or brace, or a bar outside of brackets")
    return ("all", stack[0][0])
