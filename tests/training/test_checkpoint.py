"""Checkpoints: whole or not at all, and what is damaged is never used."""

import itertools
import multiprocessing
import pathlib
import random
import resource
import shutil
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diface_jax.training.checkpoint import METRIC, Checkpoints, DamagedCheckpointError
from diface_jax.training.state import TrainState

KILLS = 10

orbax_gives_up_midway = pytest.mark.filterwarnings(
    'ignore::pytest.PytestUnraisableExceptionWarning', 'ignore:coroutine:RuntimeWarning'
)


def state(step, size=300):
    """Every number tells the step."""
    params = {'w': jnp.full((size, 3), step, jnp.float32)}
    average = {'w': jnp.arange(size * 3, dtype=jnp.float32).reshape(size, 3) + step}
    return TrainState(jnp.int32(step), params, average, {'count': jnp.int32(step)})


def note(step, metric=0.5):
    return {'best': [step, metric], 'metrics': {METRIC: metric}, 'thresholds': {'a': 0.125}}


def saved(folder, steps=(1, 2, 3)):
    with Checkpoints(folder) as checkpoints:
        for step in steps:
            checkpoints.save(step, state(step), note(step))
    return folder


def restored(checkpoints, step, size=300):
    place = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    like = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place),
        state(step, size),
    )
    return checkpoints.restore(step, like)


def assert_same(found, expected):
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.fixture(scope='module')
def three(tmp_path_factory):
    return saved(tmp_path_factory.mktemp('three') / 'checkpoints')


def test_what_is_restored_is_what_was_saved(three):
    with Checkpoints(three) as checkpoints:
        assert_same(restored(checkpoints, 3), state(3))
        assert checkpoints.note(3) == note(3)


