"""Lists as text: notations with brackets, quoted elements and plain elements."""

import pytest

from tracktokens.transforms.values.list_text import parse_list


@pytest.mark.parametrize(
    ("text", "elements"),
    [
        ('["rock", "a|b"]', ["rock", "a|b"]),
        ("[1, null]", [1, None]),
        ("{rock,pop}", ["rock", "pop"]),
        ("{t001}", ["t001"]),
        ("{1,007}", ["1", "007"]),
        (
            r'{"a b",NULL,"NULL","say \"hi\"","back\\slash","x,y",""}',
            ["a b", None, "NULL", 'say "hi"', "back\\slash", "x,y", ""],
        ),
        ("{}", []),
        ("[0:1]={a,b}", ["a", "b"]),
        ("['rock', \"it's\"]", ["rock", "it's"]),
        ("('rock', 'pop')", ["rock", "pop"]),
        ('("rock",)', ["rock"]),
        ("{'rock', 'pop'}", ["rock", "pop"]),
        ('{"rock", "pop"}', ["rock", "pop"]),
        ("['a', None, ['b']]", ["a", None, ["b"]]),
        ("()", []),
    ],
)
def test_notations_of_other_systems_are_read(text: str, elements: list[object]) -> None:
    assert parse_list(text) == elements


@pytest.mark.parametrize(
    "text",
    [
        "['rock' 'pop']",
        "['rock'\n 'pop']",
        "[rock, pop]",
        "[rock]",
        "(rock, pop)",
        "(rock|pop)",
        "<rock,pop>",
        "{rock: 1, pop: 2}",
        '{"rock": 1}',
        "{'rock': 1}",
        "{{a,b},{c,d}}",
        "{hip hop}",
        'c("rock", "pop")',
        'c("rock")',
        "WrappedArray(rock, pop)",
        "ARRAY['rock','pop']",
        "array(['rock'], dtype=object)",
        "frozenset({'rock'})",
        "set()",
        r'"[\"rock\",\"pop\"]"',
    ],
)
def test_other_text_in_brackets_is_not_split_into_pieces(text: str) -> None:
    assert parse_list(text) is None


@pytest.mark.parametrize(
    ("text", "elements"),
    [
        ("rock (live)|pop", ["rock (live)", "pop"]),
        ("(What's the Story)|x", ["(What's the Story)", "x"]),
        ("(live)", ["(live)"]),
        ("(a)|b|(c)", ["(a)", "b", "(c)"]),
        ("<b>rock</b>;<none>", ["<b>rock</b>", "<none>"]),
        ("[live] soul, funk", ["[live] soul", "funk"]),
        ("<3|:)|:(", ["<3", ":)", ":("]),
        ("{", ["{"]),
        ("((" * 2000, ["((" * 2000]),
        ('"rock","a, b"', ["rock", "a, b"]),
        ("'rock'|'pop'", ["rock", "pop"]),
        ('"a|b","say ""hi"""', ["a|b", 'say "hi"']),
        ('"Heroes"', ["Heroes"]),
        ('"Heroes" live|Low', ['"Heroes" live', "Low"]),
        ('7" single|12"', ['7" single', '12"']),
        ("'til tuesday|cookin'", ["'til tuesday", "cookin'"]),
        ("'80s, '90s", ["'80s", "'90s"]),
        ('"', ['"']),
    ],
)
def test_plain_and_quoted_elements_are_read(text: str, elements: list[object]) -> None:
    assert parse_list(text) == elements
