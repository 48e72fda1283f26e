"""The command ``chat``: a conversation with a model that recommends tracks, in the terminal or through pipes."""

import json
import signal
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from tracktokens.pipelines.cli.language_models.reply_options import reply_options
from tracktokens.pipelines.stop_signals import handles
from tracktokens.pipelines.terminal import catalog_text, echo, make_console
from tracktokens.schemas.display import printable
from tracktokens.schemas.errors import TracktokensError

if TYPE_CHECKING:
    from rich.table import Table

    from tracktokens.pipelines.llm.chat import Chat, ShownTrack, TrackNames
    from tracktokens.serving.generation.recommendation import Recommendation

RESET, QUIT, HELP = "/reset", "/quit", "/help"
COMMANDS = f"{RESET} forgets the conversation, {QUIT} ends it"


@click.command(name="chat")
@reply_options
@click.option("--top", default=3, type=click.IntRange(1), help="Number of tracks per reply.")
@click.option("--json", "as_json", is_flag=True, help="Print each reply as one line of JSON.")
def chat_command(
    model: str,
    store: str,
    release: str | None,
    beams: int | None,
    max_new_tokens: int,
    min_tracks: int,
    precision: str,
    top: int,
    as_json: bool,
) -> None:
    """Chat with a model that recommends tracks of the release. Messages are read from standard input, one per line."""
    from tracktokens.pipelines.llm.chat import Chat, TrackNames
    from tracktokens.serving.generation.recommender import Recommender, ReplyOptions

    names = TrackNames(store, release)
    recommender = Recommender.open(model, names.folder, precision=precision)
    chat = Chat(recommender, ReplyOptions(top, min_tracks, max_new_tokens, beams))
    with handles(signal.SIGINT):  # it ends a reply, and then the chat
        _talk(chat, names, as_json)


def _talk(chat: "Chat", names: "TrackNames", as_json: bool) -> None:
    for line in _lines():
        if line == QUIT:
            return
        if line == RESET:
            chat.reset()
        elif line.startswith("/"):
            echo(COMMANDS if line == HELP else f"{printable(line)} is not a command: {COMMANDS}", err=True)
        elif as_json:
            _reply_as_json(chat, names, line)
        else:
            _reply(chat, names, line)


def _lines() -> Iterator[str]:
    """Read messages until the end of the input, with a prompt on a terminal; blank lines are skipped."""
    asks = sys.stdin.isatty()
    if asks:
        echo(f"Ask for music. {COMMANDS}.", err=True)
    while True:
        try:
            line = input("> ") if asks else sys.stdin.readline()
        except (EOFError, KeyboardInterrupt):
            return
        if not line and not asks:
            return
        if line.strip():
            yield line.strip()


def _reply(chat: "Chat", names: "TrackNames", line: str) -> None:
    """Print the text of a reply while it is written, and then its tracks as a table."""
    from tracktokens.serving.generation.recommendation import Recommendation

    console = make_console()
    if not sys.stdin.isatty():
        echo(f"> {printable(line)}")  # so that a piped conversation can be read
    try:
        for piece in chat.say(line):
            if isinstance(piece, Recommendation):
                echo()
                _warn(piece)
                if piece.tracks:
                    console.print(_table(names.name(piece), names.columns))
            else:
                echo(_shown(piece, names), nl=False)
    except KeyboardInterrupt:
        echo("\n(stopped; the conversation is as before)", err=True)
    except TracktokensError as error:
        echo(f"error: {printable(str(error))}", err=True)


def _reply_as_json(chat: "Chat", names: "TrackNames", line: str) -> None:
    """Print a reply as one line of JSON: ``text`` and ``tracks``, or ``error``."""
    try:
        reply = chat.ask(line)
    except TracktokensError as error:
        echo(json.dumps({"error": str(error)}))
        return
    tracks = [asdict(track) for track in names.name(reply)]
    echo(json.dumps({"text": reply.text, "tracks": tracks, "unknown": reply.unknown, "dropped": reply.dropped}))


def _warn(reply: "Recommendation") -> None:
    if reply.unknown:
        echo(f"the release does not have {printable(', '.join(reply.unknown))}", err=True)
    if reply.dropped:
        echo(f"the model takes no more: the oldest {reply.dropped} messages are left out", err=True)


def _shown(piece: str, names: "TrackNames") -> str:
    """Make a piece of text printable, line by line, with the name of a track in place of its mention at the end."""
    from tracktokens.codebooks.tokens.rendering import MENTION_START

    text, mention, track_id = piece.partition(MENTION_START)
    name = names.describe(track_id.removesuffix("]")) if mention else ""
    return "\n".join(map(printable, text.split("\n"))) + printable(name)


def _table(tracks: "list[ShownTrack]", columns: "tuple[str, ...]") -> "Table":
    from rich.table import Table

    table = Table("", "title", "artist")
    table.add_column("track", overflow="fold")
    table.add_column("score", justify="right")
    table.add_column("tokens matched")
    for rank, track in enumerate(tracks, 1):
        title, artist, track_id = map(catalog_text, (track.title or "", track.artist or "", track.track_id))
        table.add_row(str(rank), title, artist, track_id, f"{track.score:.2f}", _matched(track.matched, columns))
    return table


def _matched(matched: "tuple[str, ...]", columns: "tuple[str, ...]") -> str:
    return "all" if matched == columns else ", ".join(matched)
