"""Image-level retrieval: which captions are asked, and who competes."""

import numpy as np

from diface_jax.evaluation import retrieval
from diface_jax.evaluation.protocols import Repetitions
from diface_jax.models.features import Features
from diface_jax.runtime import mesh as meshes
from tests import population


def test_first_captions_of_each_photo():
    photo_T = np.array([0, 0, 0, 1, 2, 2, 2, 2])
    texts = np.array([1, 2, 3, 4, 5, 7])
    np.testing.assert_array_equal(retrieval.first_captions(photo_T, texts), [1, 2, 3, 4, 5])


def test_other_photos_of_the_person_compete():
    """An oracle of people finds the photo by chance among those of its person."""
    split = population.split(0, 30)
    people = np.unique(split.identity_N, return_inverse=True)[1]
    who = np.eye(people.max() + 1)[people]
    rows = list(
        retrieval.retrieval_rows(
            {'oracle': Features(who[split.photo_T], who)},
            split,
            {'human': split.texts('human')},
            Repetitions(draws=1, resamples=20, seed=0),
            meshes.make_mesh(),
        )
    )
    assert rows[0]['metric'] == 'recall@1'
    assert rows[0]['value'] == np.mean(np.bincount(people)[people] == 1)
    assert rows[0]['captions'] == len(split.texts('human'))
    assert rows[0]['photos'] == len(split.file_N)
    assert rows[1]['value'] == 1.0
