"""A recogniser in an ONNX file from photographs to a search, with what a user sees on the way."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

import diface_jax
from diface_jax.cli import pipeline
from diface_jax.data import prepare, prepared
from diface_jax.encoders.face import dlib_resnet
from diface_jax.evaluation.analysis.error_analysis import ErrorAnalysis
from diface_jax.evaluation.methods import MethodSuite
from diface_jax.gallery import calibrate
from diface_jax.pretrained.write_pack import write_pack
from diface_jax.runtime import run_state
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
    config.train.update(num_steps=4, eval_every=2)
    config.evaluate.update(draws=1, resamples=2, num_examples=0, num_failure_cases=0)
    return config


@pytest.fixture(scope='module')
def workdir(config, tmp_path_factory):
    workdir = tmp_path_factory.mktemp('work')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dlib_resnet, 'load_dlib_resnet', None)  # E is not dlib's
        # Baselines and the error analysis take seconds, and do not depend on E.
        patch.setattr(MethodSuite, 'methods', only_diface)
        no_groups = {'groups': {'rows': [], 'largest_gap': None}}
        patch.setattr(ErrorAnalysis, 'sections', lambda analysis: no_groups)
        for mode in ('prepare', 'train', 'evaluate'):
            pipeline.run_pipeline(mode, config, workdir, overwrite=False)
    return workdir


def only_diface(suite, attributes):
    return {'diface': suite._diface(suite.sampling, refined=True)}


def test_photographs_are_embedded_and_the_licence_is_recorded(config, workdir):
    folder = prepare.find_prepared(config, config.data, workdir / 'prepared')
    data = prepared.load_prepared(folder)
    assert data.widths == (onnx_graphs.WIDTH,)
    assert data.splits['train'].embedding_NxD.std(axis=0).min() > 0
    face, text = data.card['licences']
    assert (face['name'], face['licence']) == ('onnx:tiny.onnx', 'our own, as the user states')
    assert face['sha256'] == data.card['encoders']['face'][0]['sha256']
    assert text['licence'].lower() == 'apache-2.0'
    evaluation = json.loads((workdir / 'evaluation.json').read_text())
    assert {row['metric'] for row in evaluation['results']} >= {'auc', 'rank@1'}


@pytest.fixture(autouse=True)
def decision_rule(monkeypatch):
    """That of a world where a model can learn something; drawn people have random labels."""
    for name in ('load_or_calibrate', 'fit_decision_rule'):
        monkeypatch.setattr(calibrate, name, lambda *arguments: world.decision_rule())


def test_photographs_are_enrolled_and_searched(config, workdir, tmp_path):
    model, gallery = diface_jax.load(workdir), tmp_path / 'gallery'
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


def test_a_pack_takes_the_file_from_its_own_folder(config, workdir, tmp_path):
    pack, photo = tmp_path / 'pack', tmp_path / 'photo.png'
    Image.fromarray(drawn_face.draw(200)).save(photo)
    report = write_pack(workdir, pack)
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
