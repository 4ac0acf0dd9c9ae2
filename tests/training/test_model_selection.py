"""What choices go by: both protocols of the first track and of people's own words."""

import dataclasses

import numpy as np
import pytest

from diface_jax.models.features import Features
from diface_jax.training.checkpoint import METRIC
from diface_jax.training.model_selection import ValidationPairs
from tests import population


def judged(data):
    split = data.splits['validation']
    features = Features(split.embedding_NxD[split.photo_T] + 1.0, split.embedding_NxD)
    return ValidationPairs(data, (1.0,)).judge(features).metrics


def mean_of(metrics, *tracks):
    return np.mean([metrics[f'{METRIC}/{t}/{p}'] for t in tracks for p in ('cross', 'same')])


def test_both_tracks_count_the_same():
    metrics = judged(population.prepared())
    assert metrics[METRIC] == pytest.approx(mean_of(metrics, 'grammar-100', 'human'))
    assert metrics[METRIC] != pytest.approx(mean_of(metrics, 'grammar-100'))


@pytest.mark.parametrize(('track', 'name'), [(0, 'grammar-100'), (1, 'human')])
def test_one_track_serves_where_the_other_is_missing(track, name):
    data = population.prepared()
    split = data.splits['validation']
    tracks = np.full_like(split.track_T, track)
    data.splits['validation'] = dataclasses.replace(split, track_T=tracks)
    metrics = judged(data)
    assert metrics[METRIC] == pytest.approx(mean_of(metrics, name))
