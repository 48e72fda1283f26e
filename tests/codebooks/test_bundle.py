"""Five codebooks that belong together have one name."""

import pickle

import numpy as np
import pytest

from tracktokens.codebooks.bundle import Bundle
from tracktokens.codebooks.codebook import Codebook, Preprocessing
from tracktokens.schemas.errors import InvalidDataError
from tracktokens.schemas.modalities import MODALITIES


def make_codebooks(codebook_size=8, **other_reserved):
    sizes = dict.fromkeys(MODALITIES, codebook_size) | other_reserved
    eye = np.eye(2, dtype=np.float32)
    return [Codebook(modality, "encoder", Preprocessing(True), eye, sizes[modality]) for modality in MODALITIES]


def test_a_bundle_names_its_codebooks_by_modality_and_its_size():
    bundle = Bundle.of(make_codebooks(codebook_size=8))
    assert [bundle[modality].modality for modality in MODALITIES] == list(MODALITIES)
    assert bundle.codebook_size == 8


def test_the_order_in_which_codebooks_come_does_not_matter():
    bundle = Bundle.of(reversed(make_codebooks()))
    assert bundle.bundle_id == Bundle.of(make_codebooks()).bundle_id
    assert [codebook.modality for codebook in bundle.codebooks] == list(MODALITIES)


def test_the_name_is_twelve_hex_digits_that_change_with_any_codebook():
    codebooks = make_codebooks()
    names = {Bundle.of(codebooks).bundle_id}
    for position, modality in enumerate(MODALITIES):
        other = Codebook(modality, "another", Preprocessing(True), np.eye(2, dtype=np.float32), 8)
        names.add(Bundle.of([*codebooks[:position], other, *codebooks[position + 1 :]]).bundle_id)
    assert len(names) == 6
    assert all(len(name) == 12 and int(name, 16) >= 0 for name in names)


def test_a_bundle_can_be_sent_to_another_process():
    bundle = Bundle.of(make_codebooks())
    assert pickle.loads(pickle.dumps(bundle)).bundle_id == bundle.bundle_id  # noqa: S301


def test_a_missing_modality_is_named():
    with pytest.raises(InvalidDataError, match="no codebook for tags, audio"):
        Bundle.of([codebook for codebook in make_codebooks() if codebook.modality not in ("tags", "audio")])


def test_a_double_modality_is_named():
    codebooks = make_codebooks()
    with pytest.raises(InvalidDataError, match="more than one codebook for lyrics"):
        Bundle.of([*codebooks, codebooks[3]])


def test_the_wrong_order_is_an_error():
    with pytest.raises(InvalidDataError, match="in the order audio, lyrics"):
        Bundle(tuple(reversed(make_codebooks())))


def test_different_numbers_of_reserved_codes_are_an_error_that_names_them():
    with pytest.raises(InvalidDataError, match="lyrics 8, audio 16"):
        Bundle.of(make_codebooks(codebook_size=8, audio=16))
