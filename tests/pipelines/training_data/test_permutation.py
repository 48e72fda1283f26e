"""Token orders of training rows."""

import re

from tracktokens.pipelines.training_data.permutation import PERMUTED_SHARE, permute_row
from tracktokens.pipelines.training_data.rows import TITLE_TO_TOKENS, TrainingRow
from tracktokens.pipelines.training_data.sampling import Chance

NAMES = ("playlist", "tags", "metadata")
TRACK = "<|track|><|playlist_1|><|tags_2|><|metadata_none|><|/track|>"


def row(number: int, answer: str = TRACK, role: str = "user") -> TrainingRow:
    prompt = ({"role": role, "content": f"find {number}"},)
    return TrainingRow(TITLE_TO_TOKENS, str(number), prompt, {"role": "assistant", "content": answer})


def test_a_permuted_row_names_its_order_and_others_are_as_they_were() -> None:
    found = [(row(n), permute_row(row(n), NAMES, Chance(0))) for n in range(600)]
    orders = []
    for plain, permuted in found:
        written = [name for name, _ in re.findall(r"<\|(\w+)_(\w+)\|>", permuted.completion["content"])]
        if written == list(NAMES):
            assert permuted == plain
            continue
        [order] = re.findall(r"\n\(Order of a track's tokens: (.*)\)$", permuted.prompt[-1]["content"])
        assert order.split(", ") == written
        assert sorted(written) == sorted(NAMES)
        assert permuted.prompt[-1]["content"].startswith(plain.prompt[-1]["content"])
        orders.append(order)
    assert len(set(orders)) == 5  # all orders of three but the usual one
    assert abs(len(orders) / len(found) - PERMUTED_SHARE * 5 / 6) < 0.07


def test_all_tracks_of_a_row_have_its_order() -> None:
    asked = TrainingRow(
        TITLE_TO_TOKENS,
        "x",
        ({"role": "user", "content": TRACK},),
        {"role": "assistant", "content": f"{TRACK} {TRACK}"},
    )
    for copy in range(10):
        permuted = permute_row(asked, NAMES, Chance(0), copy)
        texts = f"{permuted.prompt[0]['content']} {permuted.completion['content']}"
        assert len(set(re.findall(r"<\|track\|>.*?<\|/track\|>", texts))) == 1


def test_rows_without_a_track_or_a_last_message_of_the_user_stay() -> None:
    for number in range(50):
        for plain in (row(number, "no track"), row(number, "< |track|>"), row(number, TRACK, role="system")):
            assert permute_row(plain, NAMES, Chance(0)) is plain
