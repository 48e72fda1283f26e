"""Words plans by a language model behind an OpenAI-compatible endpoint, with retries and a cache of the answers."""

import hashlib
import json
import sqlite3
import threading
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from tracktokens.pipelines.conversations.llm_answer import WrongAnswerError, make_prompt, parse_answer
from tracktokens.pipelines.conversations.plan import Plan
from tracktokens.pipelines.conversations.track_card import TrackCard
from tracktokens.schemas.errors import UsageError

if TYPE_CHECKING:
    from openai import OpenAI

MAX_TOKENS = 4096
"""Default limit of an answer: five times a long conversation, since some models think first."""

MOST_FAILURES = 10
"""Conversations in a row that the endpoint may fail on before the run ends."""

NO_KEY = "none"
"""Key for endpoints that need none; ``OPENAI_API_KEY`` is used where it is set."""

WORDED, CACHED, TEMPLATE, WRONG_ANSWERS = "worded", "from_cache", "by_template", "wrong_answers"
"""Names of the counts: conversations by their source, and answers that failed the check."""

Messages = list[dict[str, str]]


@dataclass(frozen=True, kw_only=True)
class LlmOptions:
    """An endpoint and how it is asked.

    Attributes:
        url: base URL of the API, such as ``http://localhost:8000/v1``.
        model: name of the model.
        tries: answers that may fail the check before a conversation is worded by templates.
        retries: requests that are repeated after a timeout, status 429 or 5xx, each after a longer pause.
        timeout: seconds to wait for an answer.
        max_tokens: longest answer, thoughts included: servers of small models write on until it is reached, or until
            the context of the model is full. None leaves the limit to the endpoint.
        concurrency: requests at the same time.
        temperature: temperature of the model.
        seed: seed of the model, where the endpoint knows one.
        cache: file of the answers; None to keep none.
    """

    url: str
    model: str
    tries: int = 3
    retries: int = 4
    timeout: float = 120.0
    max_tokens: int | None = MAX_TOKENS
    concurrency: int = 4
    temperature: float = 0.8
    seed: int = 0
    cache: str | None = None


class Planned(Protocol):
    """A plan with the cards of its tracks."""

    @property
    def plan(self) -> Plan:
        """The plan."""

    @property
    def cards(self) -> dict[str, TrackCard]:
        """Tracks of the playlist by id."""


Item = TypeVar("Item", bound=Planned)


