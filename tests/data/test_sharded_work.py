"""Work that is kept as it goes on, and is done once for the same content."""

import numpy as np
import pytest

from diface_jax.data import array_cache, sharded_work
from diface_jax.runtime import hosts

SENTENCES = [f'sentence {i}' for i in range(10)]


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch):
    monkeypatch.setattr(sharded_work, '_INPUTS_A_STEP', (2, 2))


class Encoder:
    """Makes the length of each sentence; stops as Ctrl-C does after some steps."""

    def __init__(self, steps=100):
        self.steps, self.asked = steps, []

    def __call__(self, sentences, on_encoded):
        if self.steps == 0:
            raise KeyboardInterrupt
        self.steps -= 1
        self.asked += sentences
        for _ in sentences:
            on_encoded(1)
        return {'length': np.array([[len(text)] for text in sentences])}


def test_what_was_encoded_before_ctrl_c_is_kept(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        sharded_work.map_sentences(SENTENCES, tmp_path, ('lengths',), Encoder(3))
    again = Encoder()
    result = sharded_work.map_sentences(SENTENCES, tmp_path, ('lengths',), again)
    assert len(again.asked) == 10 - 3 * 2
    assert result['length'].ravel().tolist() == [len(text) for text in SENTENCES]


def test_what_was_encoded_is_on_disk_within_seconds(tmp_path, monkeypatch):
    """Also where the process is killed, and leaves nothing behind by itself."""
    clock = iter(range(0, 1000, 3))
    monkeypatch.setattr(array_cache.time, 'monotonic', lambda: next(clock))
    written = []
    encoder = Encoder()

    def encode(sentences, on_encoded):
        written.append(len(list(tmp_path.rglob('*.npz'))))
        return encoder(sentences, on_encoded)

    sharded_work.map_sentences(SENTENCES, tmp_path, ('lengths',), encode)
    assert written[-1] >= 1


def test_the_bar_moves_with_each_batch_of_the_texts(tmp_path, monkeypatch):
    moves = []
    plain = hosts.progress

    def watched(**settings):
        bar = plain(**settings)
        bar.update = moves.append
        return bar

    monkeypatch.setattr(hosts, 'progress', watched)
    sharded_work.map_sentences(SENTENCES, tmp_path, ('lengths',), Encoder())
    assert moves == [1] * 10


def test_equal_sentences_are_encoded_once_and_each_gets_its_row(tmp_path):
    encoder = Encoder()
    texts = ['a long one', 'b', 'b', 'a long one', 'ccc']
    result = sharded_work.map_sentences(texts, tmp_path, ('lengths',), encoder)
    assert sorted(encoder.asked) == ['a long one', 'b', 'ccc']
    assert result['length'].ravel().tolist() == [10, 1, 1, 10, 3]


def test_a_damaged_file_is_made_again(tmp_path, caplog):
    sharded_work.map_sentences(SENTENCES, tmp_path, ('lengths',), Encoder())
    (path,) = tmp_path.rglob('*.npz')
    path.write_bytes(path.read_bytes()[:100])
    result = sharded_work.map_sentences(SENTENCES, tmp_path, ('lengths',), Encoder())
    assert result['length'].ravel().tolist() == [len(text) for text in SENTENCES]
    assert f'{path} is damaged' in caplog.text


def test_strings_of_different_lengths_come_back_whole(tmp_path):
    with array_cache.RowCache(tmp_path) as rows:
        rows.add(['x'], {'note': array_cache.string_array(['ab'])})
    with array_cache.RowCache(tmp_path) as rows:
        rows.add(['y'], {'note': array_cache.string_array(['a longer note'])})
    taken = array_cache.RowCache(tmp_path).take(['y', 'x', 'y'])
    assert taken['note'].tolist() == ['a longer note', 'ab', 'a longer note']
