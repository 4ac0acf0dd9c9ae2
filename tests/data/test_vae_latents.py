"""A prepared data set with a VAE's latents: the same rows, and nobody takes it for dlib's."""

import dataclasses
import shutil

import numpy as np
import pytest

from diface_jax.data import vae_latents
from diface_jax.data.prepared import Prepared, Split
from diface_jax.data.readers import dispatch
from diface_jax.data.readers.records import SPLITS
from diface_jax.encoders.face import vae
from diface_jax.training import loop
from tests import celeba_tree, tiny
from tests.tiny_vae import settings


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp('faces') / 'drawn'
    celeba_tree.make(root, people=(5, 2, 2), photos=2)
    return root


@pytest.fixture(scope='module')
def data(root):
    """Prepared as `prepare` does it, but for E and the text encoder, which take long to load."""
    where = tiny.config().data.to_dict() | {'root': str(root)}
    source = dispatch.read_data_set(root, where['layout'], where['shares'], where['split_seed'])
    splits = {
        name: split([photo for photo in source.photos if photo.split == name]) for name in SPLITS
    }
    encoders = {'face': [{'name': 'none', 'width': 128}], 'text': {'name': 'none', 'width': 24}}
    card_settings = {'settings': {'data': where, 'encoders': encoders}}
    return Prepared(splits, (), {'name': source.name, 'encoders': encoders, **card_settings})


def split(photos):
    count = len(photos)
    return Split(
        file_N=np.array([photo.file for photo in photos]),
        identity_N=np.array([int(photo.identity) for photo in photos], np.int32),
        embedding_NxD=np.full((count, 128), np.nan, np.float32),
        label_NxA=np.zeros((count, 0), np.int8),
        photo_T=np.arange(count, dtype=np.int32),
        track_T=np.zeros(count, np.int8),
        coverage_T=np.ones(count, np.float32),
        text_T=np.array([f'text {i}' for i in range(count)], object),
        c_TxC=np.random.default_rng(0).standard_normal((count, 24)).astype(np.float32),
    )


@pytest.fixture(scope='module')
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp('cache')


@pytest.fixture(scope='module')
def latents(data, cache):
    return vae_latents.vae_latents(data, settings(), cache)


def test_the_same_rows_with_other_embeddings(data, latents):
    assert latents.splits.keys() == data.splits.keys()
    for name, split in data.splits.items():
        with_latents = latents.splits[name]
        assert with_latents.embedding_NxD.shape == (len(split.file_N), 8)
        assert np.isfinite(with_latents.embedding_NxD).all()
        for field in dataclasses.fields(split):
            if field.name != 'embedding_NxD':
                value = getattr(split, field.name)
                np.testing.assert_array_equal(getattr(with_latents, field.name), value)


def moved(data, root, to):
    """A copy of the data set in another folder, and the same preparation pointing there."""
    shutil.copytree(root, to)
    card_settings = data.card['settings']
    where = card_settings['data'] | {'root': str(to)}
    return dataclasses.replace(data, card=data.card | {'settings': card_settings | {'data': where}})


def test_a_row_is_of_its_photo_and_weights_are_of_training_photos(data, latents, root, tmp_path):
    to = tmp_path / 'moved'
    copy = moved(data, root, to)
    for name in ('validation', 'test'):
        first, second = (to / file for file in data.splits[name].file_N[:2])
        first_bytes = first.read_bytes()
        first.write_bytes(second.read_bytes())
        second.write_bytes(first_bytes)
    swapped = vae_latents.vae_latents(copy, settings(), tmp_path / 'cache')
    assert swapped.card['encoders'] == latents.card['encoders']
    for name, split in latents.splits.items():
        rows = np.arange(len(split.file_N))
        rows[:2] = rows[:2] if name == 'train' else rows[1::-1]
        np.testing.assert_array_equal(swapped.splits[name].embedding_NxD, split.embedding_NxD[rows])
        assert (split.embedding_NxD[0] != split.embedding_NxD[1]).any()


def test_a_photo_that_is_gone(data, root, tmp_path):
    copy = moved(data, root, tmp_path / 'moved')
    file = data.splits['test'].file_N[0]
    (tmp_path / 'moved' / file).unlink()
    with pytest.raises(ValueError, match=f'{file} had a face.*Put the photo back'):
        vae_latents.vae_latents(copy, settings(), tmp_path / 'cache')


def test_no_training_photos(data, tmp_path):
    only_test = dataclasses.replace(data, splits={'test': data.splits['test']})
    with pytest.raises(ValueError, match='no training photos'):
        vae_latents.vae_latents(only_test, settings(), tmp_path)


def test_the_card_names_the_vae(data, latents):
    (face,) = latents.card['encoders']['face']
    assert latents.widths == (8,)
    assert face['name'] == vae.NAME
    assert face['width'] == 8
    assert len(face['sha256']) == 64
    assert face['settings']['beta'] == 0.05
    assert latents.card['encoders']['text'] == data.card['encoders']['text']
    made_from, card_settings = (
        loop.training_settings(tiny.config(), data_set) for data_set in (data, latents)
    )
    assert card_settings != made_from
    assert latents.card['vae']['squared_error'] > 0
    assert data.card['encoders']['face'][0]['name'] != vae.NAME


def test_nothing_is_made_twice_and_interrupted_runs_go_on(data, latents, cache, monkeypatch):
    monkeypatch.setattr(vae, 'fit_vae', None)
    monkeypatch.setattr(vae, 'shrink_chips', None)
    again = vae_latents.vae_latents(data, settings(), cache)
    assert again.card == latents.card
    for name, split in latents.splits.items():
        np.testing.assert_array_equal(again.splits[name].embedding_NxD, split.embedding_NxD)