@dataclass
class LlmWording:
    """Asks a model to word plans.

    Attributes:
        options: the endpoint.
        counts: counts by name, see above.
    """

    options: LlmOptions
    counts: Counter[str] = field(default_factory=Counter)
    _failures: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        """Open the client and the cache."""
        if find_spec("openai") is None:
            raise UsageError("openai is not installed: install tracktokens[llm], which --llm needs")
        self._client = _client(self.options)
        self._cache = AnswerCache(self.options.cache)

    def word_all(self, planned: Iterable[Item]) -> Iterator[tuple[Item, Messages | None]]:
        """Word plans, some at the same time, and return them in their order; None for one that templates have to word.

        Raises:
            UsageError: the endpoint cannot be reached, refuses the requests, or fails many times in a row.
        """
        waiting: deque[tuple[Item, Future[Messages | None]]] = deque()
        with ThreadPoolExecutor(self.options.concurrency) as pool:
            try:
                for item in planned:
                    waiting.append((item, pool.submit(self.word, item.plan, item.cards)))
                    if len(waiting) > 2 * self.options.concurrency:
                        first, future = waiting.popleft()
                        yield first, future.result()
                while waiting:
                    first, future = waiting.popleft()
                    yield first, future.result()
            finally:
                pool.shutdown(cancel_futures=True)

    def word(self, plan: Plan, cards: dict[str, TrackCard]) -> Messages | None:
        """Word one plan: from the cache, or by asking until an answer follows the plan; None if none does."""
        prompt = make_prompt(plan, cards)
        key = self._key(prompt)
        kept = self._cache.get(key)
        with suppress(WrongAnswerError):  # of a file that was changed: ask again
            messages = parse_answer(kept or "", plan)
            self._count(CACHED)
            return messages
        for attempt in range(self.options.tries):
            answer = self._ask(prompt, attempt)
            if answer is None:
                break
            try:
                messages = parse_answer(answer, plan)
            except WrongAnswerError as error:
                self._count(WRONG_ANSWERS)
                prompt = [*make_prompt(plan, cards), *_correction(answer, error)]
                continue
            self._cache.put(key, json.dumps({"messages": messages}, ensure_ascii=False))
            self._count(WORDED)
            return messages
        self._count(TEMPLATE)
        return None

    def _ask(self, prompt: list[dict[str, str]], attempt: int) -> str | None:
        """Ask once, with the client's retries; None if the endpoint fails for this prompt alone."""
        import openai

        of_prompt = (
            openai.APITimeoutError,
            openai.RateLimitError,
            openai.InternalServerError,
            openai.BadRequestError,  # such as a prompt that is too long
            openai.UnprocessableEntityError,
            ValueError,  # not JSON
        )
        limit: dict[str, Any] = {"max_tokens": self.options.max_tokens} if self.options.max_tokens else {}
        try:
            completion = self._client.chat.completions.create(
                model=self.options.model,
                messages=prompt,  # type: ignore[arg-type]
                temperature=self.options.temperature,
                seed=self.options.seed + attempt,
                **limit,
            )
            text = _text_of(completion)
        except of_prompt as error:
            self._fail(error)
            return None
        except openai.OpenAIError as error:
            raise self._unavailable(error) from error
        with self._lock:
            self._failures = 0
        return text

    def _fail(self, error: Exception) -> None:
        """Count a failure; end the run if the endpoint failed too often in a row."""
        with self._lock:
            self._failures += 1
            if self._failures >= MOST_FAILURES:
                raise self._unavailable(error) from error

    def _unavailable(self, error: Exception) -> UsageError:
        kept = f"; the answers so far are kept in {self.options.cache}" if self.options.cache else ""
        cause = " ".join(str(error).split())[:200]
        return UsageError(
            f"{self.options.url} does not answer as {self.options.model} ({type(error).__name__}: {cause}): "
            f"check --llm and --llm-model, start the server, and run the same command again{kept}"
        )

    def _key(self, prompt: list[dict[str, str]]) -> str:
        asked = [self.options.model, self.options.temperature, self.options.seed, prompt]
        return hashlib.blake2b(json.dumps(asked, ensure_ascii=False).encode(), digest_size=16).hexdigest()

    def _count(self, name: str) -> None:
        with self._lock:
            self.counts[name] += 1


class AnswerCache:
    """Answers that passed the check, by the hash of their prompt and model, in an SQLite file."""

    def __init__(self, path: str | None) -> None:
        """Open or create the file; without a path the answers are kept in memory.

        Raises:
            UsageError: the file is not a cache, or cannot be written.
        """
        self._lock = threading.Lock()
        try:
            self._file = sqlite3.connect(path or ":memory:", check_same_thread=False)
            self._file.execute("CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, answer TEXT NOT NULL)")
        except sqlite3.Error as error:
            raise UsageError(
                f"{path} is not a cache of answers ({error}): delete it, or choose another --out"
            ) from error

    def get(self, key: str) -> str | None:
        """Return an answer; None if there is none."""
        with self._lock:
            row = self._file.execute("SELECT answer FROM answers WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def put(self, key: str, answer: str) -> None:
        """Keep an answer, also if the process is killed right after."""
        with self._lock, self._file:
            self._file.execute("INSERT OR REPLACE INTO answers VALUES (?, ?)", (key, answer))


def _client(options: LlmOptions) -> "OpenAI":
    import os

    from openai import OpenAI

    key = os.environ.get("OPENAI_API_KEY") or NO_KEY
    return OpenAI(base_url=options.url, api_key=key, timeout=options.timeout, max_retries=options.retries)


def _text_of(completion: Any) -> str:
    """Return the text of a completion; raise a ValueError for anything else, as the client returns a page as a text."""
    choices = getattr(completion, "choices", None)
    if not choices:
        raise ValueError("the answer is not a chat completion")
    return str(choices[0].message.content or "")


def _correction(answer: str, error: WrongAnswerError) -> list[dict[str, Any]]:
    return [
        {"role": "assistant", "content": answer},
        {"role": "user", "content": f"This answer is wrong: {error}. Write the whole JSON again."},
    ]
