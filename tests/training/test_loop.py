"""Training end to end on a small population: it learns, resumes bit for bit, and keeps its word."""

import dataclasses
import json
import os
import shutil
import signal

import jax
import numpy as np
import pytest

from diface_jax.runtime import preemption, run_state
from diface_jax.training import loaded_model, loop
from diface_jax.training.checkpoint import METRIC, Checkpoints, DamagedCheckpointError
from tests import population, tiny


@pytest.fixture(scope='module')
def data():
    return population.prepared()


@pytest.fixture(scope='module')
def finished(data, tmp_path_factory):
    workdir = tmp_path_factory.mktemp('finished')
    loop.train(tiny.config(), data, workdir)
    return workdir


def leaves(workdir):
    model = loaded_model.load_best_checkpoint(workdir)
    return [np.asarray(leaf) for leaf in jax.tree.leaves(model.params)]


def lines(workdir):
    return [json.loads(line) for line in (workdir / 'metrics.jsonl').read_text().splitlines()]


def test_it_learns(data, tmp_path):
    config = tiny.config()
    config.train.update(num_steps=200, eval_every=50, steps_per_dispatch=10)
    for name in ('score', 'refine'):
        config.optimiser[name].update(learning_rate=0.01, warmup_steps=10)
    loop.train(config, data, tmp_path)
    values = [line[METRIC] for line in lines(tmp_path)]
    # Chance is 0.5.
    assert values[-1] > 0.8
    assert lines(tmp_path)[-1]['loss/refine'] < lines(tmp_path)[0]['loss/refine']


def test_losses_and_gradients_are_logged_apart(finished):
    last = lines(finished)[-1]
    assert {'loss/denoise', 'loss/refine', 'weight/denoise', 'weight/refine'} <= last.keys()
    assert last['loss'] == pytest.approx(last['loss/denoise'] + last['loss/refine'], rel=1e-5)
    assert all(last[name] > 0 for name in last if name.startswith('grad_norm/'))


class Killed(Exception):
    """Stands for the machine being taken away."""


def test_killed_and_resumed_equals_uninterrupted(data, tmp_path, finished, monkeypatch):
    """Bit for bit: parameters, and every line of the metrics."""
    real, calls = loop.MetricsLog.write, []

    def write_then_die(self, step, metrics):
        real(self, step, metrics)
        calls.append(step)
        if len(calls) == 3:
            raise Killed

    monkeypatch.setattr(loop.MetricsLog, 'write', write_then_die)
    with pytest.raises(Killed):
        loop.train(tiny.config(), data, tmp_path)
    monkeypatch.undo()
    # Step 15 was logged, but its checkpoint is not there: it is done again.
    assert [line['step'] for line in lines(tmp_path)] == [5, 10, 15]
    loop.train(tiny.config(), data, tmp_path)
    assert lines(tmp_path) == lines(finished)
    for resumed, whole in zip(leaves(tmp_path), leaves(finished), strict=True):
        np.testing.assert_array_equal(resumed, whole)


@pytest.mark.filterwarnings(
    'ignore::pytest.PytestUnraisableExceptionWarning', 'ignore:coroutine:RuntimeWarning'
)
def test_a_damaged_checkpoint_is_not_gone_on_from_and_the_one_before_is(data, tmp_path, finished):
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    files = [path for path in (tmp_path / 'checkpoints' / '20').rglob('*') if path.is_file()]
    max(files, key=lambda path: path.stat().st_size).write_bytes(b'')
    (tmp_path / 'training.json').unlink()
    with pytest.raises(DamagedCheckpointError, match=r'20 is damaged.*--resume_from=15'):
        loop.train(tiny.config(), data, tmp_path)
    assert lines(tmp_path) == lines(finished)
    with pytest.raises(ValueError, match=r'no checkpoint of step 7 in .* there are \['):
        loop.train(tiny.config(), data, tmp_path, resume_from=7)
    loop.train(tiny.config(), data, tmp_path, resume_from=15)
    assert lines(tmp_path) == lines(finished)
    for resumed, whole in zip(leaves(tmp_path), leaves(finished), strict=True):
        np.testing.assert_array_equal(resumed, whole)


def test_done_is_done(data, finished, caplog):
    before = (finished / 'metrics.jsonl').read_text()
    loop.train(tiny.config(), data, finished)
    assert (finished / 'metrics.jsonl').read_text() == before


