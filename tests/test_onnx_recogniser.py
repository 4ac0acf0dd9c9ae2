"""A recogniser in an ONNX file from photographs to a search, with what a user sees on the way."""

import shutil

import numpy as np
import pytest
from PIL import Image

import diface_jax
from diface_jax.cli import pipeline
from diface_jax.data import prepare, prepared
from diface_jax.encoders.face import dlib_resnet
from diface_jax.gallery import calibrate
from diface_jax.models.diface import build_model
from diface_jax.models.normalise import Normalisation
from diface_jax.pretrained import write_pack
from diface_jax.runtime import mesh as meshes
from diface_jax.runtime import run_state
from diface_jax.training import loaded_model
from diface_jax.training import loop as training_loop
from diface_jax.training import state as states
from tests import celeba_tree, drawn_face, onnx_graphs, tiny
from tests.gallery import world

pytest.importorskip('dlib', reason="needs pip install 'diface_jax[faces]'")
pytest.importorskip('onnxruntime', reason="needs pip install 'diface_jax[onnx]'")


@pytest.fixture(scope='module')
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp('data')
    celeba_tree.make(folder / 'drawn', people=(9, 2, 2), photos=2, attributes=('Male', 'Young'))
    config = tiny.config()
    config.data.root = str(folder / 'drawn')
    config.encoders.face = (f'onnx:{onnx_graphs.write(folder / "tiny.onnx")}',)
    config.encoders.accept_licence = 'our own'
    config.degraded.per_photo = 1
    return config


@pytest.fixture(scope='module')
def workdir(config, tmp_path_factory):
    """Prepared photographs; `untrained` takes the place of the checkpoint."""
    workdir = tmp_path_factory.mktemp('work')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dlib_resnet, 'load_dlib_resnet', None)  # E is not dlib's
        pipeline.run_pipeline('prepare', config, workdir, overwrite=False)
    (workdir / 'checkpoints').mkdir()
    return workdir


@pytest.fixture(scope='module')
def untrained(config, data):
    """A model with the weights that training starts from: its programs take long to compile."""
    sizes = training_loop.model_sizes(data.splits['train'])
    normalise = Normalisation.fit(data.splits['train'].embedding_NxD, data.widths)
    params = states.init_sharded(config, sizes, meshes.make_mesh()).average
    return loaded_model.LoadedModel(
        name='untrained',
        sha256=loaded_model.sha256_of_model(params, normalise),
        step=0,
        model=build_model(config.model, config.diffusion.schedule, *sizes[:2], sizes.quality_dim),
        params=params,
        normalise=normalise,
        thresholds={'human/cross/random': 0.3},
        encoders=data.card['encoders'],
        settings=training_loop.training_settings(config, data),
    )


@pytest.fixture
def model_folder(workdir, untrained, monkeypatch):
    """The workdir, with `untrained` as its best checkpoint."""
    for module in (loaded_model, write_pack):
        monkeypatch.setattr(module, 'load_best_checkpoint', lambda folder: untrained)
    # That of a world where a model can learn something; drawn people have random labels.
    for name in ('load_or_calibrate', 'fit_decision_rule'):
        monkeypatch.setattr(calibrate, name, lambda *arguments: world.decision_rule())
    return workdir


@pytest.fixture(scope='module')
def data(config, workdir):
    return prepared.load_prepared(prepare.find_prepared(config, config.data, workdir / 'prepared'))


def test_photographs_are_embedded_and_the_licence_is_recorded(data):
    assert data.widths == (onnx_graphs.WIDTH,)
    assert data.splits['train'].embedding_NxD.std(axis=0).min() > 0
    face, text = data.card['licences']
    assert (face['name'], face['licence']) == ('onnx:tiny.onnx', 'our own, as the user states')
    assert face['sha256'] == data.card['encoders']['face'][0]['sha256']
    assert text['licence'].lower() == 'apache-2.0'


