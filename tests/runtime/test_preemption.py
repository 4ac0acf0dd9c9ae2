"""SIGTERM to one of two hosts: all stop at one step and save, and go on as if nothing had been."""

import json
import os
import runpy
import shutil
import signal

import jax
import numpy as np
import pytest

from diface_jax.runtime import preemption
from diface_jax.training import loop
from diface_jax.training.checkpoint import Checkpoints
from tests import population, subprocesses

STEPS, SIGNALLED = 8, 6

CONFIG = f"""
from tests import tiny

def get_config():
    config = tiny.config()
    config.train.update(num_steps={STEPS}, eval_every=4, steps_per_dispatch=1)
    config.data.root = 'population'
    return config
"""

# The program as a launcher starts it, but for its data, and for the signal that one host gets.
MAIN = """
import os, pathlib, runpy, signal
from diface_jax import main
from diface_jax.cli import pipeline
from diface_jax.runtime.settings import Settings
from diface_jax.training import loop
from tests import population

config, workdir, signalled, uninterrupted = sys.argv[1:]
pipeline._load_train_data = lambda config, workdir: population.prepared()
checked = loop._checked

def with_signal(metrics, steps_before, size):
    # The metrics of a step are read once the next one has started.
    if steps_before + 2 >= int(signalled) > 0 and JOIN[2] == 1:
        os.kill(os.getpid(), signal.SIGTERM)
    return checked(metrics, steps_before, size)

loop._checked = with_signal
names = ('coordinator', 'num_processes', 'process_id')
join = [f'--{name}={value}' for name, value in zip(names, JOIN)]
sys.argv[1:] = ['--mode=train', f'--config={config}', f'--workdir={workdir}', *join]
try:
    main.cli()
except SystemExit as end:
    if end.code:
        raise
settings = Settings.from_config(runpy.run_path(config)['get_config']())
loop.train(settings, population.prepared(), pathlib.Path(uninterrupted))
"""

# Goes on from a copy, on four devices of one host, the networks cut in two.
CUT = """
import pathlib, runpy
from diface_jax.training import loop
from tests import population

settings = runpy.run_path(sys.argv[1])['get_config']()
settings.mesh.model = 2
loop.train(settings, population.prepared(), pathlib.Path(sys.argv[2]))
"""


@pytest.fixture(scope='module')
def config(tmp_path_factory):
    path = tmp_path_factory.mktemp('config') / 'config.py'
    path.write_text(CONFIG)
    return path


@pytest.fixture(scope='module')
def stopped(config, tmp_path_factory):
    """The workdir of a run on two hosts of two devices, and what they said."""
    workdir = tmp_path_factory.mktemp('stopped')
    given = (config, workdir, SIGNALLED, '')
    host = {'devices': 2, 'processes': 2, 'join': False}
    said = subprocesses.run(MAIN, *given, **host, exit_code=preemption.EXIT_CODE)
    return workdir, said


@pytest.fixture(scope='module')
def resumed(config, stopped, tmp_path_factory):
    """That run gone on with to its end, and one that was never stopped."""
    workdir, uninterrupted = (tmp_path_factory.mktemp(name) for name in ('resumed', 'whole'))
    shutil.copytree(stopped[0], workdir, dirs_exist_ok=True)
    given = (config, workdir, 0, uninterrupted)
    subprocesses.run(MAIN, *given, devices=2, processes=2, join=False)
    return workdir, uninterrupted


def lines(workdir):
    return [json.loads(line) for line in (workdir / 'metrics.jsonl').read_text().splitlines()]


def latest(workdir):
    """The newest checkpoint: its step, its note, and its state on one device."""
    place = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    with Checkpoints(workdir / 'checkpoints') as checkpoints:
        step = checkpoints.latest()
        note = checkpoints.note(step)
        settings = loop.ml_collections.ConfigDict(note['settings'])
        shapes = jax.eval_shape(
            lambda: loop.states.init_state(
                settings, loop.ModelSizes(*note['sizes']), jax.random.key(0)
            )
        )
        like = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place), shapes
        )
        return step, note, checkpoints.restore(step, like)


