"""Shards: made once, whole or not at all."""

import os

import numpy as np
import pytest

from diface_jax.data import array_cache


def test_made_once(tmp_path):
    calls = []

    def make():
        calls.append(1)
        return {'x': np.arange(3), 'words': array_cache.string_array(['a', 'ümlaut'])}

    first, second = (array_cache.cached_arrays(tmp_path, 'one', make) for _ in range(2))
    assert len(calls) == 1
    assert second.keys() == first.keys()
    np.testing.assert_array_equal(second['x'], first['x'])
    assert second['words'].tolist() == ['a', 'ümlaut']


@pytest.mark.parametrize('length', [0, 10, 200])
def test_a_damaged_shard_is_made_again(tmp_path, length):
    def make():
        return {'x': np.arange(1000)}

    array_cache.cached_arrays(tmp_path, 'one', make)
    os.truncate(tmp_path / 'one.npz', length)
    np.testing.assert_array_equal(
        array_cache.cached_arrays(tmp_path, 'one', make)['x'], np.arange(1000)
    )


def test_nothing_is_left_of_a_failed_write(tmp_path, monkeypatch):
    def full_disk(*args, **kwargs):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(np, 'savez', full_disk)
    with pytest.raises(OSError, match='No space'):
        array_cache.cached_arrays(tmp_path, 'one', lambda: {'x': np.zeros(1)})
    assert list(tmp_path.iterdir()) == []


def test_a_key_tells_parts_apart():
    keys = {
        array_cache.cache_key('ab', 'c'),
        array_cache.cache_key('a', 'bc'),
        array_cache.cache_key('abc'),
        array_cache.cache_key('c', 'ab'),
    }
    assert len(keys) == 4
