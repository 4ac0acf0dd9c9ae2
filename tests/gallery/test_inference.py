"""Where a gallery meets the encoders and the model: the real encoders, an untrained model."""

import dataclasses
import itertools
import pathlib

import jax
import numpy as np
import pytest

from diface_jax import model as models
from diface_jax.data import prepared
from diface_jax.data.encoder_bundle import EncoderBundle
from diface_jax.encoders.face import align, dlib_resnet, quality
from diface_jax.encoders.face.appearance import Appearance
from diface_jax.encoders.face.encoder import build_face_encoder
from diface_jax.encoders.text.condition import ConditionEncoder, Standardisation
from diface_jax.encoders.text.encoder import load_text_encoder
from diface_jax.encoders.text.pooling import POOLS
from diface_jax.gallery import calibrate, inference, store
from diface_jax.models.diface import Sampling, build_model
from diface_jax.models.normalise import Normalisation
from diface_jax.runtime import mesh as meshes
from diface_jax.runtime import run_state
from diface_jax.training import state as states
from diface_jax.training.loaded_model import LoadedModel
from tests import population, tiny
from tests.gallery import world

pytest.importorskip('dlib', reason="needs pip install 'diface_jax[faces]'")

WIDTH = dlib_resnet.WIDTH + 4
TEXTS = ['a man with a beard', 'a young woman', 'a person']


@pytest.fixture(scope='module')
def encoders():
    """Encoders that were fitted to noise."""
    rng = np.random.default_rng(0)
    maps = sum(dlib_resnet.block_widths(dlib_resnet.load_dlib_resnet(), 2))
    looks = Appearance(np.zeros(maps, np.float32), rng.standard_normal((maps, 4), np.float32))
    standard = Standardisation.fit(rng.standard_normal((20, POOLS * 384)), POOLS)
    face = build_face_encoder(('dlib', 'appearance'), looks)
    return EncoderBundle(face, ConditionEncoder(load_text_encoder(), standard))


@pytest.fixture(scope='module')
def trained(encoders):
    config = tiny.config()
    sizes = states.ModelSizes(WIDTH, POOLS * 384, 4)
    return LoadedModel(
        name='untrained',
        sha256='00',
        step=1,
        model=build_model(
            config.model, config.diffusion.schedule, sizes.embedding_dim, sizes.condition_dim
        ),
        params=states.init_sharded(config, sizes, meshes.make_mesh()).average,
        normalise=Normalisation(np.full(WIDTH, 0.01, np.float32), (dlib_resnet.WIDTH, 4)),
        thresholds={'human/cross/random': 0.3},
        encoders=encoders.description,
        settings=run_state.to_plain_json(config.to_dict()),
    )


@pytest.fixture(scope='module')
def with_photos(trained):
    """A model that takes photos as probes."""
    config, quality_dim = tiny.config(), len(quality.NAMES)
    sizes = states.ModelSizes(WIDTH, POOLS * 384, 4, quality_dim)
    model = build_model(config.model, config.diffusion.schedule, *sizes[:2], quality_dim)
    params = states.init_sharded(config, sizes, meshes.make_mesh()).average
    return dataclasses.replace(trained, model=model, params=params)


@pytest.fixture(scope='module')
def encoded(trained, encoders):
    return inference.InferenceModel(trained, encoders)


def test_a_text_is_the_same_whatever_stands_beside_it(encoded):
    def features(texts):
        """Computed, not those that are kept."""
        return encoded.of_probes(encoded.conditions(texts), None)

    together = features(TEXTS)
    assert np.allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    for text, f_F in zip(TEXTS, together, strict=True):
        np.testing.assert_allclose(features([text])[0], f_F, atol=1e-5)
    np.testing.assert_allclose(features(TEXTS[::-1])[::-1], together, atol=1e-5)
    np.testing.assert_array_equal(encoded.of_texts(TEXTS), together)
    assert np.abs(together[0] - together[1]).max() > 1e-3


