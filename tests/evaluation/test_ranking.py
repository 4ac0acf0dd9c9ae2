"""Ranks equal brute force, on one device and on eight, in blocks of any size."""

import pathlib
import subprocess
import sys

import numpy as np
import pytest

from diface_jax.evaluation import ranking
from diface_jax.evaluation.ranking import GalleryPartitions, MateRanks, Probes
from diface_jax.runtime import mesh as meshes

HERE = pathlib.Path(__file__).resolve().parents[2]
PEOPLE, PHOTOS, PROBES = 23, 70, 31


def example():
    """Integer features, so that many scores tie exactly; some people are in no gallery."""
    rng = np.random.default_rng(0)
    person_G = np.concatenate([np.arange(PEOPLE), rng.integers(0, PEOPLE, PHOTOS - PEOPLE)])
    person_G = rng.permutation(person_G)
    gallery_SxI = np.stack([np.zeros(PEOPLE, int), rng.integers(-1, 3, PEOPLE)])
    f_GxF = rng.integers(-2, 3, (PHOTOS, 6)).astype(np.float32)
    gallery = GalleryPartitions(f_GxF, person_G, gallery_SxI, rng.random(PEOPLE) < 0.5)
    photo_P = rng.integers(0, PHOTOS, PROBES)
    hidden_P = np.where(np.bincount(person_G)[person_G[photo_P]] > 1, photo_P, -1)
    hidden_P[::2] = -1
    mate_P = np.where(hidden_P < 0, photo_P, -1)
    f_PxF = rng.integers(-2, 3, (PROBES, 6)).astype(np.float32)
    return Probes(f_PxF, person_G[photo_P], mate_P, hidden_P), gallery


def by_hand(probes, gallery):
    """What `rank_mates` returns, computed for one probe and one partition at a time."""
    longest = [np.linalg.norm(f, axis=1).max() for f in (probes.f_PxF, gallery.f_GxF)]
    score_PxG = (probes.f_PxF.astype(float) @ gallery.f_GxF.T) / np.prod(longest)
    ranks = [
        ranks_of_probe(score_PxG[p], *(field[p] for field in probes[1:]), gallery)
        for p in range(PROBES)
    ]
    return MateRanks(*(np.stack(field, axis=-1) for field in zip(*ranks, strict=True)))


def ranks_of_probe(score_G, person, mate, hidden, gallery):
    _, person_G, gallery_SxI, enrolled_I = gallery
    seen_G = np.arange(PHOTOS) != hidden
    best_I = np.array([score_G[seen_G & (person_G == i)].max() for i in range(PEOPLE)])
    own = best_I[person]
    others_I, others_G = np.arange(PEOPLE) != person, person_G != person
    ranks = []
    for gallery_I in gallery_SxI:
        level_I = others_I & (gallery_I == gallery_I[person])
        level_G = others_G & level_I[person_G]
        open_I = level_I & enrolled_I
        mate_score = own if mate < 0 else score_G[mate]
        ranks.append(
            (
                rank(best_I[level_I], own),
                rank(score_G[level_G], mate_score),
                rank(best_I[open_I], own),
                best_I[open_I].max(initial=-np.inf),
            )
        )
    return own, *(np.array(part) for part in zip(*ranks, strict=True))


def rank(competitors, mate):
    ahead = competitors - mate
    return 1 + np.sum(ahead > 1e-6) + 0.5 * np.sum(np.abs(ahead) <= 1e-6)


def assert_same(actual, expected):
    for actual_field, expected_field in zip(actual, expected, strict=True):
        np.testing.assert_allclose(actual_field, expected_field, rtol=0, atol=1e-5)


@pytest.mark.parametrize('scores', [1, 500, ranking.SCORES])
def test_as_by_hand_in_blocks_of_any_size(scores):
    probes, gallery = example()
    ranks = ranking.rank_mates(probes, gallery, meshes.make_mesh(), scores)
    assert_same(ranks, by_hand(probes, gallery))
    assert np.any(ranks.person_SxP % 1 == 0.5)


def test_with_one_photo_each_photos_rank_as_people():
    rng = np.random.default_rng(1)
    person_G = rng.permutation(PEOPLE)
    photo_I = np.argsort(person_G)
    f_GxF = rng.integers(-2, 3, (PEOPLE, 6)).astype(np.float32)
    number_1xI = rng.integers(0, 2, (1, PEOPLE))
    gallery = GalleryPartitions(f_GxF, person_G, number_1xI, np.ones(PEOPLE, bool))
    people, nobody = np.arange(PEOPLE), np.full(PEOPLE, -1)
    f_PxF = rng.integers(-2, 3, (PEOPLE, 6)).astype(np.float32)
    score_PxI = (f_PxF.astype(float) @ f_GxF[photo_I].T) / np.prod(
        [np.linalg.norm(f, axis=1).max() for f in (f_PxF, f_GxF)]
    )
    expected = [
        rank(score_PxI[p, (number_1xI[0] == number_1xI[0, p]) & (people != p)], score_PxI[p, p])
        for p in people
    ]
    for mate_P in (nobody, photo_I):
        ranks = ranking.rank_mates(
            Probes(f_PxF, people, mate_P, nobody), gallery, meshes.make_mesh()
        )
        np.testing.assert_array_equal(ranks.person_SxP[0], expected)
        np.testing.assert_array_equal(ranks.photo_SxP[0], expected)


EIGHT = """
import sys
import jax
jax.config.update('jax_num_cpu_devices', 8)
import numpy as np
from diface_jax.runtime import mesh as meshes
from diface_jax.evaluation import ranking
from tests.evaluation.test_ranking import example
assert jax.device_count() == 8
np.savez(sys.argv[1], **ranking.rank_mates(*example(), meshes.make_mesh())._asdict())
"""


def test_one_device_equals_eight(tmp_path):
    results = tmp_path / 'eight.npz'
    process = subprocess.run(
        [sys.executable, '-c', EIGHT, results],
        cwd=HERE,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    eight = np.load(results)
    one_device = ranking.rank_mates(*example(), meshes.make_mesh())
    assert_same(one_device, MateRanks(**eight))


def test_equal_features_tie_however_a_product_rounds():
    rng = np.random.default_rng(0)
    f_1xF = rng.standard_normal((1, 300))
    number = np.zeros((1, 57), int)
    gallery = GalleryPartitions(
        np.repeat(f_1xF, 57, axis=0), np.arange(57), number, np.ones(57, bool)
    )
    nobody = np.full(5, -1)
    probes = Probes(rng.standard_normal((5, 300)), np.arange(5), nobody, nobody)
    ranks = ranking.rank_mates(probes, gallery, meshes.make_mesh())
    np.testing.assert_array_equal(ranks.person_SxP, 29)
    np.testing.assert_array_equal(ranks.photo_SxP, 29)


def test_features_that_are_not_finite_are_refused():
    probes, gallery = example()
    gallery.f_GxF[3, 1] = np.nan
    with pytest.raises(ValueError, match='finite'):
        ranking.rank_mates(probes, gallery, meshes.make_mesh())
