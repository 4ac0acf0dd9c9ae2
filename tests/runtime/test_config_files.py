"""A config is found by its path or its name, from any folder."""

import pytest
from absl import flags
from ml_collections import config_flags

from diface_jax.runtime import config_files, schema

MINE = """
from diface_jax.runtime import config_files
def get_config():
    config = config_files.load_config('celeba')
    config.train.num_steps = 7
    return config
"""


@pytest.mark.parametrize('name', ['celeba', 'celeba.py', 'configs/celeba.py'])
def test_a_name_is_found_from_any_folder(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert config_files.load_config(name).train.num_steps == 2000


def test_a_file_that_is_there_comes_first_and_may_start_from_the_projects(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'configs').mkdir()
    (tmp_path / 'configs/celeba.py').write_text(MINE)
    assert config_files.load_config('configs/celeba.py').train.num_steps == 7
    assert config_files.load_config(str(tmp_path / 'configs/celeba.py')).train.num_steps == 7
    assert config_files.load_config('celeba').train.num_steps == 2000


@pytest.mark.parametrize('name', ['celebb', 'other/celeba.py', '', 'configs/__init__.py'])
def test_a_name_that_is_none_is_told_what_there_is(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match='celeba, celeba_lfw, celeba_paper'):
        config_files.find_config(name)


@pytest.mark.parametrize(
    ('code', 'sentence'),
    [
        ('x = 1', "mine.py: KeyError: 'get_config'"),
        (
            'def get_config():\n  return {}',
            'mine.py: get_config() must return a ConfigDict, not {}',
        ),
        ('def get_config(:', 'mine.py: SyntaxError: invalid syntax'),
        (
            MINE.replace('train.num_steps = 7', 'trian.num_steps = 7'),
            'mine.py, line 5: AttributeError:',
        ),
    ],
)
def test_a_config_file_that_fails_is_named_with_its_line(code, sentence, tmp_path):
    (tmp_path / 'mine.py').write_text(code)
    with pytest.raises(ValueError) as error:  # noqa: PT011
        config_files.load_config(str(tmp_path / 'mine.py'))
    assert sentence in str(error.value)


@pytest.mark.parametrize(
    ('argument', 'sentence'),
    [
        ('--config.trian.x=1', 'config.trian is no setting: did you mean train?'),
        ('-config.train.bach_size=1', 'config.train.bach_size is no setting: did you mean batch_'),
        (
            '--noconfig.train.data_on_devices',
            'config.train.data_on_devices is no setting: did you mean data_',
        ),
        ('--config.seed.x=1', 'config.seed is a value, and has no setting x'),
        ('--config.data.shares[0]=1', 'not by index: --config.data.shares="(0.8, 0.1, 0.1)"'),
    ],
)
def test_a_setting_that_does_not_exist_is_told_the_nearest(argument, sentence):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        config_files.check_overrides(config_files.load_config('celeba'), ['diface', argument])
    assert sentence in str(error.value)


@pytest.mark.parametrize(('old', 'new'), schema.RENAMED_KEYS.items())
def test_an_old_key_gives_its_new_name(old, new):
    config = config_files.load_config('celeba')
    argument = f'--{old}.root=X' if old == 'config.also' else f'--{old}=X'
    with pytest.raises(ValueError) as error:  # noqa: PT011
        config_files.check_overrides(config, ['diface', argument])
    assert str(error.value) == f'{old} is now {new}'
    *sections, key = new.split()[0].split('.')[1:]
    for section in sections:
        config = config[section]
    assert key in config


def test_the_flag_gives_the_new_name_of_an_old_key(monkeypatch):
    values = flags.FlagValues()
    argv = ['diface', '--config=celeba', '--config.also.root=X']
    config_flags.DEFINE_config_file('config', None, '', values, sys_argv=argv)
    values['config'].parser = config_files.ConfigParser('config')
    monkeypatch.setattr('sys.argv', argv)
    with pytest.raises(flags.Error, match=r'config\.also is now config\.second_data'):
        values(argv)


def test_settings_that_exist_can_be_changed():
    argv = [
        '--config=celeba',
        '--config.data.root=x',
        '--noconfig.train.data_on_device',
        '--workdir=w',
    ]
    config_files.check_overrides(config_files.load_config('celeba'), argv)


def test_the_flag_takes_a_name_and_settings():
    values = flags.FlagValues()
    argv = ['diface', '--config=celeba', '--config.train.num_steps=3']
    config_flags.DEFINE_config_file('config', None, '', values, sys_argv=argv)
    values['config'].parser = config_files.ConfigParser('config')
    values(argv)
    assert values.config.train.num_steps == 3
    with pytest.raises(flags.IllegalFlagValueError, match='celebb'):
        values(['diface', '--config=celebb'])
