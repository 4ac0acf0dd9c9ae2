"""Every impossible value of a setting is refused with the key's name, where a command starts."""

import math
import typing

import ml_collections
import pytest

from configs import celeba
from diface_jax.diffusion.parameterization import PREDICTIONS
from diface_jax.models.diface import COMPUTE_DTYPES
from diface_jax.runtime import config_files, schema
from diface_jax.runtime import settings as sections
from diface_jax.runtime.settings import Settings
from tests import tiny

CONFIG = celeba.get_config().to_dict()
ODD = (0, -1, 1, float('nan'), math.inf, -math.inf, 1e30, 10**400, 'many', None, [], [0.5], True)


def numeric_leaves(section, path=()):
    """Paths of all numbers, and of the numbers in tuples, of a section."""
    for key, value in section.items() if isinstance(section, dict) else enumerate(section):
        if isinstance(value, dict | tuple):
            yield from numeric_leaves(value, (*path, key))
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield (*path, key)


def changed(section, path, value):
    """A copy of a section with another value at a path."""
    if not path:
        return value
    if isinstance(section, dict):
        return section | {path[0]: changed(section[path[0]], path[1:], value)}
    return tuple(
        changed(one, path[1:], value) if i == path[0] else one for i, one in enumerate(section)
    )


def check(path, value):
    return schema.build_section(Settings, changed(CONFIG, path, value), 'config')


@pytest.mark.parametrize('name', config_files.config_names())
def test_every_config_of_the_project_can_be_used(name):
    config = config_files.load_config(name)
    settings = Settings.from_config(config)
    assert settings.train.batch_size == config.train.batch_size
    assert settings.evaluate.two_tower.num_steps == config.evaluate.two_tower.num_steps


def test_settings_hold_what_the_config_says():
    settings = Settings.from_config(tiny.config())
    assert settings.model.score.prediction == 'x0'
    assert settings.optimiser.score.options == {'weight_decay': 0.01}
    assert settings.captions.coverage == (1.0,)


def refusal(path, value):
    """The sentence by which a value is refused; empty when it is accepted."""
    try:
        check(path, value)
    except ValueError as error:
        return str(error)
    return ''


@pytest.mark.parametrize('path', list(numeric_leaves(CONFIG)), ids=str)
def test_any_value_of_any_number_is_used_or_refused_with_its_key(path):
    *sections, key = [name for name in path if isinstance(name, str)]
    for value in ODD:
        sentence = refusal(path, value)
        if isinstance(value, int | float) and abs(value) <= 1 and not sentence:
            continue
        assert sentence.startswith('.'.join(['config', *sections])), value
        assert key in sentence, value
        assert '\n' not in sentence, value


@pytest.mark.parametrize('path', list(numeric_leaves(CONFIG)), ids=str)
def test_a_number_that_is_none_is_refused(path):
    for value in (float('nan'), math.inf, 'many', [0.5]):
        with pytest.raises(ValueError, match=r'^config\..* must be .*, not '):
            check(path, value)


