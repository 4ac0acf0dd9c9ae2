"""A config is found by its path or its name, from any folder."""

import pytest
from absl import flags
from ml_collections import config_flags

from diface_jax import config_files

MINE = """
from diface_jax import config_files
def get_config():
    config = config_files.load('celeba')
    config.train.num_steps = 7
    return config
"""


@pytest.mark.parametrize('name', ['celeba', 'celeba.py', 'configs/celeba.py'])
def test_a_name_is_found_from_any_folder(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert config_files.load(name).train.num_steps == 2000


def test_a_file_that_is_there_comes_first_and_may_start_from_the_projects(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'configs').mkdir()
    (tmp_path / 'configs/celeba.py').write_text(MINE)
    assert config_files.load('configs/celeba.py').train.num_steps == 7
    assert config_files.load(str(tmp_path / 'configs/celeba.py')).train.num_steps == 7
    assert config_files.load('celeba').train.num_steps == 2000


@pytest.mark.parametrize('name', ['celebb', 'other/celeba.py', '', 'configs/__init__.py'])
def test_a_name_that_is_none_is_told_what_there_is(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match='celeba, celeba_lfw, celeba_paper'):
        config_files.find(name)


def test_the_flag_takes_a_name_and_settings():
    values = flags.FlagValues()
    argv = ['diface', '--config=celeba', '--config.train.num_steps=3']
    config_flags.DEFINE_config_file('config', None, '', values, sys_argv=argv)
    values['config'].parser = config_files.ConfigParser('config')
    values(argv)
    assert values.config.train.num_steps == 3
    with pytest.raises(flags.IllegalFlagValueError, match='celebb'):
        values(['diface', '--config=celebb'])