def test_features_of_the_last_texts_are_kept(trained, encoders, monkeypatch):
    encoded, computed = inference.InferenceModel(trained, encoders), []
    monkeypatch.setattr(inference, '_RECENT', 2)
    monkeypatch.setattr(
        encoded, 'conditions', lambda texts: computed.append(texts) or np.ones((len(texts), 1))
    )
    monkeypatch.setattr(encoded, 'of_probes', lambda c_BxC, _: c_BxC)
    for texts in (['a', 'b', 'a'], ['b', 'a'], ['c'], ['a'], ['b']):
        assert encoded.of_texts(texts).shape == (len(texts), 1)
    assert computed == [['a', 'b'], ['c'], ['b']]


def test_a_model_of_texts_takes_no_photo(encoded):
    assert not encoded.takes_photos
    with pytest.raises(ValueError, match='a text, a photo, or both'):
        encoded.of_probes(None, None)


def test_a_probe_is_a_text_a_photo_or_both(with_photos, encoders):
    """None of the probes depends on the others."""
    encoded = inference.InferenceModel(with_photos, encoders)
    assert encoded.takes_photos
    rng = np.random.default_rng(0)
    chips = list(rng.integers(0, 255, (2, 3, 150, 150, 3), np.uint8))
    observation, c_TxC = encoded.observe(chips, [12.0, 80.0]), encoded.conditions(TEXTS[:2])
    assert observation.quality_BxQ.shape == (2, len(quality.NAMES))
    probes = [(c_TxC, None), (None, observation), (c_TxC, observation)]
    features = [encoded.of_probes(*probe) for probe in probes]
    for f_BxF in features:
        assert np.allclose(np.linalg.norm(f_BxF, axis=1), 1, atol=1e-5)
    for one, other in itertools.combinations(features, 2):
        assert np.abs(one - other).max() > 1e-3
    second = jax.tree.map(lambda rows: rows[1:], observation)
    f_F = encoded.of_probes(c_TxC[1:], second)[0]
    np.testing.assert_allclose(f_F, features[2][1], atol=1e-5)


def test_a_text_that_is_too_long_is_cut_at_a_word_without_a_warning(encoded, caplog):
    text = 'a man with a short beard, ' * 60
    read, cut = encoded.split(text)
    assert read
    assert read + ' ' + cut == text
    np.testing.assert_array_equal(encoded.of_texts([text]), encoded.of_texts([read]))
    assert not caplog.records
    assert encoded.is_token('man')
    assert not encoded.is_token('qwzxy')


