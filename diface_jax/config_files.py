"""Where configs are: a file of yours, or one that comes with the project, by its name.

The project's own are in `configs/` of a checkout, and in `diface_jax/configs/` of an installed
package, where setup.py puts them. Both are found from any folder.
"""

import pathlib
import runpy

import ml_collections
from ml_collections.config_flags import config_flags

_HERE = pathlib.Path(__file__).resolve().parent
_INSTALLED, _CHECKED_OUT = _HERE / 'configs', _HERE.parent / 'configs'


def find(name: str) -> pathlib.Path:
    """The file of a config.

    Args:
      name: the path of a file; or one of the project's configs as `celeba`, `celeba.py` or
        `configs/celeba.py`. A file that is there comes first.

    Returns:
      Its path.

    Raises:
      ValueError: there is no such file and no such config; lists those there are.
    """
    path = pathlib.Path(name)
    if path.is_file():
        return path
    known = names()
    if path.stem in known and path.parent.parts in ((), ('configs',)):
        return _folder() / f'{path.stem}.py'
    raise ValueError(f'no config file {name}, and no config of that name: {", ".join(known)}')


def load(name: str) -> ml_collections.ConfigDict:
    """The settings of a config, found as by `find`, for another config to start from."""
    return runpy.run_path(str(find(name)))['get_config']()


def names() -> list[str]:
    """The names of the project's configs."""
    return sorted(path.stem for path in _folder().glob('[a-z]*.py'))


def _folder() -> pathlib.Path:
    return _INSTALLED if _INSTALLED.is_dir() else _CHECKED_OUT


class ConfigParser(config_flags.ConfigFileFlagParser):
    """Reads the value of --config: what `find` finds."""

    def parse(self, path: str) -> ml_collections.ConfigDict:
        """The settings; ValueError where there are none."""
        return super().parse(str(find(path)))
