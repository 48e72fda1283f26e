"""Turn the Conversational Playlist Curation Dataset into conversations for `tracktokens render conversations`.

    python examples/convert_cpcd.py cpcd_v1.dialogs.dev.jsonl conversations.jsonl [--prefix cpcd:]

The dataset (Chaganty et al., arXiv 2303.06791, CC BY 4.0) has turns of a user and a search system; the results that the
user likes count as the system's recommendations in that turn. A track's id is the dataset's id with ``--prefix`` before
it. Turns without text are skipped.
"""

import argparse
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def main() -> None:
    """Read the command line, and convert."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dialogs", type=Path, help="JSON Lines, may be compressed (.gz)")
    parser.add_argument("out", type=Path)
    parser.add_argument("--prefix", default="", help="prefix of the dataset's track ids in the catalog")
    args = parser.parse_args()
    opener = gzip.open if args.dialogs.suffix == ".gz" else open
    with opener(args.dialogs, "rt", encoding="utf-8") as lines, args.out.open("w", encoding="utf-8") as out:
        for line in lines:
            dialog = json.loads(line)
            conversation = {"id": dialog["id"], "messages": list(messages(dialog["turns"], args.prefix))}
            out.write(json.dumps(conversation, ensure_ascii=False) + "\n")


def messages(turns: list[dict[str, Any]], prefix: str) -> Iterator[dict[str, Any]]:
    """Yield the two messages of each turn."""
    for turn in turns:
        liked = [prefix + track_id for track_id in turn["liked_results"]]
        if turn["user_query"]:
            yield {"role": "user", "content": turn["user_query"]}
        if turn["system_response"] or liked:
            yield {"role": "assistant", "content": turn["system_response"] or "", "tracks": liked}


if __name__ == "__main__":
    main()