@pytest.mark.parametrize(
    ('key', 'value', 'sentence'),
    [
        ('train.batch_size', 0, 'config.train.batch_size must be at least 1, not 0'),
        ('train.eval_every', 0, 'config.train.eval_every must be at least 1'),
        ('train.steps_per_dispatch', 0, 'config.train.steps_per_dispatch must be at least 1'),
        ('train.num_steps', 0, 'config.train.num_steps must be at least 1'),
        ('train.num_steps', 2.5, 'config.train.num_steps must be a whole number, not 2.5'),
        ('train.data_on_device', 1, 'config.train.data_on_device must be True or False, not 1'),
        ('train.compute_dtype', 'float16', 'one of float32, bfloat16, not'),
        ('sample.num_samples', 0, 'config.sample.num_samples must be between 1 and 10000, not 0'),
        ('sample.eta', 1.5, 'config.sample.eta must be between 0 and 1, not 1.5'),
        ('sweep.eta', (0.0, 1.5), 'config.sweep.eta must be between 0 and 1, not 1.5'),
        (
            'contrast.same_photo_weight',
            0,
            'with 0 a person with a single photo has no correct match',
        ),
        (
            'evaluate.two_tower.same_photo_weight',
            0,
            'config.evaluate.two_tower.same_photo_weight must be between 0.001',
        ),
        (
            'evaluate.two_tower.eval_every',
            5000,
            'eval_every must be at most num_steps=2000, not 5000',
        ),
        ('data.shares', (0.5, 0.5), 'config.data.shares must be 3 values, not (0.5, 0.5)'),
        ('data.shares', 0.5, 'give all of them at once, as --config.data.shares="(A, B, C)"'),
        ('data.shares', (0.0, 0.0, 0.0), 'config.data.shares=(0.0, 0.0, 0.0): expected three'),
        ('sweep.num_steps', (), 'config.sweep.num_steps must be one or more values, not ()'),
        ('model.score.width', 255, 'config.model.score.width must be even, not 255'),
        ('model.score.prediction', 'x1', 'one of x0, eps, v, not'),
        ('diffusion.schedule', 'cosin', 'config.diffusion.schedule must be one of cosine, linear'),
        ('diffusion.snr_clip', (5.0, 1.0), 'config.diffusion.snr_clip must be (low, high)'),
        ('margin.kind', 'sphere', 'config.margin.kind must be one of none, cosface, arcface'),
        ('data.layout', 'celebb', 'config.data.layout must be one of auto, celeba'),
        ('optimiser.score.name', 'adamv', 'config.optimiser.score.name: optax has no optimiser'),
        ('optimiser.score.name', 'chain', 'config.optimiser.score.name: optax has no optimiser'),
        (
            'optimiser.score.options',
            {'weight_decai': 0.1},
            'config.optimiser.score.options.weight_decai is no setting: did you mean weight_decay?',
        ),
        ('loss_weight', {'denoise': 0, 'refine': 0}, 'config.loss_weight.denoise and refine are'),
        ('model', 3, 'config.model must be a section with settings of its own, not 3'),
    ],
)
def test_a_wrong_value_is_named_with_the_values_that_work(key, value, sentence):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        check(tuple(key.split('.')), value)
    assert sentence in str(error.value)


@pytest.mark.parametrize('path', [('data',), ('train', 'batch_size'), ('ablate', 'vae', 'beta')])
def test_a_config_without_a_setting_is_told_which(path):
    config = celeba.get_config()
    section = config
    for key in path[:-1]:
        section = section[key]
    del section[path[-1]]
    with pytest.raises(ValueError, match=rf'^config\.{".".join(path)} is missing: start from'):
        Settings.from_config(config)


@pytest.mark.parametrize(
    ('path', 'near'),
    [
        (('trian',), 'config.trian is no setting: did you mean train?'),
        (
            ('train', 'bach_size'),
            'config.train.bach_size is no setting: did you mean batch_size?',
        ),
        (('mesh', 'zzz'), 'config.mesh.zzz is no setting: choose from model, fsdp'),
    ],
)
def test_an_unknown_setting_is_told_the_nearest(path, near):
    config = CONFIG | {'trian': {}} if len(path) == 1 else None
    config = config or CONFIG | {path[0]: CONFIG[path[0]] | {path[1]: 1}}
    with pytest.raises(ValueError) as error:  # noqa: PT011
        Settings.from_config(ml_collections.ConfigDict(config))
    assert near in str(error.value)


def test_the_choices_are_those_of_the_modules_that_read_them():
    def choices(section, name):
        (rule,) = typing.get_type_hints(section, include_extras=True)[name].__metadata__
        return rule.words

    assert all(name in choices(sections.ScoreSettings, 'prediction') for name in PREDICTIONS)
    assert all(name in choices(sections.TrainSettings, 'compute_dtype') for name in COMPUTE_DTYPES)