def test_other_settings_are_named(data, finished):
    config = tiny.config()
    config.optimiser.score.learning_rate = 0.5
    with pytest.raises(
        run_state.SettingsDifferError, match=r'optimiser.score.learning_rate: 0.001 -> 0.5'
    ):
        loop.train(config, data, finished)


def test_a_checkpoint_carries_what_is_needed(data, finished):
    model = loaded_model.load_best_checkpoint(finished)
    assert set(model.thresholds) == {
        f'{t}/{p}/{i}'
        for t in ('grammar-100', 'human')
        for p in ('cross', 'same')
        for i in ('random', 'same_gender')
    }
    assert model.encoders == data.card['encoders']
    assert model.config.model.score.width == 16
    mean = data.splits['train'].embedding_NxD.mean(axis=0)
    np.testing.assert_allclose(model.normalise.mean_D, mean, rtol=1e-6)


def test_latest_and_best_are_kept(data, finished):
    with Checkpoints(finished / 'checkpoints') as checkpoints:
        best, latest = checkpoints.best(), checkpoints.latest()
    values = {line['step']: line[METRIC] for line in lines(finished)}
    assert latest == max(values)
    assert values[best] == max(values.values())


def test_stops_when_validation_stops_rising(data, tmp_path):
    config = tiny.config()
    config.train.update(patience=5, num_steps=1000, steps_per_dispatch=5)
    config.optimiser.score.learning_rate = config.optimiser.refine.learning_rate = 0.0
    loop.train(config, data, tmp_path)
    assert json.loads((tmp_path / 'training.json').read_text())['steps'] == 10


def test_a_run_that_stopped_early_says_that_patience_must_be_raised(data, tmp_path):
    config = tiny.config()
    config.train.update(patience=5, num_steps=10)
    settings = loop.training_settings(config, data)
    done = {'best_step': 5, 'steps': 10, 'why': '', 'settings': settings, METRIC: 0.5}
    run_state.write_json(tmp_path / 'training.json', done)
    config.train.num_steps = 20
    with pytest.raises(
        run_state.SettingsDifferError, match=r'raise train.patience above 5 as well'
    ):
        loop.train(config, data, tmp_path)
    config.train.patience = 6
    assert not loop._is_done(tmp_path / 'training.json', loop.training_settings(config, data))
    config.train.num_steps = 9
    with pytest.raises(run_state.SettingsDifferError, match=r'train.num_steps: 10 -> 9'):
        loop.train(config, data, tmp_path)


def test_a_finished_run_is_trained_on_when_num_steps_is_raised(data, tmp_path, finished):
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    config = tiny.config()
    config.train.num_steps = 23
    loop.train(config, data, tmp_path)
    assert lines(tmp_path)[:4] == lines(finished)
    assert [line['step'] for line in lines(tmp_path)] == [5, 10, 15, 20, 23]
    assert json.loads((tmp_path / 'training.json').read_text())['steps'] == 23
    config.train.num_steps = 28  # 23 is no multiple of eval_every
    loop.train(config, data, tmp_path)
    assert [line['step'] for line in lines(tmp_path)][4:] == [23, 25, 28]
    assert lines(tmp_path)[-2]['weight/denoise'] == 1.0  # a mean, of two steps


@pytest.fixture
def listening():
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in the background
    preemption.install_handlers()
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
    preemption._Notice.interrupted = False


def test_ctrl_c_saves_and_the_same_command_continues_bit_for_bit(
    data, tmp_path, finished, listening, monkeypatch
):
    checked = loop._checked

    def ctrl_c_once_step_7_is_checked(metrics, steps_before, size):
        if steps_before == 5:
            os.kill(os.getpid(), signal.SIGINT)
        return checked(metrics, steps_before, size)

    monkeypatch.setattr(loop, '_checked', ctrl_c_once_step_7_is_checked)
    with pytest.raises(preemption.Preempted, match=r'Ctrl-C: saved at step 9; the same command'):
        loop.train(tiny.config(), data, tmp_path)
    preemption._Notice.interrupted = False
    monkeypatch.undo()
    loop.train(tiny.config(), data, tmp_path)
    assert lines(tmp_path) == lines(finished)
    for resumed, whole in zip(leaves(tmp_path), leaves(finished), strict=True):
        np.testing.assert_array_equal(resumed, whole)