def test_poor_photographs_are_aligned_in_the_same_way(data):
    test = data.splits['test']
    x_NxD, observed_NxLxD = test.embedding_NxD, test.observations.observed_LxD
    distance_NxL = np.linalg.norm(observed_NxLxD - x_NxD[:, None], axis=2)
    length_Nx1 = np.linalg.norm(x_NxD, axis=1, keepdims=True)
    np.testing.assert_allclose((distance_NxL / length_Nx1)[:, 0], 0, atol=1e-3)
    assert np.all(distance_NxL[:, 1:] < 0.15 * length_Nx1)


def test_photographs_are_enrolled_and_searched(model_folder, tmp_path):
    model, gallery = diface_jax.load(model_folder), tmp_path / 'gallery'
    for name, side in (('ann', 200), ('bob', 240)):
        (tmp_path / 'photos' / name).mkdir(parents=True)
        Image.fromarray(drawn_face.draw(side)).save(tmp_path / 'photos' / name / 'photo.png')
    report = model.enroll(gallery, tmp_path / 'photos', people=True)
    assert (report.faces, report.problems) == (2, {})
    answer = model.search(gallery, 'a man with a beard', k=2)
    assert {found.entry.person for found in answer.results} == {'ann', 'bob'}
    # An export of embeddings of the same recogniser needs no photographs.
    vectors = np.random.default_rng(0).standard_normal((3, onnx_graphs.WIDTH)).astype(np.float32)
    np.savez(tmp_path / 'vectors.npz', id=['a', 'b', 'c'], embedding=vectors)
    assert model.enroll_embeddings(gallery, tmp_path / 'vectors.npz').faces == 3


def test_a_pack_takes_the_file_from_its_own_folder(config, model_folder, tmp_path):
    pack, photo = tmp_path / 'pack', tmp_path / 'photo.png'
    Image.fromarray(drawn_face.draw(200)).save(photo)
    report = write_pack.write_pack(model_folder, pack)
    assert report.files == ('tiny.onnx',)
    assert 'copy there too, if its licence allows: tiny.onnx' in str(report)
    card = (pack / 'MODEL_CARD.md').read_text()
    assert '| onnx:tiny.onnx | our own, as the user states |' in card
    with pytest.raises(FileNotFoundError, match=r'tiny\.onnx of this model .* is not in .*pack'):
        diface_jax.load(pack).enroll(tmp_path / 'gallery', photo)
    shutil.copy(config.encoders.face[0].removeprefix('onnx:'), pack)
    assert diface_jax.load(pack).enroll(tmp_path / 'gallery', photo).faces == 1


def test_prepare_refuses_an_unknown_licence(config, tmp_path):
    refused = config.copy_and_resolve_references()
    refused.encoders.accept_licence = ''
    with pytest.raises(ValueError, match=r'onnx:tiny.onnx is unknown.*accept_licence=NAME'):
        prepare.prepare(refused, refused.data, tmp_path / 'prepared')


def test_another_file_is_another_encoder(config, workdir, tmp_path):
    changed = config.copy_and_resolve_references()
    other = onnx_graphs.write(tmp_path / 'tiny.onnx', first=[('Mul', 2.0)])
    changed.encoders.face = (f'onnx:{other}',)
    with pytest.raises(run_state.SettingsDifferError, match=r'encoders\.face.*sha256'):
        prepare.prepare(changed, changed.data, workdir / 'prepared')


def test_settings_of_dlib_alone_are_those_of_earlier_versions(config, tmp_path, monkeypatch):
    """So their prepared data is used on, whichever way E is given."""
    written = []
    monkeypatch.setattr(prepare, '_write', lambda *arguments: written.append(arguments[2]))
    for face, appearance_dim in ((('dlib', 'appearance'), 0), (('dlib',), 256)):
        changed = config.copy_and_resolve_references()
        changed.encoders.update(face=face, appearance_dim=appearance_dim, accept_licence='')
        prepare.prepare(changed, changed.data, tmp_path / 'prepared')
    first, second = (root_and_settings['settings']['encoders'] for root_and_settings in written)
    assert first == second
    assert set(first) == {
        *('text', 'text_layers', 'appearance_dim', 'dlib_sha256', 'text_sha256', 'alignment'),
    }
    assert first['appearance_dim'] == 0
