"""The joint step: one device equals eight, and each loss moves what it should."""

import json
import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest

from diface_jax import parallel
from diface_jax.models.normalise import Normalisation
from diface_jax.training import loop, state
from diface_jax.training.step import make_steps
from tests import population, tiny

HERE = pathlib.Path(__file__).resolve().parents[2]


def run(config, num_steps):
    """Some joint steps on the small population, on whatever devices there are."""
    split = population.prepared().splits['train']
    mesh = parallel.make_mesh()
    everywhere = parallel.replicated(mesh)
    table = jax.device_put(
        loop.table_of(split, Normalisation.fit(split.embedding_NxD, (16,))), everywhere
    )
    sizes = loop.sizes_of(split)
    now = state.born(config, sizes, mesh)
    steps = make_steps(state.model_of(config, sizes), config, mesh)
    batches = loop.steps_of(loop.batches_of(split, config), 0, num_steps)
    before = jax.tree.map(np.asarray, now.params)
    now, metrics = steps(now, batches, table, jax.random.key(0))
    return before, jax.tree.map(np.asarray, now.params), {k: float(v) for k, v in metrics.items()}


def moved(before, after, name):
    pairs = zip(jax.tree.leaves(before[name]), jax.tree.leaves(after[name]), strict=True)
    return any(np.any(a != b) for a, b in pairs)


@pytest.mark.parametrize('which', ['denoise', 'refine'])
def test_the_denoising_loss_moves_d_alone_and_the_refinement_loss_both(which):
    config = tiny.config()
    config.loss_weight.update({'denoise': 0.0, 'refine': 0.0} | {which: 1.0})
    for name in ('score', 'refine'):
        config.optimiser[name].update(name='sgd', warmup_steps=1)
        del config.optimiser[name].options.weight_decay
    before, after, metrics = run(config, 3)
    assert moved(before, after, 'score')
    assert moved(before, after, 'refine') == (which == 'refine')
    assert metrics['grad_norm/refine_refine'] > 0


EIGHT = """
import json, sys
import jax
jax.config.update('jax_num_cpu_devices', 8)
import numpy as np
from tests import tiny
from tests.training.test_step import run
_, params, metrics = run(tiny.config(), 20)
assert jax.device_count() == 8
flat = np.concatenate([leaf.ravel() for leaf in jax.tree.leaves(params)])
np.save(sys.argv[1], flat)
print(json.dumps(metrics))
"""


def test_one_device_equals_eight(tmp_path):
    """Twenty joint steps: losses and parameters, within 1e-5."""
    done = subprocess.run(
        [sys.executable, '-c', EIGHT, tmp_path / 'params.npy'],
        cwd=HERE,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    _, params, metrics = run(tiny.config(), 20)
    eight = json.loads(done.stdout.splitlines()[-1])
    assert metrics['loss'] == pytest.approx(eight['loss'], rel=1e-5)
    flat = np.concatenate([leaf.ravel() for leaf in jax.tree.leaves(params)])
    np.testing.assert_allclose(flat, np.load(tmp_path / 'params.npy'), atol=1e-5)


@pytest.mark.parametrize('name', ['sgd', 'adamwx'])
def test_an_optimiser_that_does_not_fit(name):
    config = tiny.config()
    config.optimiser.score.name = name
    with pytest.raises(ValueError, match='optax'):
        state.optimisers(config)
