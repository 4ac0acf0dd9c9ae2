"""The sweep: all of the grid once, where it was goes on, and the choice by one standard error."""

import json

import pytest

from diface_jax.evaluation import sweep
from diface_jax.runtime import run_state
from diface_jax.training import loaded_model, loop
from tests import population, tiny


@pytest.fixture(scope='module')
def data():
    return population.prepared()


@pytest.fixture(scope='module')
def model(data, tmp_path_factory):
    workdir = tmp_path_factory.mktemp('trained')
    loop.train(tiny.config(), data, workdir)
    return loaded_model.load_best_checkpoint(workdir)


def rows_of(path):
    timeless = json.loads(path.read_text())['rows']
    return [{k: v for k, v in row.items() if k != 'ms_per_text'} for row in timeless]


def test_a_grid_has_each_setting_once():
    grid = tiny.config().sweep
    found = list(sweep.sampling_grid(grid))
    # Two values of K; eta has two where there are two steps.
    assert len(found) == len(set(found)) == 2 * 1 + 2 * 2
    assert [s.num_steps * s.num_samples for s in found] == sorted(
        s.num_steps * s.num_samples for s in found
    )


def test_killed_and_resumed_equals_uninterrupted(data, model, tmp_path, monkeypatch):
    whole, broken = tmp_path / 'whole.json', tmp_path / 'broken.json'
    sweep.sweep(tiny.config(), model, data, whole)
    measure, done = sweep._Bench.measure, []

    def killed(self, sampling):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(sampling)
        return measure(self, sampling)

    with monkeypatch.context() as patch:
        patch.setattr(sweep._Bench, 'measure', killed)
        with pytest.raises(KeyboardInterrupt):
            sweep.sweep(tiny.config(), model, data, broken)
    assert not json.loads(broken.read_text())['complete']
    assert rows_of(broken) == rows_of(whole)[:2]
    sweep.sweep(tiny.config(), model, data, broken)
    assert rows_of(broken) == rows_of(whole)
    before = broken.read_text()
    sweep.sweep(tiny.config(), model, data, broken)
    assert broken.read_text() == before


def test_another_grid_is_refused(data, model, tmp_path):
    config = tiny.config()
    config.sweep.update(num_steps=(1,), num_samples=(1,))
    sweep.sweep(config, model, data, tmp_path / 'sweep.json')
    config.sweep.num_texts = 10
    with pytest.raises(run_state.SettingsDifferError, match=r'sweep\.num_texts'):
        sweep.sweep(config, model, data, tmp_path / 'sweep.json')


def row(auc, ms, steps):
    about = {'num_steps': steps, 'num_samples': 1, 'guidance': 1.0, 'eta': 0.0}
    return about | {'auc': auc, 'ci95': [auc - 0.0196, auc + 0.0196], 'ms_per_text': ms}


def test_the_cheapest_within_one_standard_error_is_chosen():
    rows = [row(0.80, 1.0, 1), row(0.895, 2.0, 2), row(0.90, 9.0, 25), row(0.85, 0.5, 3)]
    chosen, why = sweep.choose_sampling(rows)
    assert chosen == {'num_steps': 2, 'num_samples': 1, 'guidance': 1.0, 'eta': 0.0}
    assert 'T~ = 2' in why
    assert '90.0%' in why
