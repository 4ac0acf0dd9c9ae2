"""Scores rank as the features that they are of, whatever their scale."""

import numpy as np
import pytest

from diface_jax.evaluation import identification, retrieval
from diface_jax.evaluation.protocols import Repetitions
from diface_jax.evaluation.score_matrix import ScoreMatrix
from diface_jax.models.features import Features
from diface_jax.runtime import mesh as meshes
from tests import population

EFFORT = Repetitions(draws=2, resamples=20, seed=0)


@pytest.fixture(scope='module')
def split():
    return population.split(0, 30)


@pytest.fixture(scope='module')
def methods(split):
    """Features of whole numbers, whose scores tie; their scores; and those on another scale."""
    rng = np.random.default_rng(0)
    text = rng.integers(-2, 3, (len(split.photo_T), 6)).astype(np.float32)
    photo = rng.integers(-2, 3, (len(split.file_N), 6)).astype(np.float32)
    score = text @ photo.T
    return {
        'features': Features(text, photo),
        'scores': ScoreMatrix.of(score),
        'near 0': ScoreMatrix.of(np.exp(score.astype(float) - 60)),
    }


def numbers(rows, method):
    kept = ('method', 'ci95', 'sd')
    return [
        {key: value for key, value in row.items() if key not in kept}
        for row in rows
        if row['method'] == method
    ]


def test_all_ranks_are_those_of_the_features(split, methods):
    texts = split.texts('human')
    found = identification.identification_results(
        methods, split, 'human', texts, (10, 0), EFFORT, meshes.make_mesh()
    )
    # The open set compares scores of different probes: scaled features differ in the last bits.
    rows = [row for row in found.rows if not row['metric'].startswith('dir@')]
    for method in ('scores', 'near 0'):
        assert numbers(rows, method) == numbers(rows, 'features')
        assert numbers(found.rows, method) == numbers(found.rows, 'scores')


def plain_cmc(score_PxG, mate_P, ks):
    """Shares of probes whose mate is among the first k, counted one by one; ties count half."""
    ranks = [
        1 + np.sum(score_G > score_G[mate]) + (np.sum(score_G == score_G[mate]) - 1) / 2
        for score_G, mate in zip(score_PxG, mate_P, strict=True)
    ]
    return [np.mean(np.array(ranks) <= k) for k in ks]


@pytest.mark.parametrize('seed', range(4))
@pytest.mark.parametrize('levels', [2, 7, 10_000])  # the fewer, the more scores are equal
def test_ranks_are_those_of_a_plain_cmc(split, seed, levels):
    rng = np.random.default_rng(seed)
    shape = len(split.photo_T), len(split.file_N)
    score_TxN = rng.integers(0, levels, shape) / 7
    texts, ks = split.texts('human'), retrieval.RANKS
    rows = retrieval.retrieval_rows(
        {'any': ScoreMatrix.of(score_TxN)}, split, {'human': texts}, EFFORT, meshes.make_mesh()
    )
    captions = retrieval.first_captions(split.photo_T, texts)
    expected = plain_cmc(score_TxN[captions], split.photo_T[captions], ks)
    assert [row['value'] for row in rows] == pytest.approx(expected)
    search = identification.gallery_draws(split, texts, 'same', [30], EFFORT)[0].draw
    cmc = plain_cmc(score_TxN[np.ix_(search.text_P, search.photo_I)], search.person_P, (1, 5, 10))
    effort = EFFORT._replace(draws=1)
    found = identification.identification_results(
        {'any': ScoreMatrix.of(score_TxN)}, split, 'human', texts, (0,), effort, meshes.make_mesh()
    ).rows
    one = [r for r in found if (r['protocol'], r['photos']) == ('same', 'one')]
    values = {row['metric']: row['value'] for row in one}
    assert [values[f'rank@{k}'] for k in (1, 5, 10)] == pytest.approx(cmc)
