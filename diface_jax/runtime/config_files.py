"""Locates and loads configs: your own files by path, those of the project by name.

Configs of the project lie in `configs/` of a checkout, and in `diface_jax/configs/` of an installed
package, where setup.py puts them. Their names work in any folder.
"""

import pathlib
import re
import runpy
import sys
import traceback
from collections.abc import Mapping, Sequence

import ml_collections
from absl import flags
from ml_collections.config_flags import config_flags

from diface_jax.runtime import schema

_HERE = pathlib.Path(__file__).resolve().parents[1]
_INSTALLED, _CHECKED_OUT = _HERE / 'configs', _HERE.parent / 'configs'


def find_config(name: str) -> pathlib.Path:
    """The path of a config's file.

    Args:
      name: the path of a file; or a config of the project as `celeba`, `celeba.py` or
        `configs/celeba.py`. An existing file takes precedence.

    Raises:
      ValueError: neither a file nor a config has this name; lists the configs.
    """
    path = pathlib.Path(name)
    if path.is_file():
        return path
    known = config_names()
    if path.stem in known and path.parent.parts in ((), ('configs',)):
        return _folder() / f'{path.stem}.py'
    raise ValueError(f'no config file {name}, and no config of that name: {", ".join(known)}')


def load_config(name: str) -> ml_collections.ConfigDict:
    """The settings of a config, located as by `find_config`; also for another config to start from.

    Raises:
      ValueError: there is no such config, or its `get_config` fails; names the file and the line.
    """
    path = find_config(name)
    try:
        config = runpy.run_path(str(path))['get_config']()
    except Exception as error:  # whatever the code of a user's file raises
        raise ValueError(f'{_where(path, error)}: {type(error).__name__}: {error}') from error
    if not isinstance(config, ml_collections.ConfigDict):
        raise ValueError(f'{path}: get_config() must return a ConfigDict, not {config!r}')
    return config


def _where(path: pathlib.Path, error: Exception) -> str:
    """The config's file, with the last line of it that an error came through."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(path)]
    return f'{path}, line {lines[-1]}' if lines else str(path)


def check_overrides(config: ml_collections.ConfigDict, argv: Sequence[str]) -> None:
    """Makes sure that a config has every setting that a command line changes.

    Args:
      config: before the changes.
      argv: `--config.name=value` and other arguments.

    Raises:
      ValueError: a setting does not exist, or a tuple is indexed; says what to write instead.
    """
    for argument in argv:
        if override := re.match(r'--?(?:no)?config\.([^=]+)', argument):
            _check_override(config.to_dict(), override[1])


def _check_override(section: Mapping[str, object], key: str) -> None:
    path, value = 'config', section
    for part in key.split('.'):
        name, bracket, _ = part.partition('[')
        if not isinstance(value, Mapping):
            raise ValueError(f'{path} is a value, and has no setting {name}')
        if name not in value:
            raise ValueError(schema.unknown_key(path, name, value))
        path, value = f'{path}.{name}', value[name]
        if bracket:
            raise ValueError(f'{path} is changed as a whole, not by index: --{path}="{value}"')


def config_names() -> list[str]:
    """The names of the project's configs."""
    return sorted(path.stem for path in _folder().glob('[a-z]*.py'))


def _folder() -> pathlib.Path:
    return _INSTALLED if _INSTALLED.is_dir() else _CHECKED_OUT


class ConfigParser(config_flags.ConfigFileFlagParser):
    """Reads the value of --config: what `load_config` takes."""

    def parse(self, path: str) -> ml_collections.ConfigDict:
        """The settings, before the command line changes them.

        Raises:
          ValueError: they cannot be read, or the command line changes one that does not exist.
        """
        config = load_config(path)
        check_overrides(config, flags.FLAGS.read_flags_from_files(sys.argv, force_gnu=False))
        return config.lock()
