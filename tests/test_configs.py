"""Every config makes a model, and says how it differs from the main one."""

import importlib
import pathlib

import pytest

from configs import celeba
from diface_jax.costs import scaling
from diface_jax.models.diface import build_model
from diface_jax.runtime import run_state
from diface_jax.training import state as states

NAMES = [path.stem for path in pathlib.Path(celeba.__file__).parent.glob('[a-z]*.py')]


@pytest.mark.parametrize('name', NAMES)
def test_a_config_makes_a_model(name):
    config = importlib.import_module(f'configs.{name}').get_config()
    widths = {'dlib': 128, 'appearance': config.encoders.appearance_dim}
    embedding_dim = sum(widths[name] for name in config.encoders.face)
    model = build_model(config.model, config.diffusion.schedule, embedding_dim, 384)
    assert model.embedding_dim == embedding_dim


def test_the_config_by_the_letter_differs_in_what_it_says():
    paper = importlib.import_module('configs.celeba_paper').get_config()
    lines = run_state.settings_differences(celeba.get_config().to_dict(), paper.to_dict())
    assert {line.split(':')[0] for line in lines} == {
        *('encoders.text_layers', 'encoders.face', 'model.refine.feature_dim'),
        *('sample.num_steps', 'sample.num_samples'),
    }


@pytest.mark.parametrize('name', ['tpu_1', 'tpu_8', 'tpu_64'])
def test_a_config_for_tpus_says_what_is_computed_of_it(name):
    module = importlib.import_module(f'configs.{name}')
    config, chips = module.get_config(), module.CHIPS
    assert name == f'tpu_{chips}'
    sizes = states.ModelSizes(embedding_dim=384, condition_dim=2304, num_identities=8192)
    plan = scaling.predict(config, sizes, module.PHOTOS, chips, scaling.TPU_V6E)
    assert scaling.prediction_summary(config, plan, chips) in module.__doc__
    assert config.train.batch_size % (8 * chips) == 0
    # Activations and the evaluation need the rest.
    assert plan.state_bytes + plan.data_bytes < scaling.TPU_V6E.memory / 2
    assert config.train.compute_dtype == 'bfloat16'
    assert config.optimiser.score.warmup_steps > 0
