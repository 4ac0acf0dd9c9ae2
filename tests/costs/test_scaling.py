"""The rules that carry a config to more chips, and what that should take."""

import functools

import jax
import jax.numpy as jnp
import pytest

from configs import celeba
from diface_jax.costs import scaling
from diface_jax.data.batches import Batch
from diface_jax.runtime import mesh as meshes
from diface_jax.training import state as states
from diface_jax.training.input_pipeline import TrainingTable
from diface_jax.training.step import make_steps

SIZES = states.ModelSizes(384, 2304, 100)


def enlarged(photos=11_414, batch_size=512, width=256, depth=3):
    config = celeba.get_config()
    scaling.scale_config(config, photos, batch_size, width, depth)
    return config


def test_nothing_larger_changes_nothing_but_names_adams_defaults():
    config, base = enlarged().to_dict(), celeba.get_config().to_dict()
    for name in ('score', 'refine'):
        options = config['optimiser'][name]['options']
        assert options.pop('b1') == pytest.approx(0.9)
        assert options.pop('b2') == pytest.approx(0.999)
    assert config == base


def test_four_times_the_batch():
    config, base = enlarged(batch_size=2048), celeba.get_config()
    optimiser = config.optimiser.refine
    assert optimiser.learning_rate == pytest.approx(2 * base.optimiser.refine.learning_rate)
    assert (optimiser.options.b1, optimiser.options.b2) == pytest.approx((0.6, 0.996))
    # As many photos seen, and an average that remembers as many of them.
    assert config.train.num_steps * 2048 == base.train.num_steps * 512
    assert config.train.ema_decay == pytest.approx(base.train.ema_decay**4)


def test_every_photo_is_seen_as_often():
    config = enlarged(photos=162_770)
    assert config.train.num_steps == pytest.approx(2000 * 162_770 / 11_414, abs=1)
    assert config.train.num_steps / config.train.eval_every == pytest.approx(10, rel=0.01)


def test_a_wider_network_learns_more_slowly_and_r_does_not():
    config = enlarged(width=1024)
    assert config.optimiser.score.learning_rate == pytest.approx(1e-3 / 4)
    assert config.optimiser.refine.learning_rate == pytest.approx(1e-3)


def test_momentum_ends_where_the_batch_outgrows_it():
    assert enlarged(photos=162_770, batch_size=8192).optimiser.score.options.b1 == 0.0


def test_the_rule_is_for_adamw():
    config = celeba.get_config()
    config.optimiser.score.name = 'sgd'
    with pytest.raises(ValueError, match='adamw'):
        scaling.scale_config(config, 11_414, 512, 256, 3)


def flops_of_the_step(config):
    """As XLA counts them in the step's program."""
    array, numbers = jax.ShapeDtypeStruct, jnp.int32
    batches = Batch(*(array((1, config.train.batch_size), numbers) for _ in range(3)))
    table = TrainingTable(
        x0_NxD=array((4000, SIZES.embedding_dim), jnp.float32),
        identity_N=array((4000,), numbers),
        c_TxC=array((8000, SIZES.condition_dim), jnp.float32),
        sentence_T=array((8000,), numbers),
    )
    state = jax.eval_shape(functools.partial(states.init_state, config, SIZES), jax.random.key(0))
    key = jax.eval_shape(lambda: jax.random.key(0))
    steps = make_steps(config, SIZES, meshes.make_mesh())
    return steps.lower(state, batches, table, key).cost_analysis()['flops']


def test_flops_are_as_xla_counts_them():
    config = enlarged(width=128, depth=1)
    plan = scaling.predict(config, SIZES, photos=4000, chips=1, chip=scaling.TPU_V6E)
    assert plan.flops == pytest.approx(flops_of_the_step(config), rel=0.1)


def test_time_by_hand():
    chip = scaling.Chip('made up', 100e12, 1e9, 1e12, 1e11, 2e10, utilisation=0.5)
    config = celeba.get_config()
    plan = scaling.predict(config, SIZES, photos=100, chips=4, chip=chip)
    assert plan.compute_seconds == pytest.approx(plan.flops / 4 / 50e12)
    assert plan.memory_seconds == pytest.approx(plan.parameters * 36 / 0.5e12)
    gradients = plan.parameters * 4 * 2 * 3 / 4
    ring = 4 * 512 * (3 * 384 + 11)  # its count is compared with a program's beside the loss
    assert plan.link_seconds == pytest.approx(gradients / 0.5e11 + ring / 1e10)
    assert plan.data_bytes == (100 * 385 + 500 * 2305) * 4 / 4
