"""Work that is kept as it goes on, and is done once for the same content."""

import numpy as np
import pytest

from diface_jax import hosts
from diface_jax.data import shards, shares

SENTENCES = [f'sentence {i}' for i in range(10)]


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch):
    monkeypatch.setattr(shares, '_INPUTS_A_STEP', (2, 2))


class Encoder:
    """Makes the length of each sentence; stops as Ctrl-C does after some steps."""

    def __init__(self, steps=100):
        self.steps, self.asked = steps, []

    def __call__(self, sentences):
        if self.steps == 0:
            raise KeyboardInterrupt
        self.steps -= 1
        self.asked += sentences
        return {'length': np.array([[len(text)] for text in sentences])}


def test_what_was_encoded_before_ctrl_c_is_kept(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        shares.of_texts(SENTENCES, tmp_path, ('lengths',), Encoder(3))
    again = Encoder()
    found = shares.of_texts(SENTENCES, tmp_path, ('lengths',), again)
    assert len(again.asked) == 10 - 3 * 2
    assert found['length'].ravel().tolist() == [len(text) for text in SENTENCES]


def test_what_was_encoded_is_on_disk_within_seconds(tmp_path, monkeypatch):
    """Also where the process is killed, and leaves nothing behind by itself."""
    clock = iter(range(0, 1000, 3))
    monkeypatch.setattr(shards.time, 'monotonic', lambda: next(clock))
    written = []
    encoder = Encoder()

    def encode(sentences):
        written.append(len(list(tmp_path.rglob('*.npz'))))
        return encoder(sentences)

    shares.of_texts(SENTENCES, tmp_path, ('lengths',), encode)
    assert written[-1] >= 1


def test_the_bar_moves_with_each_step_of_the_texts(tmp_path, monkeypatch):
    moves = []
    plain = hosts.progress

    def watched(**settings):
        bar = plain(**settings)
        bar.update = moves.append
        return bar

    monkeypatch.setattr(hosts, 'progress', watched)
    shares.of_texts(SENTENCES, tmp_path, ('lengths',), Encoder())
    assert moves == [2] * 5


def test_equal_sentences_are_encoded_once_and_each_gets_its_row(tmp_path):
    encoder = Encoder()
    texts = ['a long one', 'b', 'b', 'a long one', 'ccc']
    found = shares.of_texts(texts, tmp_path, ('lengths',), encoder)
    assert sorted(encoder.asked) == ['a long one', 'b', 'ccc']
    assert found['length'].ravel().tolist() == [10, 1, 1, 10, 3]


def test_a_damaged_file_is_made_again(tmp_path, caplog):
    shares.of_texts(SENTENCES, tmp_path, ('lengths',), Encoder())
    (path,) = tmp_path.rglob('*.npz')
    path.write_bytes(path.read_bytes()[:100])
    found = shares.of_texts(SENTENCES, tmp_path, ('lengths',), Encoder())
    assert found['length'].ravel().tolist() == [len(text) for text in SENTENCES]
    assert f'{path} is damaged' in caplog.text


def test_strings_of_different_lengths_come_back_whole(tmp_path):
    with shards.Rows(tmp_path) as rows:
        rows.add(['x'], {'note': shards.strings(['ab'])})
    with shards.Rows(tmp_path) as rows:
        rows.add(['y'], {'note': shards.strings(['a longer note'])})
    taken = shards.Rows(tmp_path).take(['y', 'x', 'y'])
    assert taken['note'].tolist() == ['a longer note', 'ab', 'a longer note']
