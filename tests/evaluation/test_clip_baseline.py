"""The CLIP baseline: which photo and sentence a row is of, and what the linear head learns."""

import dataclasses
import types

import numpy as np
import pytest

from diface_jax.data import sharded_work
from diface_jax.data.face_crops import FaceCrops
from diface_jax.data.prepared import Prepared, Split
from diface_jax.evaluation import methods
from diface_jax.evaluation.clip_baseline import ClipBaseline
from diface_jax.models.features import unit_rows
from diface_jax.training.model_selection import ValidationPairs
from tests import celeba_tree, tiny

WIDTH, PHOTOS = 6, 2
SPLITS = {'train': 14, 'validation': 4, 'test': 4}  # people
MIX = np.random.default_rng(0).normal(size=(WIDTH, WIDTH))


def person_vector(person):
    """What texts and photos of a person have in common."""
    return np.random.default_rng(person).normal(size=WIDTH)


class FakeClip:
    """Knows whom a text and a crop are of; in the vectors of photos that is mixed up."""

    name, sha256, licence = 'fake', 'ab', 'mit'

    def __init__(self):
        self.calls = []

    def embed_texts(self, sentences):
        self.calls.append('texts')
        return np.stack([person_vector(int(text.split()[-1])) for text in sentences])

    def embed_photos(self, chips_NxHxWx3):
        self.calls.append('photos')
        return np.stack([person_vector(chip[0, 0, 0]) @ MIX for chip in chips_NxHxWx3])


def split(first_person, people):
    person_N = np.repeat(np.arange(first_person, first_person + people), PHOTOS)
    count = len(person_N)
    return Split(
        file_N=np.array([f'{row + 1 + first_person * PHOTOS:06d}.jpg' for row in range(count)]),
        identity_N=person_N.astype(np.int32),
        embedding_NxD=np.zeros((count, 4), np.float32),
        label_NxA=np.zeros((count, 0), np.int8),
        photo_T=np.arange(count, dtype=np.int32),
        track_T=np.zeros(count, np.int8),
        coverage_T=np.ones(count, np.float32),
        text_T=np.array([f'person {person}' for person in person_N], object),
        c_TxC=np.zeros((count, 4), np.float32),
    )


@pytest.fixture
def data(tmp_path):
    root = tmp_path / 'drawn'
    celeba_tree.make(root, people=tuple(SPLITS.values()), photos=PHOTOS)
    starts = np.cumsum([0, *SPLITS.values()])
    splits = {
        name: split(start, people)
        for (name, people), start in zip(SPLITS.items(), starts, strict=False)
    }
    where = tiny.config().data.to_dict() | {'root': str(root)}
    return Prepared(splits, (), {'name': 'drawn', 'settings': {'data': where}})


@pytest.fixture(autouse=True)
def crops(monkeypatch):
    """The wide crop of a photo shows the person's number; the tight one nothing."""

    def crop(read, landmarks_5x2, file):
        chips = np.zeros((2, 4, 4, 3), np.uint8)
        chips[1] = (int(file[:6]) - 1) // PHOTOS
        return FaceCrops(chips, '')

    monkeypatch.setattr(sharded_work, 'crop_faces', crop)


@pytest.fixture
def baseline(tmp_path):
    return ClipBaseline(FakeClip(), tmp_path / 'cache')


def test_rows_are_of_their_texts_and_photos(baseline, data):
    text_TxF, photo_NxF = baseline.zero_shot(data, 'test')
    vector_NxF = np.stack([person_vector(who) for who in data.splits['test'].identity_N])
    np.testing.assert_allclose(text_TxF, unit_rows(vector_NxF))
    np.testing.assert_allclose(photo_NxF, unit_rows(vector_NxF @ MIX))
    before = list(baseline.clip.calls)
    baseline.zero_shot(data, 'test')
    ClipBaseline(baseline.clip, baseline.cache).zero_shot(data, 'test')
    assert baseline.clip.calls == before, 'embedded once, then taken from the cache'


def genuine_share(features, split):
    """Share of the texts whose best photo is of the right person."""
    best_T = (features.text_TxF @ features.photo_NxF.T).argmax(axis=1)
    return (split.identity_N[best_T] == split.identity_N[split.photo_T]).mean()


def test_a_linear_head_is_chosen_and_maps_texts_to_photos(baseline, data, monkeypatch):
    for name in ('_diface', '_two_tower', '_cca', '_ridge'):
        monkeypatch.setattr(methods.MethodSuite, name, lambda *_, **__: None)
    trained = types.SimpleNamespace(config=tiny.config())
    pairs = ValidationPairs(data, (1.0,))
    suite = methods.MethodSuite(
        tiny.config().evaluate, None, (1.0,), trained, data, pairs, baseline
    )
    table = suite.methods(())
    test = data.splits['test']
    assert genuine_share(table['clip_linear'](data, 'test'), test) == 1
    assert genuine_share(table['clip'](data, 'test'), test) < 1
    without = dataclasses.replace(suite, clip=None).methods(())
    assert table.keys() - without.keys() == {'clip', 'clip_linear'}


def test_photos_of_a_second_data_set_are_left_out(baseline, data):
    """They are not in the folder of the first one."""
    train = data.splits['train']
    joined = dataclasses.replace(
        train, file_N=np.where(np.arange(28) < 20, train.file_N, 'elsewhere.jpg'), starts=(0, 20)
    )
    data = dataclasses.replace(data, splits=data.splits | {'train': joined})
    heads = baseline.linear_heads(data, np.arange(28), (0.1,), (2,))
    assert heads.keys() == {'ridge 0.1', 'CCA 0.1, 2 directions'}
    features = heads['ridge 0.1'](data, 'train')
    assert len(features.text_TxF) == len(features.photo_NxF) == 20


def test_a_photo_without_a_face_is_named(baseline, data, monkeypatch):
    monkeypatch.setattr(sharded_work, 'crop_faces', lambda *_: FaceCrops(None, 'no face was found'))
    with pytest.raises(
        ValueError, match=r'000037\.jpg had a face when it was prepared, but now: no'
    ):
        baseline.zero_shot(data, 'test')


def test_simulated_people_are_refused(data, tmp_path):
    simulated = dataclasses.replace(data, card=data.card | {'settings': {'simulated': {}}})
    with pytest.raises(ValueError, match=r'evaluate\.clip=FOLDER needs photographs'):
        ClipBaseline.load('FOLDER', tmp_path, (data, simulated))
