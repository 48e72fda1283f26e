"""Wording by an endpoint: retries, the cache, the check of each answer, and endpoints that do not work."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.chat_endpoint import Endpoint, follow
from tracktokens.pipelines.conversations.llm_answer import WrongAnswerError, make_prompt, parse_answer
from tracktokens.pipelines.conversations.llm_wording import LlmOptions, LlmWording
from tracktokens.pipelines.conversations.plan import ASK, REJECT, THANKS, Plan, Recommended, Turn
from tracktokens.pipelines.conversations.planner import Planner
from tracktokens.pipelines.conversations.track_card import GENRE, Condition, TrackCard, make_card
from tracktokens.schemas.errors import UsageError

ROCK = Condition(GENRE, "rock")
IDS = ("a[1]", "b", "c")
CARDS = {track_id: make_card(track_id, f"song {track_id}", "somebody", ["rock"]) for track_id in IDS}
PLAN = Plan(
    "p#1",
    "p",
    "en",
    "casual",
    (
        Turn(ASK, ROCK, None, (Recommended("a[1]", ROCK), Recommended("b", None))),
        Turn(REJECT, None, "b", (Recommended("c", ROCK),)),
        Turn(THANKS),
    ),
)
GOOD = [
    {"role": "user", "content": "Some rock?"},
    {"role": "assistant", "content": "Try [track:a[1]] and [track:b], it is rock."},
    {"role": "user", "content": "Not [track:b]."},
    {"role": "assistant", "content": "Then [track:c]."},
    {"role": "user", "content": "Thanks!"},
    {"role": "assistant", "content": "Enjoy!"},
]


def changed(number: int, **values: str) -> list[dict[str, str]]:
    return [{**message, **values} if index == number else message for index, message in enumerate(GOOD)]


@pytest.mark.parametrize("form", ["{}", "Here it is:\n```json\n{}\n```\nDone.", "```\n{}\n```"])
def test_an_answer_that_follows_the_plan_is_read(form: str) -> None:
    assert parse_answer(form.replace("{}", json.dumps({"messages": GOOD})), PLAN) == GOOD
    assert parse_answer(form.replace("{}", json.dumps(GOOD)), PLAN) == GOOD


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("Sure! Here is a conversation.", "is not JSON"),
        ('{"talk": []}', "no list of messages"),
        (json.dumps([{"role": "user"}] * 6), "no list of messages"),
        (json.dumps(GOOD[:4]), "4 messages instead of 6"),
        (json.dumps(GOOD[::-1]), "of the assistant instead of the user"),
        (json.dumps(changed(1, content="Try [track:a[1]].")), "names b 0 times"),
        (json.dumps(changed(3, content="[track:c], yes [track:c]!")), "names c 2 times"),
        (json.dumps(changed(3, content="[track:c] or [track:zzz]")), "names zzz, which it should not"),
        (json.dumps(changed(3, content="[track:c] or [track:b]")), "names b, which it should not"),
        (json.dumps(changed(5, content="Enjoy [Track: b]!")), "does not name a track"),
        (json.dumps(changed(5, content="  ")), "content that is not empty"),
    ],
)
def test_an_answer_that_does_not_follow_the_plan_is_wrong(answer: str, reason: str) -> None:
    with pytest.raises(WrongAnswerError, match=reason):
        parse_answer(answer, PLAN)


def test_the_prompt_has_the_plan_and_nothing_that_is_not_true() -> None:
    content = json.loads(make_prompt(PLAN, CARDS)[1]["content"])
    first = content["turns"][0]
    assert first["user"] == {"does": "ask", "names": [], "wants": "genre: rock"}
    assert first["assistant"] == {"does": "recommend", "names": ["a[1]", "b"], "reasons": {"a[1]": "genre: rock"}}
    assert content["turns"][1]["user"]["names"] == ["b"]


Serve = Callable[[Callable[[int, list[dict[str, str]]], tuple[int, str]]], Endpoint]


@pytest.fixture
def serve() -> Iterator[Serve]:
    endpoints = []

    def start(answer: Callable[[int, list[dict[str, str]]], tuple[int, str]]) -> Endpoint:
        endpoints.append(Endpoint(answer))
        return endpoints[-1]

    yield start
    for endpoint in endpoints:
        endpoint.close()


class Item:
    """A plan with its cards."""

    def __init__(self, plan: Plan, cards: dict[str, TrackCard]) -> None:
        self.plan, self.cards = plan, cards


def items(count: int) -> list[Item]:
    cards = [make_card(f"t{n}", f"song {n}", f"artist {n % 3}", ["rock", "sad"][: n % 3]) for n in range(12)]
    plans = [Planner("p", None, cards, "en", np.random.default_rng(n)).plan(f"p#{n}") for n in range(count)]
    return [Item(plan, {card.track_id: card for card in cards}) for plan in plans]


def options(url: str, **others: Any) -> LlmOptions:
    return LlmOptions(url=url, model="m", **{"retries": 2, "timeout": 5.0, **others})


def test_conversations_keep_their_order_and_follow_their_plans(serve: Serve) -> None:
    def answer(number: int, prompt: list[dict[str, str]]) -> tuple[int, str]:
        time.sleep(0.02 * (number % 3))
        return 200, follow(prompt)

    llm = LlmWording(options(serve(answer).url))
    given = items(20)
    worded = list(llm.word_all(given))
    assert [item for item, _ in worded] == given
    for item, messages in worded:
        assert messages == parse_answer(follow(make_prompt(item.plan, item.cards)), item.plan)
    assert llm.counts == {"worded": 20}


def test_a_run_that_was_killed_asks_only_for_the_rest(serve: Serve, tmp_path: Path) -> None:
    endpoint = serve(lambda _, prompt: (200, follow(prompt)))
    cache = str(tmp_path / "answers.sqlite")
    first = list(LlmWording(options(endpoint.url, cache=cache)).word_all(items(5)))
    again = LlmWording(options(endpoint.url, cache=cache))
    assert [messages for _, messages in again.word_all(items(8))][:5] == [messages for _, messages in first]
    assert again.counts == {"from_cache": 5, "worded": 3}
    assert len(endpoint.requests) == 8
    other = LlmWording(LlmOptions(url=endpoint.url, model="other", cache=cache))
    assert other.word(items(1)[0].plan, items(1)[0].cards) is not None
    assert other.counts == {"worded": 1}


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_request_that_fails_for_a_while_is_repeated(serve: Serve, status: int) -> None:
    endpoint = serve(lambda number, prompt: (status if number < 3 else 200, follow(prompt)))
    llm = LlmWording(options(endpoint.url))
    assert llm.word(PLAN, CARDS) is not None
    assert len(endpoint.requests) == 3


def test_a_wrong_answer_is_corrected(serve: Serve) -> None:
    endpoint = serve(lambda number, prompt: (200, "Sure!" if number == 1 else follow(prompt)))
    llm = LlmWording(options(endpoint.url))
    assert llm.word(PLAN, CARDS) is not None
    assert llm.counts == {"wrong_answers": 1, "worded": 1}
    assert "is not JSON" in endpoint.requests[1]["messages"][-1]["content"]
    assert endpoint.requests[1]["seed"] == endpoint.requests[0]["seed"] + 1


@pytest.mark.parametrize("nonsense", ["Sure!", json.dumps(changed(3, content="[track:stranger]"))])
def test_after_some_wrong_answers_templates_word_the_plan(serve: Serve, tmp_path: Path, nonsense: str) -> None:
    endpoint = serve(lambda *_: (200, nonsense))
    llm = LlmWording(options(endpoint.url, cache=str(tmp_path / "answers.sqlite"), tries=2))
    assert [messages for _, messages in llm.word_all([Item(PLAN, CARDS)] * 3)] == [None] * 3
    assert llm.counts == {"wrong_answers": 6, "by_template": 3}


@pytest.mark.parametrize(("limits", "sent"), [({}, 4096), ({"max_tokens": 50}, 50), ({"max_tokens": None}, None)])
def test_a_request_limits_the_answer(serve: Serve, limits: dict[str, int | None], sent: int | None) -> None:
    endpoint = serve(lambda _, prompt: (200, follow(prompt)))
    assert LlmWording(options(endpoint.url, **limits)).word(PLAN, CARDS) is not None
    assert endpoint.requests[0].get("max_tokens") == sent


def test_an_endpoint_that_is_slow_for_one_conversation_leaves_it_to_templates(serve: Serve) -> None:
    def answer(number: int, prompt: list[dict[str, str]]) -> tuple[int, str]:
        time.sleep(0.6 if number == 1 else 0)
        return 200, follow(prompt)

    llm = LlmWording(options(serve(answer).url, timeout=0.3, retries=0, concurrency=1))
    worded = [messages is not None for _, messages in llm.word_all(items(3))]
    assert worded == [False, True, True]


def test_an_endpoint_that_is_down_is_an_error_of_one_line(serve: Serve, tmp_path: Path) -> None:
    endpoint = serve(lambda *_: (200, ""))
    endpoint.close()
    llm = LlmWording(options(endpoint.url, retries=0, cache=str(tmp_path / "answers.sqlite")))
    with pytest.raises(UsageError, match=r"does not answer as m .*start the server, and run the same command") as error:
        list(llm.word_all(items(3)))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("status", "text"), [(401, "no"), (404, "no model m"), (503, "busy"), (200, "<html>a page</html>")]
)
def test_an_endpoint_that_never_works_ends_the_run(serve: Serve, status: int, text: str) -> None:
    llm = LlmWording(options(serve(lambda *_: (status, text)).url, retries=0))
    with pytest.raises(UsageError, match="check --llm and --llm-model"):
        list(llm.word_all(items(30)))


def test_a_file_that_is_not_a_cache_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "answers.sqlite"
    path.write_text("something else " * 100)
    with pytest.raises(UsageError, match="is not a cache of answers"):
        LlmWording(options("http://127.0.0.1:1/v1", cache=str(path)))
