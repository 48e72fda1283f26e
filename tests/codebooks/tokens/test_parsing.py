"""Generated tokens are parsed, and errors are reported."""

import pytest

from tracktokens.codebooks.tokens.parsing import parse_tokens
from tracktokens.schemas.errors import UsageError


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("<|playlist_3|><|audio_7|>", [3, -2, -2, -2, 7]),
        ("<|audio_7|> <|playlist_3|>\n", [3, -2, -2, -2, 7]),
        ("<|lyrics_none|>", [-2, -2, -2, -1, -2]),
        ("<|track|><|playlist_0|><|tags_1|><|metadata_2|><|lyrics_none|><|audio_1023|><|/track|>", [0, 1, 2, -1, 1023]),
    ],
)
def test_tokens_in_any_order_become_codes(text, codes):
    query = parse_tokens(text, 1024)
    assert (query.tolist(), query.dtype) == (codes, "int16")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<|audio_1024|>", "audio codes range from 0 to 1023"),
        ("<|audio_99999999999999999999|>", "audio codes range from 0 to 1023"),
        (f"<|audio_{'9' * 5000}|>", "audio codes range from 0 to 1023"),
        ("<|audio_7\uff17|>", "is not a token"),
        ("<|audio_+7|>", "is not a token"),
        ("<|audio_1|><|audio_1|>", "more than one audio token"),
        ("<|audio_none|><|audio_1|>", "more than one audio token"),
        ("<|mood_1|>", "'<|mood_1|>' is not a token"),
        ("<|audio_01|>", "'<|audio_01|>' is not a token"),
        ("<|audio_-1|>", "'<|audio_-1|>' is not a token"),
        ("<|audio_1|>hello<|tags_1|>", "'hello' is not a token"),
        ("audio_1", "'audio_1' is not a token"),
        ("<|audio_1|", "'<|audio_1|' is not a token"),
        ("<|track|><|/track|>", "has no tokens"),
        (" ", "has no tokens"),
    ],
)
def test_what_cannot_be_read_is_an_error_that_names_it(text, message):
    with pytest.raises(UsageError) as error:
        parse_tokens(text, 1024)
    assert message in str(error.value)


@pytest.mark.parametrize("text", [f"<|audio_{'9' * 5000}|>", "x" * 5000, "<|audio_1|> " * 500, f"<|{'9' * 5000}|>"])
def test_an_error_shows_a_long_text_in_short(text):
    with pytest.raises(UsageError) as error:
        parse_tokens(text, 1024)
    assert len(str(error.value)) < 200