def test_faces_become_unit_features(encoded):
    rng = np.random.default_rng(0)
    chips = list(rng.integers(0, 255, (3, 3, 150, 150, 3), np.uint8))
    embedding_NxD = encoded.embed(chips)
    assert embedding_NxD.shape == (3, encoded.width)
    assert encoded.embed([]).shape == (0, encoded.width)
    f_NxF = encoded.of_photos(embedding_NxD)
    assert np.allclose(np.linalg.norm(f_NxF, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(encoded.of_photos(embedding_NxD[1:2]), f_NxF[1:2], atol=1e-5)


def test_validation_photos_are_probes_at_each_level(with_photos, monkeypatch):
    monkeypatch.setattr(prepared, 'load_prepared', lambda folder: wide_population())
    sampling = Sampling(num_steps=1)
    model = calibrate.ValidationModel(with_photos, sampling, pathlib.Path('prepared'))
    scores = model.validation()
    assert set(scores.with_photo) == {'photo', 'text+photo'}
    texts = calibrate.calibration_texts(scores.data, scores.texts)
    for levels in scores.with_photo.values():
        assert [each.face_px for each in levels] == pytest.approx([64.0, 32.0])
        assert np.isfinite([each.threshold for each in levels]).all()
    f_PxF, *others = (
        each.features.text_TxF[texts] for levels in scores.with_photo.values() for each in levels
    )
    assert np.allclose(np.linalg.norm(f_PxF, axis=1), 1, atol=1e-5)
    for other_PxF in others:
        assert np.abs(f_PxF - other_PxF).max() > 1e-3


def test_another_sampling_changes_texts_and_thresholds_but_no_photo(
    trained, encoded, encoders, monkeypatch
):
    sampling = Sampling(num_steps=2, num_samples=1)
    sampled = inference.InferenceModel(trained, encoders, sampling)
    embedding_NxD = np.random.default_rng(0).standard_normal((2, WIDTH)).astype(np.float32)
    np.testing.assert_array_equal(
        sampled.of_photos(embedding_NxD), encoded.of_photos(embedding_NxD)
    )
    assert np.abs(sampled.of_texts(TEXTS) - encoded.of_texts(TEXTS)).max() > 1e-3
    assert (sampled.model, sampled.face_encoder) == (encoded.model, encoded.face_encoder)
    monkeypatch.setattr(prepared, 'load_prepared', lambda folder: wide_population())
    validated, resampled = (
        calibrate.ValidationModel(trained, model.sampling, pathlib.Path('prepared')).validation()
        for model in (encoded, sampled)
    )
    assert validated.thresholds == trained.thresholds
    assert 'grammar-100/cross/random' in resampled.thresholds
    assert resampled.thresholds != trained.thresholds
    assert resampled.texts.tolist() == validated.texts.tolist()


def wide_population():
    """A prepared data set with embeddings and conditions as wide as the model's."""
    data = population.prepared()
    split = data.splits['validation']
    rng = np.random.default_rng(0)
    embedding_NxD = rng.standard_normal((len(split.identity_N), WIDTH)).astype(np.float32)
    c_TxC = rng.standard_normal((len(split.photo_T), POOLS * 384)).astype(np.float32)
    wide = dataclasses.replace(split, embedding_NxD=embedding_NxD, c_TxC=c_TxC)
    wide = population.observed(wide, qualities=len(quality.NAMES))
    return dataclasses.replace(data, splits={**data.splits, 'validation': wide})


def test_other_encoders_than_it_was_trained_with_are_refused(trained, encoders):
    face, text = trained.encoders['face'], trained.encoders['text']
    for made_with in (
        {'face': [{**face[0], 'sha256': '00'}, face[1]], 'text': text},
        {'face': face, 'text': {**text, 'sha256': '00'}},
    ):
        with pytest.raises(run_state.SettingsDifferError, match='sha256'):
            inference.InferenceModel(dataclasses.replace(trained, encoders=made_with), encoders)


def test_real_photographs(shared, encoded, tmp_path):
    """Enrolled, and every one found again by what is said of its own face."""
    photos = sorted((shared / 'data/photos').iterdir())[:3]
    model, gallery = models.Model(encoded, world.decision_rule), tmp_path / 'gallery'
    for folder in photos:
        model.enroll(gallery, next(folder.iterdir()), people=True)
    with store.Store(gallery) as opened:
        entries = opened.entries(opened.where({}).tolist())
        id_G, f_GxF, _ = opened.features()
        assert all(opened.picture(number)[:2] == b'\xff\xd8' for number in id_G)
    assert {entry.person for entry in entries} >= {folder.name for folder in photos}
    encoded_by_itself = encoded.of_photos(encoded.embed([chip_of(entries[0].photo)]))
    np.testing.assert_allclose(f_GxF[0], encoded_by_itself[0], atol=1e-5)
    answer = model.search(gallery, 'a man with a beard', k=len(entries))
    assert sorted(found.entry.id for found in answer.results) == id_G.tolist()
    f_F = encoded.of_texts(['a man with a beard'])[0]
    expected = id_G[np.argsort(-(f_GxF.astype(float) @ f_F.astype(float)), kind='stable')]
    assert [found.entry.id for found in answer.results] == expected.tolist()


def test_a_real_photograph_is_searched_by(shared, with_photos, encoders, tmp_path):
    """The score is that of its own chips and width, beside the words."""
    photo, text = max((shared / 'data/celeba/img_align_celeba').glob('*.jpg')), 'a young woman'
    encoded = inference.InferenceModel(with_photos, encoders)
    model, gallery = models.Model(encoded, world.decision_rule), tmp_path / 'gallery'
    model.enroll(gallery, photo)
    chips = chip_of(photo)
    face = align.detect(align.decode(photo.read_bytes()))[0]
    observation = encoded.observe([chips], [align.face_width(face.landmarks_5x2)])
    f_F = encoded.of_probes(encoded.conditions([text]), observation)[0]
    answer = model.search(gallery, text, photo=photo)
    expected = encoded.of_photos(encoded.embed([chips]))[0] @ f_F
    assert answer.results[0].scored.score == pytest.approx(expected, abs=1e-5)
    assert sum(answer.probe.shares) == pytest.approx(1.0)


def chip_of(photo):
    with open(photo, 'rb') as file:
        return align.align_every_face(align.decode(file.read()))[0][1]