def test_the_latest_two_and_the_best_are_kept(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        for step, metric in ((1, 0.6), (2, 0.9), (3, 0.7), (4, 0.8)):
            checkpoints.save(step, state(step), note(step, metric))
        # One that was not judged is kept while it is new, and is never the best.
        for step in (5, 6, 7):
            checkpoints.save(step, state(step), {'best': [2, 0.9]})
        assert (checkpoints.best(), checkpoints.latest()) == (2, 7)
    assert sorted(int(path.name) for path in tmp_path.iterdir()) == [2, 6, 7]


def test_none_was_judged(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(5, state(5), {'best': [0, 0.0]})
        assert (checkpoints.best(), checkpoints.latest()) == (None, 5)


def test_loading_leaves_alone_what_a_running_training_is_writing(three, tmp_path):
    shutil.copytree(three, tmp_path, dirs_exist_ok=True)
    being_written = tmp_path / '4.orbax-checkpoint-tmp' / 'metrics' / 'metrics'
    being_written.parent.mkdir(parents=True)
    being_written.touch()
    with Checkpoints(tmp_path, read_only=True) as checkpoints:
        assert (checkpoints.best(), checkpoints.latest()) == (1, 3)
        assert_same(restored(checkpoints, 1), state(1))
    assert being_written.is_file()


def damaged(three, tmp_path):
    """A copy, and the files of its newest checkpoint."""
    shutil.copytree(three, tmp_path / 'copy')
    return tmp_path / 'copy', [p for p in (tmp_path / 'copy' / '3').rglob('*') if p.is_file()]


def flip(path, place):
    content = bytearray(path.read_bytes())
    content[int(place * (len(content) - 1))] ^= 0x10
    path.write_bytes(content)


@orbax_gives_up_midway
def test_a_changed_bit_anywhere_is_found_or_harmless(three, tmp_path):
    folder, files = damaged(three, tmp_path)
    found = {}
    for path, place in itertools.product(files, (0.0, 0.3, 0.6, 0.9)):
        whole = path.read_bytes()
        flip(path, place)
        try:
            with Checkpoints(folder) as checkpoints:
                assert checkpoints.note(3) == note(3)
                assert_same(restored(checkpoints, 3), state(3))
        except DamagedCheckpointError as error:
            found[path] = str(error)
        path.write_bytes(whole)
    assert all('copy/3 is damaged' in told for told in found.values())
    # What holds the numbers is among them, not only what describes them.
    assert max(files, key=lambda path: path.stat().st_size) in found


@orbax_gives_up_midway
@pytest.mark.parametrize('damage', [lambda path: path.unlink(), lambda path: path.write_bytes(b'')])
def test_a_damaged_one_is_named_and_the_one_before_is_offered(three, tmp_path, damage):
    folder, files = damaged(three, tmp_path)
    damage(max(files, key=lambda path: path.stat().st_size))
    with Checkpoints(folder) as checkpoints:
        with pytest.raises(DamagedCheckpointError, match=r'copy/3 is damaged.*--resume_from=2'):
            restored(checkpoints, 3)
        assert_same(restored(checkpoints, 2), state(2))
        checkpoints.delete_after(2)
        assert checkpoints.latest() == 2


def test_a_step_that_is_not_there(three):
    # All are equally good: the first is kept as the best.
    missing = pytest.raises(ValueError, match=r'there are \[1, 2, 3\]')
    with Checkpoints(three) as checkpoints, missing:
        checkpoints.note(7)


def save_for_ever(folder, pipe):
    """Goes on from what is there, if it is whole, and saves without end."""
    with Checkpoints(pathlib.Path(folder)) as checkpoints:
        step = checkpoints.latest() or 0
        if step:
            assert_same(restored(checkpoints, step), state(step))
        pipe.send(step)
        while True:
            step += 1
            checkpoints.save(step, state(step), note(step))
            pipe.send(step)  # it is being written; the one before is whole


@pytest.fixture(scope='module')
def spawn():
    """Starts a function in a process of its own, fast: what it imports is imported already."""
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(['tests.training.test_checkpoint'])

    def start(target, *arguments):
        here, there = context.Pipe()
        process = context.Process(target=target, args=(*map(str, arguments), there))
        process.start()
        there.close()
        return process, here

    return start


def heard(pipe):
    assert pipe.poll(60)
    return pipe.recv()


def test_killed_while_saving_it_goes_on_from_a_whole_one(spawn, tmp_path):
    rng, steps, whole = random.Random(0), [], []
    for _ in range(KILLS):
        process, pipe = spawn(save_for_ever, tmp_path)
        steps.append(heard(pipe))
        for _ in range(rng.randint(1, 3)):
            begun = heard(pipe)
        time.sleep(rng.uniform(0, 0.05))
        process.kill()
        process.join()
        whole.append(begun - 1)
    with Checkpoints(tmp_path) as checkpoints:
        steps.append(checkpoints.latest())
        assert_same(restored(checkpoints, steps[-1]), state(steps[-1]))
    # Each time from the newest that was whole, or from the one that was being written.
    assert all(step >= known for step, known in zip(steps[1:], whole, strict=True))
    assert steps[-1] > KILLS / 2


def save_on_a_full_disk(folder, pipe):
    """No file may grow beyond 100 kB; the state is larger."""
    with Checkpoints(pathlib.Path(folder)) as checkpoints:
        checkpoints.save(1, state(1, 10), note(1))
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    rng = np.random.default_rng(0)
    large = state(2, 10).replace(params={'w': jnp.asarray(rng.random((1000, 100)), jnp.float32)})
    try:
        with Checkpoints(pathlib.Path(folder)) as checkpoints:
            checkpoints.save(2, large, note(2))
    except OSError as error:
        pipe.send(str(error))
    pipe.close()


def test_a_full_disk_is_a_clear_error_and_what_was_there_is_whole(spawn, tmp_path):
    process, pipe = spawn(save_on_a_full_disk, tmp_path)
    assert 'make room' in heard(pipe)
    process.join()
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.latest() == 1
        assert_same(restored(checkpoints, 1, 10), state(1, 10))
