"""The joint step: the same on any devices, and each loss moves what it should."""

import json

import jax
import numpy as np
import pytest

from diface_jax.costs.hlo import matmul_flops
from diface_jax.data.batches import Batch
from diface_jax.models.normalise import Normalisation
from diface_jax.runtime import mesh as meshes
from diface_jax.training import loop, state
from diface_jax.training.input_pipeline import InputPipeline, TrainingTable
from diface_jax.training.step import make_steps
from tests import population, subprocesses, tiny


def run(config, num_steps):
    """Joint steps on the small population, with observations, on all devices.

    Returns parameters before and after, and metrics.
    """
    split = population.observed(population.prepared().splits['train'])
    mesh = meshes.make_mesh(config.mesh.model)
    table = loop.training_table(split, Normalisation.fit(split.embedding_NxD, (16,)))
    feed = InputPipeline(
        table, loop.training_batches(split, config), mesh, config.train.data_on_device
    )
    sizes = loop.model_sizes(split)
    now = state.init_sharded(config, sizes, mesh, config.mesh.fsdp)
    steps = make_steps(config, sizes, mesh)
    before = meshes.fetch_from_mesh(now.params)
    for batches in feed.dispatches(0, [num_steps // 2, num_steps - num_steps // 2]):
        now, metrics = steps(now, batches, feed.table, jax.random.key(0))
    return (
        before,
        meshes.fetch_from_mesh(now.params),
        {k: float(v) for k, v in metrics.mean.items()},
    )


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
    before, after, metrics = run(config, 4)
    assert moved(before, after, 'score')
    assert moved(before, after, 'refine') == (which == 'refine')
    assert (metrics['grad_norm/refine'] > 0) == (which == 'refine')


DEVICES = 4
CUT_AND_STREAMED = {'mesh.fsdp': True, 'mesh.model': 2, 'train.data_on_device': False}


def ten_steps(changes):
    """The loss, and all parameters in a row."""
    config = tiny.config()
    config.update_from_flattened_dict(changes)
    _, params, metrics = run(config, 10)
    flat = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(params)])
    return metrics['loss'], flat


IN_A_PROCESS = """
import json
import numpy as np
from tests.training.test_step import DEVICES, ten_steps
loss, flat = ten_steps(json.loads(sys.argv[1]))
np.savez(f'{sys.argv[2]}/{jax.process_index()}.npz', loss=loss, flat=flat)
assert jax.device_count() == DEVICES
"""


RESIDENT_AND_STREAMED = """
os.environ['XLA_FLAGS'] = '--xla_backend_optimization_level=0'
import numpy as np
from tests.training.test_step import ten_steps
(loss, flat), (streamed_loss, streamed) = map(ten_steps, ({}, {'train.data_on_device': False}))
assert loss == streamed_loss
np.testing.assert_array_equal(flat, streamed)
"""


@pytest.fixture(scope='module')
def on_one_device():
    return ten_steps({})


@pytest.mark.parametrize(
    ('changes', 'processes'), [({}, 1), (CUT_AND_STREAMED, 2)], ids=['replicated', 'cut']
)
def test_any_devices_take_the_same_steps(tmp_path, on_one_device, changes, processes):
    """Ten joint steps on one device and on four: loss and parameters, within 1e-5."""
    given = json.dumps(changes), tmp_path
    subprocesses.run(IN_A_PROCESS, *given, devices=DEVICES // processes, processes=processes)
    loss, flat = on_one_device
    for process in range(processes):
        found = np.load(tmp_path / f'{process}.npz')
        assert found['loss'] == pytest.approx(loss, rel=1e-5)
        np.testing.assert_allclose(found['flat'], flat, atol=1e-5)


def test_streamed_equals_resident():
    """On one device, bit for bit, as XLA compiles for users: the tests' flags round otherwise."""
    subprocesses.run(RESIDENT_AND_STREAMED, devices=1)


def test_bfloat16_is_close_to_float32(on_one_device):
    """The losses of ten steps agree to its precision; parameters stay float32."""
    loss, flat = on_one_device
    rough, rough_flat = ten_steps({'train.compute_dtype': 'bfloat16'})
    assert rough != loss
    assert rough == pytest.approx(loss, rel=0.01)
    assert rough_flat.dtype == np.float32
    np.testing.assert_allclose(rough_flat, flat, atol=0.02)


def step_flops(condition_dim):
    """FLOPs of matrix products of a step on texts of this width."""
    config, sizes, numbers = tiny.config(), state.ModelSizes(16, condition_dim, 60), np.int32
    array = jax.ShapeDtypeStruct
    table = TrainingTable(
        x0_NxD=array((60, 16), np.float32),
        identity_N=array((60,), numbers),
        c_TxC=array((60, condition_dim), np.float32),
        sentence_T=array((60,), numbers),
    )
    batches = Batch(*[array((1, config.train.batch_size), numbers)] * 3)
    key = jax.random.key(0)
    now = jax.eval_shape(lambda key: state.init_state(config, sizes, key), key)
    return matmul_flops(
        make_steps(config, sizes, meshes.make_mesh()).trace(now, batches, table, key)
    )


def test_both_losses_share_one_gradient():
    """Texts go through one product forwards and one for its weights' gradient, not two for each.

    A third is traced and not compiled, as nothing uses it.
    """
    rows, width = 16, 16
    products_a_row = (step_flops(48) - step_flops(24)) / (2 * rows * width * (48 - 24))
    assert 2 <= products_a_row < 3.5


@pytest.mark.parametrize('name', ['sgd', 'adamwx'])
def test_an_optimiser_that_does_not_fit(name):
    config = tiny.config()
    config.optimiser.score.name = name
    with pytest.raises(ValueError, match='optax'):
        state.make_optimisers(config.optimiser, config.train.num_steps)
