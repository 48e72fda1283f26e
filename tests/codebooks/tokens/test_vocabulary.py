"""Tokens in their fixed order, in tokenizers, and as the text of a track."""

import json
import re

import pyarrow as pa
import pytest

from tracktokens.codebooks.tokens.vocabulary import (
    UNCLAIMED_ID,
    Entry,
    added_tokens_json,
    token,
    token_strings,
    tokens_json,
    vocabulary,
)
from tracktokens.schemas.errors import InvalidDataError
from tracktokens.schemas.modalities import MODALITIES

ORDER_OF_TWO_CODES = [
    *("<|playlist_0|>", "<|playlist_1|>", "<|tags_0|>", "<|tags_1|>", "<|metadata_0|>", "<|metadata_1|>"),
    *("<|lyrics_0|>", "<|lyrics_1|>", "<|audio_0|>", "<|audio_1|>"),
    *("<|playlist_none|>", "<|tags_none|>", "<|metadata_none|>", "<|lyrics_none|>", "<|audio_none|>"),
    *("<|track|>", "<|/track|>"),
]
SENTENCES = ["A slow song about rain and the sea.", "Loud guitars, <| no hope |> at all.", "audio_3 and tags"] * 5


def code_batch(**columns):
    rows = len(next(iter(columns.values())))
    return pa.record_batch(
        [pa.array(columns.get(modality, [None] * rows), pa.int16()) for modality in MODALITIES], list(MODALITIES)
    )


def test_a_token_names_its_modality_and_code():
    assert token("audio", 42) == "<|audio_42|>"
    assert token("audio", 0) == "<|audio_0|>"
    assert token("audio", None) == "<|audio_none|>"


def test_tokens_are_in_the_fixed_order():
    assert [entry.token for entry in vocabulary(2)] == ORDER_OF_TWO_CODES


def test_entries_name_the_modality_and_code_of_a_token():
    entries = vocabulary(2)
    assert entries[9] == Entry("<|audio_1|>", "audio", 1)
    assert entries[14] == Entry("<|audio_none|>", "audio", None)
    assert entries[16] == Entry("<|/track|>", None, None)


def test_1024_codes_make_5127_different_tokens():
    assert len({entry.token for entry in vocabulary(1024)}) == 5127


def test_tokens_json_is_the_format_that_was_agreed():
    contents = json.loads(json.dumps(tokens_json("0123456789ab", 2)))
    assert list(contents) == ["format", "bundle", "tokens"]
    assert (contents["format"], contents["bundle"]) == (1, "0123456789ab")
    assert contents["tokens"][0] == {"token": "<|playlist_0|>", "modality": "playlist", "code": 0}
    assert contents["tokens"][10] == {"token": "<|playlist_none|>", "modality": "playlist", "code": None}
    assert contents["tokens"][15] == {"token": "<|track|>", "modality": None, "code": None}
    assert [entry["token"] for entry in contents["tokens"]] == ORDER_OF_TWO_CODES


def test_added_tokens_have_ids_in_the_fixed_order():
    assert list(added_tokens_json(2).items()) == [(t, UNCLAIMED_ID + i) for i, t in enumerate(ORDER_OF_TWO_CODES)]
    assert added_tokens_json(2, first_id=50_257)["<|playlist_1|>"] == 50_258


@pytest.mark.parametrize("size", [0, 32_768])
def test_a_size_out_of_range_is_an_error(size):
    with pytest.raises(ValueError, match="1 to 32767"):
        vocabulary(size)


def test_a_track_is_written_as_its_five_tokens():
    batch = code_batch(playlist=[1, None], tags=[0, None], metadata=[2, None], lyrics=[None, None], audio=[2, None])
    assert token_strings(batch, 3).to_pylist() == [
        "<|playlist_1|><|tags_0|><|metadata_2|><|lyrics_none|><|audio_2|>",
        "<|playlist_none|><|tags_none|><|metadata_none|><|lyrics_none|><|audio_none|>",
    ]