def test_of_equal_validations_the_best_step_told_is_the_one_loaded(data, tmp_path, monkeypatch):
    judge = loop.ValidationPairs.judge

    def level(self, features):
        validation = judge(self, features)
        return validation._replace(metrics=validation.metrics | {METRIC: 0.75})

    monkeypatch.setattr(loop.ValidationPairs, 'judge', level)
    loop.train(tiny.config(), data, tmp_path)
    told = json.loads((tmp_path / 'training.json').read_text())['best_step']
    assert told == loaded_model.load_best_checkpoint(tmp_path).step == 5


def nonfinite(**first_nonfinite):
    """Metrics of a dispatch of 4 steps in which these were first not finite."""
    first = dict.fromkeys(loop._CAUSES, 4) | first_nonfinite
    return loop.DispatchMetrics(dict.fromkeys(first, np.float32(1)), first)


@pytest.mark.parametrize(
    ('first', 'said'),
    [
        ({'loss/refine': 1, 'loss': 1, 'loss/denoise': 2}, r'step 12: the refinement loss .of R.'),
        ({'grad_norm/score': 0, 'loss': 1}, r"step 11: D's gradient .*optimiser\.score"),
        ({'grad_norm/refine': 3}, r"step 14: R's gradient .*optimiser\.refine\.learning_rate"),
    ],
)
def test_a_loss_that_is_not_a_number_says_which_and_at_which_step(first, said):
    with pytest.raises(FloatingPointError, match=said):
        loop._checked(nonfinite(**first), 10, 4)


def test_a_weight_that_is_not_a_number_is_named_at_the_first_step(data, tmp_path):
    config = tiny.config()
    config.loss_weight.denoise = float('nan')
    with pytest.raises(FloatingPointError, match=r'step 1: loss_weight\.denoise .*finite value'):
        loop.train(config, data, tmp_path)


def test_a_text_condition_that_is_not_a_number_is_named_by_its_photo(data):
    split = data.splits['train']
    c_TxC = split.c_TxC.copy()
    c_TxC[3, 0] = np.nan
    bad = dataclasses.replace(split, c_TxC=c_TxC)
    photo = str(split.file_N[split.photo_T[3]])
    with pytest.raises(ValueError, match=f'of 1 training sentences is NaN .* of photo {photo}'):
        loop.training_table(bad, lambda embedding_NxD: embedding_NxD)


def test_same_photo_weight_zero_with_people_of_one_photo_is_refused_by_its_key(data):
    split = data.splits['train']
    with pytest.raises(ValueError, match=r'contrast\.same_photo_weight=0'):
        loop._check_same_photo_weight(0, split)
    loop._check_same_photo_weight(0.5, split)


def test_too_few_texts_for_a_batch(data, tmp_path):
    config = tiny.config()
    config.train.batch_size = 4096
    with pytest.raises(ValueError, match='smaller batch'):
        loop.train(config, data, tmp_path)


def test_no_model():
    with pytest.raises(FileNotFoundError, match='--mode=train'):
        loaded_model.load_best_checkpoint(loop.pathlib.Path('nowhere'))


def test_a_model_of_version_0_1_is_refused_with_what_to_do(tmp_path):
    settings = tiny.config().to_dict()
    settings['contrast']['own_weight'] = settings['contrast'].pop('same_photo_weight')
    with Checkpoints(tmp_path / 'checkpoints') as checkpoints:
        arrays = {'w': np.zeros(3, np.float32)}
        state = loop.states.TrainState(np.int32(1), arrays, arrays, {})
        note = {'settings': run_state.to_plain_json(settings), 'metrics': {METRIC: 0.5}}
        checkpoints.save(1, state, note)
    with pytest.raises(ValueError, match=r'version 0\.1.*contrast\.own_weight.*another --workdir'):
        loaded_model.load_best_checkpoint(tmp_path)


LINEAR_EPS_COSFACE = {
    'model.score.prediction': 'eps',
    'diffusion.schedule': 'linear',
    'diffusion.num_levels': 0,
    'margin.kind': 'cosface',
}
V_FEW_STEPS_ARCFACE_LION = {
    'model.score.prediction': 'v',
    'contrast.num_steps': 2,
    'margin.kind': 'arcface',
    'optimiser.score.name': 'lion',
}


@pytest.mark.parametrize('change', [LINEAR_EPS_COSFACE, V_FEW_STEPS_ARCFACE_LION])
def test_every_variant_trains(data, tmp_path, change):
    config = tiny.config()
    config.update_from_flattened_dict(change)
    config.train.update(num_steps=4, eval_every=4)
    loop.train(config, data, tmp_path)
    assert np.isfinite(lines(tmp_path)[-1]['loss'])