def test_all_hosts_stop_at_one_step_and_save(stopped):
    workdir, said = stopped
    assert all(
        f'SIGTERM: saved at step {SIGNALLED};' in one and 'Traceback' not in one for one in said
    )
    step, note, state = latest(workdir)
    assert step == state.step == SIGNALLED
    assert 'metrics' not in note
    assert [line['step'] for line in lines(workdir)] == [4]
    assert not (workdir / 'training.json').exists()


def test_it_goes_on_as_if_it_had_not_been_stopped(resumed):
    """Bit for bit: parameters, optimisers, and every line of the metrics."""
    assert lines(resumed[0]) == lines(resumed[1])
    assert (resumed[0] / 'training.json').read_text() == (resumed[1] / 'training.json').read_text()
    for one, other in zip(*(jax.tree.leaves(latest(path)) for path in resumed), strict=True):
        np.testing.assert_array_equal(one, other)


def assert_close(workdir, other):
    for one, whole in zip(lines(workdir), lines(other), strict=True):
        assert one == pytest.approx(whole, rel=1e-3, abs=1e-4)
    for one, whole in zip(*(jax.tree.leaves(latest(w)[2]) for w in (workdir, other)), strict=True):
        np.testing.assert_allclose(one, whole, rtol=1e-3, atol=1e-5)


def test_it_goes_on_on_one_device(config, stopped, resumed, tmp_path):
    shutil.copytree(stopped[0], tmp_path, dirs_exist_ok=True)
    settings = runpy.run_path(config)['get_config']()
    loop.train(settings, population.prepared(), tmp_path)
    assert_close(tmp_path, resumed[1])


def test_it_goes_on_on_four_devices_with_the_networks_cut(config, stopped, resumed, tmp_path):
    shutil.copytree(stopped[0], tmp_path, dirs_exist_ok=True)
    subprocesses.run(CUT, config, tmp_path, devices=4)
    assert_close(tmp_path, resumed[1])


@pytest.fixture
def listening():
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in the background
    preemption.install_handlers()
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
    preemption._Notice.terminated = preemption._Notice.interrupted = False


def send(number):
    os.kill(os.getpid(), number)


def test_outside_of_training_sigterm_stops_at_once(listening):
    with pytest.raises(preemption.Preempted) as stop:
        send(signal.SIGTERM)
    assert not stop.value.everywhere
    assert stop.value.exit_code == preemption.EXIT_CODE


def test_outside_of_training_ctrl_c_stops_at_once(listening):
    with pytest.raises(KeyboardInterrupt):
        send(signal.SIGINT)


@pytest.mark.parametrize(
    ('number', 'exit_code', 'name'),
    [(signal.SIGTERM, 75, 'SIGTERM'), (signal.SIGINT, 130, 'Ctrl-C')],
)
def test_between_steps_the_first_signal_waits(listening, number, exit_code, name):
    asked = []

    def work():
        with preemption.between_steps():
            asked.append(preemption.stop_now())
            send(number)
            asked.append(preemption.stop_now())

    with pytest.raises(preemption.Preempted, match=f'stopped by {name}') as stop:
        work()
    assert asked == [False, True]
    assert stop.value.everywhere
    assert stop.value.exit_code == exit_code


def test_between_steps_the_second_ctrl_c_stops_at_once(listening):
    def work():
        with preemption.between_steps():
            send(signal.SIGINT)
            send(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        work()


@pytest.mark.parametrize(('mode', 'resumes'), [('prepare', True), ('search', False)])
def test_ctrl_c_promises_to_continue_only_where_work_is_kept(mode, resumes):
    assert ('the same command continues' in preemption.interrupt_message(mode)) == resumes
