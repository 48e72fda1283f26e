"""The grammars: what they can write, and that each language has the same rules."""

import numpy as np
import pytest

from tracktokens.pipelines.conversations.grammar import ANY_REGISTER, SLOT, Grammar, grammar_of
from tracktokens.pipelines.conversations.planner import REGISTERS
from tracktokens.pipelines.conversations.track_card import LANGUAGES

SLOTS = {"value", "about", "wish", "less", "tracks", "because", "other", "opening"}


def test_a_pattern_has_choices_and_rules_of_the_register_and_keeps_slots() -> None:
    grammar = Grammar.parse(
        {"greet": {"any": ["hi"], "formal": ["good (day|evening)"]}, "all": ["{greet}(|, {name}){end}"], "end": ["!"]}
    )
    assert grammar.skeletons("all", "formal") == {
        "good day!", "good evening!", "good day, {name}!", "good evening, {name}!"
    }  # fmt: skip
    assert grammar.skeletons("all", "terse") == {"hi!", "hi, {name}!"}
    drawn = {grammar.expand("all", "terse", np.random.default_rng(seed)) for seed in range(20)}
    assert drawn == {"hi!", "hi, {name}!"}


@pytest.mark.parametrize("pattern", ["(a", "a)", "a|b", "{a", "{a b}"])
def test_an_unbalanced_pattern_is_an_error(pattern: str) -> None:
    with pytest.raises(ValueError, match="bracket"):
        Grammar.parse({"rule": [pattern]})


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_language_has_all_rules_and_only_known_slots(language: str) -> None:
    grammar, english = grammar_of(language), grammar_of("en")
    assert grammar.rules.keys() == english.rules.keys()
    for register in (*REGISTERS, ANY_REGISTER):
        for rule, patterns in grammar.rules.items():
            if register in patterns or ANY_REGISTER in patterns:
                slots = {slot for text in grammar.skeletons(rule, register) for slot in SLOT.findall(text)}
                assert slots <= SLOTS, (rule, slots)


def test_the_grammars_have_thousands_of_skeletons() -> None:
    parts = {"hello", "please", "want", "can_you", "context", "trust", "nice"}
    counts = {}
    for language in LANGUAGES:
        grammar = grammar_of(language)
        rules = [rule for rule in grammar.rules if rule not in parts]
        counts[language] = sum(
            len(set().union(*(grammar.skeletons(rule, register) for register in REGISTERS))) for rule in rules
        )
    assert counts["en"] > 9000
    assert all(count > 1000 for count in counts.values())