def test_a_slice_of_a_batch_and_columns_in_another_order_are_read_right():
    batch = code_batch(audio=[0, 1, 2, None]).select(["audio", "lyrics", "metadata", "tags", "playlist"])
    tail = "<|playlist_none|><|tags_none|><|metadata_none|><|lyrics_none|>"
    assert token_strings(batch.slice(2), 3).to_pylist() == [f"{tail}<|audio_2|>", f"{tail}<|audio_none|>"]


def test_no_rows_give_no_strings():
    written = token_strings(code_batch(audio=[]), 3)
    assert isinstance(written, pa.StringArray) and len(written) == 0


def test_the_largest_vocabulary_can_be_written():
    assert token_strings(code_batch(audio=[32766]), 32767)[0].as_py().endswith("<|audio_32766|>")


@pytest.mark.parametrize("code", [3, -1])
def test_a_code_outside_the_vocabulary_is_refused(code):
    with pytest.raises(InvalidDataError, match=rf"range from .*{code}.*, those of the vocabulary from 0 to 2"):
        token_strings(code_batch(audio=[1, code]), 3)


def byte_level_bpe():
    tokenizers = pytest.importorskip("tokenizers")
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<s>", "</s>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    return wrap(tokenizer, {"bos_token": "<s>", "eos_token": "</s>"})


def lowercasing_word_piece():
    tokenizers = pytest.importorskip("tokenizers")
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordPiece(unk_token="[UNK]"))  # noqa: S106
    tokenizer.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = tokenizers.trainers.WordPieceTrainer(vocab_size=300, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(SENTENCES, trainer)
    return wrap(tokenizer, {"unk_token": "[UNK]", "pad_token": "[PAD]", "mask_token": "[MASK]"})


def wrap(tokenizer, special_tokens):
    transformers = pytest.importorskip("transformers")
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special_tokens)


def assert_every_token_is_one_id(tokenizer, first_id):
    texts = [
        "a song <|audio_3|> by the sea",
        "rain<|audio_10|>rain",
        "<|playlist_0|><|tags_15|><|metadata_none|><|lyrics_1|><|audio_11|>",
        "<|track|><|playlist_none|><|audio_1|><|/track|>",
    ]
    expected = added_tokens_json(16, first_id)
    for text in texts:
        written = re.findall(r"<\|.+?\|>", text)
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert [i for i in ids if i >= first_id] == [expected[t] for t in written]
    assert [tokenizer.convert_tokens_to_ids(t) for t in expected] == list(expected.values())


@pytest.mark.parametrize("make_tokenizer", [byte_level_bpe, lowercasing_word_piece])
def test_tokens_that_are_added_to_a_tokenizer_are_one_id_each(make_tokenizer):
    tokenizer = make_tokenizer()
    first_id = len(tokenizer)
    assert tokenizer.add_tokens(list(added_tokens_json(16))) == 5 * 16 + 7
    assert_every_token_is_one_id(tokenizer, first_id)


@pytest.mark.parametrize("make_tokenizer", [byte_level_bpe, lowercasing_word_piece])
@pytest.mark.parametrize("ids_are_known", [False, True])
def test_added_tokens_json_in_a_tokenizers_folder_is_loaded_with_it(make_tokenizer, ids_are_known, tmp_path):
    transformers = pytest.importorskip("transformers")
    tokenizer = make_tokenizer()
    first_id = len(tokenizer)
    tokenizer.save_pretrained(tmp_path)
    contents = added_tokens_json(16, first_id) if ids_are_known else added_tokens_json(16)
    (tmp_path / "added_tokens.json").write_text(json.dumps(contents))
    assert_every_token_is_one_id(transformers.AutoTokenizer.from_pretrained(tmp_path), first_id)


def test_ids_from_zero_would_lose_tokens_to_the_special_tokens_of_the_tokenizer(tmp_path):
    transformers = pytest.importorskip("transformers")
    tokenizer = byte_level_bpe()
    tokenizer.save_pretrained(tmp_path)
    (tmp_path / "added_tokens.json").write_text(json.dumps(added_tokens_json(16, first_id=0)))
    loaded = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert len(loaded) == len(tokenizer) + 87 - 2  # the ids 0 and 1 are those of <s> and </s>
