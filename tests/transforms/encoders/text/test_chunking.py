"""The chunk rule, on the tokenizer of a tiny model whose window is 6 word pieces."""

import sys
from pathlib import Path

import numpy as np

from tests.support.tiny_text_model import WINDOW
from tracktokens.transforms.encoders.text.chunking import MAX_CHUNKS, TextChunk, chunk_text, mean_of_chunks
from tracktokens.transforms.encoders.text.sentence import LoadedSentenceEncoder, sentence_encoder


def texts_of(chunks: list[TextChunk]) -> list[str]:
    return [chunk.text for chunk in chunks]


def test_a_text_that_fits_is_one_unchanged_chunk(tiny: LoadedSentenceEncoder) -> None:
    assert tiny.chunks([" a b\nc ", "a b c d a b"]) == [[TextChunk(" a b\nc ", 3)], [TextChunk("a b c d a b", 6)]]


def test_a_text_without_word_pieces_is_one_chunk_of_weight_one(tiny: LoadedSentenceEncoder) -> None:
    assert tiny.chunks(["", "\u200b"]) == [[TextChunk("", 1)], [TextChunk("\u200b", 1)]]


def test_lines_are_packed_greedily_and_kept_whole(tiny: LoadedSentenceEncoder) -> None:
    [chunks] = tiny.chunks(["a b\nc d\na b c\n\nd d d d d d\na"])
    assert chunks == [TextChunk("a b\nc d", 4), TextChunk("a b c", 3), TextChunk("d d d d d d", 6), TextChunk("a", 1)]


def test_a_line_longer_than_the_window_is_divided_between_words(tiny: LoadedSentenceEncoder) -> None:
    # "songs" has two word pieces, song and ##s: the sixth and seventh of this line.
    [chunks] = tiny.chunks(["a b c d a songs b"])
    assert chunks == [TextChunk("a b c d a", 5), TextChunk("songs b", 3)]


def test_chinese_is_divided_between_characters(tiny: LoadedSentenceEncoder) -> None:
    [chunks] = tiny.chunks(["中文歌词中文歌词，中文\n歌词"])
    assert texts_of(chunks) == ["中文歌词中文", "歌词，中文", "歌词"]


def test_a_word_longer_than_the_window_is_divided_between_its_word_pieces(tiny: LoadedSentenceEncoder) -> None:
    [chunks] = tiny.chunks(["s" + "s" * 7])
    assert chunks == [TextChunk("ssssss", 6), TextChunk("ss", 2)]


def test_chunks_end_at_the_maximum(tiny: LoadedSentenceEncoder) -> None:
    [chunks] = tiny.chunks(["a b c d a b\n" * (MAX_CHUNKS + 5)])
    assert texts_of(chunks) == ["a b c d a b"] * MAX_CHUNKS


def test_chunks_omit_only_white_space(tiny: LoadedSentenceEncoder) -> None:
    text = "a songs  b, c\n中文 song歌词 (d) ssss\n\n b c d a b c d a\u3000b "
    [chunks] = tiny.chunks([text])
    assert "".join("".join(texts_of(chunks)).split()) == "".join(text.split())
    assert all(chunk.word_pieces <= WINDOW for chunk in chunks)


def test_a_window_longer_than_the_text_divides_nothing(tiny: LoadedSentenceEncoder) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = Tokenizer(models.WordLevel({"a": 0, "?": 1}, unk_token="?"))  # noqa: S106
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    text = "a " * 50
    assert chunk_text(text, words.encode(text), window=sys.maxsize) == [TextChunk(text, 50)]
    assert len(chunk_text(text, words.encode(text), window=7)) == 8


def test_the_prompt_counts_against_the_window(tiny_model: Path) -> None:
    encoder = sentence_encoder(str(tiny_model), prompt="c d ", device="cpu").load(threads=1)
    [chunks] = encoder.chunks(["a b c d a b"])  # six word pieces, and four fit
    assert chunks == [TextChunk("a b c d", 4), TextChunk("a b", 2)]


def test_the_mean_is_weighted_by_word_pieces_and_of_unit_length() -> None:
    vectors = np.array([[1, 0], [0, 1], [0, 1]], np.float32)
    chunks_per_text = [[TextChunk("three", 3), TextChunk("four", 4)], [TextChunk("one", 1)]]
    np.testing.assert_allclose(mean_of_chunks(vectors, chunks_per_text), [[0.6, 0.8], [0, 1]], atol=1e-7)


def test_chunks_that_cancel_out_have_no_mean() -> None:
    opposite = np.array([[1, 0], [-1, 0]], np.float32)
    assert np.isnan(mean_of_chunks(opposite, [[TextChunk("a", 2), TextChunk("b", 2)]])).all()
