"""Exact search against a float64 product and a stable sort in numpy."""

import os
import pathlib
import subprocess
import sys
from concurrent import futures

import numpy as np
import pytest

from diface_jax.gallery.exact_search import ExactIndex
from diface_jax.runtime import mesh as meshes

RNG = np.random.default_rng(0)


def features(count, width=16):
    f = RNG.standard_normal((count, width)).astype(np.float32)
    return f / np.linalg.norm(f, axis=1, keepdims=True)


def brute_force(f_PxF, f_GxF, k, allowed_G=None):
    score_PxG = np.einsum('pf,gf->pg', f_PxF.astype(np.float64), f_GxF.astype(np.float64))
    if allowed_G is not None:
        score_PxG[:, ~allowed_G] = -np.inf
    row_PxK = np.argsort(-score_PxG, axis=1, kind='stable')[:, :k]
    return row_PxK, np.take_along_axis(score_PxG, row_PxK, 1)


def assert_same(f_PxF, f_GxF, k, allowed_G=None, **index):
    found = ExactIndex(f_GxF, meshes.make_mesh(), **index).search(f_PxF, k, allowed_G)
    row_PxK, score_PxK = brute_force(f_PxF, f_GxF, k, allowed_G)
    assert np.array_equal(found.row_PxK, row_PxK)
    np.testing.assert_allclose(found.score_PxK, score_PxK, rtol=0, atol=1e-15)


def test_threads_that_search_at_once_get_their_own_results():
    f_PxF, f_GxF = features(32), features(1000)
    index = ExactIndex(f_GxF, meshes.make_mesh())
    with futures.ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda p: index.search(f_PxF[p : p + 1], 5).row_PxK[0], range(32)))
    np.testing.assert_array_equal(found, brute_force(f_PxF, f_GxF, 5)[0])


@pytest.mark.parametrize('count', [1, 2, 63, 64, 65, 1000])
@pytest.mark.parametrize('k', [1, 7])
def test_the_same_as_brute_force(count, k):
    assert_same(features(5), features(count), min(k, count), block=64)


def test_many_probes_and_what_streams_through():
    gallery, probes = features(700), features(150)
    for device_bytes in (0, 64 * 16 * 4 * 3, 1 << 30):
        assert_same(probes, gallery, 10, block=64, device_bytes=device_bytes)


def test_blocks_that_fit_on_the_device_are_sent_once_and_only_when_needed(monkeypatch):
    sent = []
    block = ExactIndex._block
    monkeypatch.setattr(ExactIndex, '_block', lambda *args: sent.append(args[-1]) or block(*args))
    index = ExactIndex(features(700), meshes.make_mesh(), block=64, device_bytes=64 * 16 * 4 * 3)
    index.search(features(1), 10)  # by numpy
    assert not sent
    for starts in (range(0, 700, 64), range(192, 700, 64)):
        index.search(features(5), 10)
        assert sent == [*starts]
        sent.clear()


def test_large_blocks_whose_best_are_chosen_by_groups():
    assert_same(features(5), features(20_000), 10, block=8192)
    equals = features(300)[RNG.integers(0, 300, 20_000)]
    assert_same(features(5), equals, 40, block=8192)


def test_equals_come_in_the_gallerys_order():
    gallery = features(50)[RNG.integers(0, 50, 3000)]  # sixty copies of each, in any block
    assert_same(features(9), gallery, 100, block=256)


def test_more_equals_than_nominees():
    gallery = np.repeat(features(1), 900, axis=0)
    found = ExactIndex(gallery, meshes.make_mesh(), block=128).search(gallery[:1], 5)
    assert found.row_PxK.tolist() == [[0, 1, 2, 3, 4]]


def test_what_float32_cannot_tell_apart_is_told_apart():
    """Neighbours that differ by less than a float32 score can show."""
    probe = np.full((1, 64), 0.125, np.float32)
    gallery = np.repeat(probe, 400, axis=0)
    gallery[np.arange(400), RNG.integers(0, 64, 400)] += RNG.permutation(400) * np.float32(2e-9)
    gallery[:, 5] *= 1 + np.float32(2**-23) * RNG.integers(0, 4, 400).astype(np.float32)
    assert_same(probe, gallery, 20, block=64)


def test_only_the_allowed_are_found():
    gallery, allowed = features(300), RNG.random(300) < 0.3
    assert_same(features(4), gallery, 10, allowed, block=64)
    few = np.zeros(300, bool)
    few[[7, 99]] = True
    found = ExactIndex(gallery, meshes.make_mesh()).search(features(3), 5, few)
    assert {tuple(sorted(row[:2])) for row in found.row_PxK.tolist()} == {(7, 99)}
    assert (found.row_PxK[:, 2:] == -1).all()
    assert np.isneginf(found.score_PxK[:, 2:]).all()


def test_an_empty_gallery_or_no_probes_find_nothing():
    mesh = meshes.make_mesh()
    assert ExactIndex(features(0), mesh).search(features(2), 3).row_PxK.tolist() == [[-1] * 3] * 2
    assert ExactIndex(features(5), mesh).search(features(0), 3).row_PxK.shape == (0, 3)


def test_what_is_no_number_is_refused():
    bad = features(4)
    bad[2, 3] = np.nan
    with pytest.raises(ValueError, match='1 features are not finite'):
        ExactIndex(bad, meshes.make_mesh())
    for gallery in (features(4), features(0)):
        with pytest.raises(ValueError, match='probe'):
            ExactIndex(gallery, meshes.make_mesh()).search(bad, 1)
    with pytest.raises(ValueError, match='1 or more'):
        ExactIndex(features(4), meshes.make_mesh()).search(features(1), 0)


@pytest.mark.parametrize('count', [1663, 1664, 1665, 1791, 9000])
@pytest.mark.parametrize('probes', [1, 4])
def test_few_probes_by_numpy_the_same_as_brute_force(count, probes):
    """From 1,664 rows on, 10 entries and the spare ones come from the best groups of 64 rows."""
    gallery = features(count)
    gallery[RNG.integers(0, count, count // 2)] = gallery[0]  # many equals
    allowed = RNG.random(count) < 0.5
    for probe_PxF in (features(probes), gallery[:probes]):
        assert_same(probe_PxF, gallery, 10, block=64)
        assert_same(probe_PxF, gallery, 10, allowed, block=64)
        assert_same(probe_PxF, gallery[::-1], 10, block=1 << 15)


def test_one_probe_has_the_answer_it_has_among_many():
    gallery, probes = features(3000), features(9)
    index = ExactIndex(gallery, meshes.make_mesh(), block=256)
    together = index.search(probes, 10)
    for p in range(9):
        alone = index.search(probes[p : p + 1], 10)
        assert alone.row_PxK.tolist() == together.row_PxK[p : p + 1].tolist()
        assert alone.score_PxK.tolist() == together.score_PxK[p : p + 1].tolist()


_ON_EIGHT_DEVICES = """
import jax
from tests.gallery import test_exact_search as tests
assert jax.device_count() == 8
tests.test_equals_come_in_the_gallerys_order()
tests.test_only_the_allowed_are_found()
"""


def test_the_same_on_eight_devices():
    here = pathlib.Path(__file__).resolve().parents[2]
    flags = '--xla_force_host_platform_device_count=8'
    environment = {**os.environ, 'XLA_FLAGS': flags, 'JAX_PLATFORMS': 'cpu'}
    run = [sys.executable, '-c', _ON_EIGHT_DEVICES]
    done = subprocess.run(
        run, cwd=here, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
