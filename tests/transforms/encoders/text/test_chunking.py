"""The chunking rule, on the tokenizer of a tiny model with a window of 6 word pieces."""

import sys
from pathlib import Path

import numpy as np

from tests.support.tiny_text_model import WINDOW
from tracktokens.transforms.encoders.text.chunking import MAX_CHUNKS, TextChunk, cut, mean_of_chunks
from tracktokens.transforms.encoders.text.sentence import LoadedSentenceEncoder, sentence_encoder


def texts_of(pieces: list[TextChunk]) -> list[str]:
    return [piece.text for piece in pieces]


def test_a_text_that_fits_is_one_piece_as_it_stands(tiny: LoadedSentenceEncoder) -> None:
    assert tiny.pieces([" a b\nc ", "a b c d a b"]) == [[TextChunk(" a b\nc ", 3)], [TextChunk("a b c d a b", 6)]]


def test_a_text_without_word_pieces_is_one_piece_of_weight_one(tiny: LoadedSentenceEncoder) -> None:
    assert tiny.pieces(["", "\u200b"]) == [[TextChunk("", 1)], [TextChunk("\u200b", 1)]]


def test_lines_are_packed_greedily_and_kept_whole(tiny: LoadedSentenceEncoder) -> None:
    [pieces] = tiny.pieces(["a b\nc d\na b c\n\nd d d d d d\na"])
    assert pieces == [TextChunk("a b\nc d", 4), TextChunk("a b c", 3), TextChunk("d d d d d d", 6), TextChunk("a", 1)]


def test_a_line_longer_than_the_window_is_cut_between_words(tiny: LoadedSentenceEncoder) -> None:
    # "songs" is the two word pieces song and ##s: the sixth and seventh of this line.
    [pieces] = tiny.pieces(["a b c d a songs b"])
    assert pieces == [TextChunk("a b c d a", 5), TextChunk("songs b", 3)]


def test_chinese_is_cut_between_characters(tiny: LoadedSentenceEncoder) -> None:
    [pieces] = tiny.pieces(["中文歌词中文歌词，中文\n歌词"])
    assert texts_of(pieces) == ["中文歌词中文", "歌词，中文", "歌词"]


def test_a_word_longer_than_the_window_is_cut_between_its_word_pieces(tiny: LoadedSentenceEncoder) -> None:
    [pieces] = tiny.pieces(["s" + "s" * 7])
    assert pieces == [TextChunk("ssssss", 6), TextChunk("ss", 2)]


def test_pieces_end_at_the_maximum(tiny: LoadedSentenceEncoder) -> None:
    [pieces] = tiny.pieces(["a b c d a b\n" * (MAX_CHUNKS + 5)])
    assert texts_of(pieces) == ["a b c d a b"] * MAX_CHUNKS


def test_cutting_leaves_out_nothing_but_white_space(tiny: LoadedSentenceEncoder) -> None:
    text = "a songs  b, c\n中文 song歌词 (d) ssss\n\n b c d a b c d a\u3000b "
    [pieces] = tiny.pieces([text])
    assert "".join("".join(texts_of(pieces)).split()) == "".join(text.split())
    assert all(piece.word_pieces <= WINDOW for piece in pieces)


def test_a_window_beyond_the_text_cuts_nothing(tiny: LoadedSentenceEncoder) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = Tokenizer(models.WordLevel({"a": 0, "?": 1}, unk_token="?"))  # noqa: S106
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    text = "a " * 50
    assert cut(text, words.encode(text), window=sys.maxsize) == [TextChunk(text, 50)]
    assert len(cut(text, words.encode(text), window=7)) == 8


def test_the_prompt_takes_its_part_of_the_window(tiny_model: Path) -> None:
    encoder = sentence_encoder(str(tiny_model), prompt="c d ", device="cpu").load(threads=1)
    [pieces] = encoder.pieces(["a b c d a b"])  # six word pieces, and four fit
    assert pieces == [TextChunk("a b c d", 4), TextChunk("a b", 2)]


def test_the_mean_is_weighted_by_word_pieces_and_of_unit_length() -> None:
    vectors = np.array([[1, 0], [0, 1], [0, 1]], np.float32)
    cuts = [[TextChunk("three", 3), TextChunk("four", 4)], [TextChunk("one", 1)]]
    np.testing.assert_allclose(mean_of_chunks(vectors, cuts), [[0.6, 0.8], [0, 1]], atol=1e-7)


def test_pieces_that_cancel_out_have_no_mean() -> None:
    opposite = np.array([[1, 0], [-1, 0]], np.float32)
    assert np.isnan(mean_of_chunks(opposite, [[TextChunk("a", 2), TextChunk("b", 2)]])).all()
