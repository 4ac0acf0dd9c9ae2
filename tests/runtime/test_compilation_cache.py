"""Where compiled programs are kept, and when they are not."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from diface_jax.runtime import compilation_cache

RUN = """
import json, jax
from diface_jax.runtime import compilation_cache
compilation_cache.keep_compiled_programs()
jax.jit(lambda x: x + 1)(1.0)
print(json.dumps([jax.config.jax_compilation_cache_dir, str(compilation_cache.cache_folder())]))
"""


def run(**environment):
    """The folder in use, and the one that is this user's, in a process of its own."""
    inherited = {k: v for k, v in os.environ.items() if k != 'JAX_COMPILATION_CACHE_DIR'}
    done = subprocess.run(
        [sys.executable, '-c', RUN],
        env=inherited | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert 'rror' not in done.stderr
    return json.loads(done.stdout)


def test_programs_are_kept_in_the_users_cache(tmp_path):
    used, users = run(XDG_CACHE_HOME=str(tmp_path))
    assert used == users
    assert pathlib.Path(used).is_relative_to(tmp_path / 'diface')
    assert any('lambda' in path.name for path in pathlib.Path(used).iterdir())


@pytest.mark.parametrize(
    ('name', 'kept_in'),
    [('JAX_COMPILATION_CACHE_DIR', 'elsewhere'), ('JAX_ENABLE_COMPILATION_CACHE', None)],
)
def test_jaxs_own_variables_are_respected(tmp_path, name, kept_in):
    value = str(tmp_path / kept_in) if kept_in else 'false'
    used, users = run(**{'XDG_CACHE_HOME': str(tmp_path / 'user'), name: value})
    assert used == (value if kept_in else None)
    assert not pathlib.Path(users).exists()


def test_a_home_that_cannot_be_written_to_is_no_error(tmp_path):
    (tmp_path / 'file').touch()
    assert run(XDG_CACHE_HOME=str(tmp_path / 'file'))[0] is None


@pytest.mark.parametrize(
    ('platform', 'variables', 'expected'),
    [
        ('linux', {}, '.cache/diface'),
        ('linux', {'XDG_CACHE_HOME': 'xdg'}, 'xdg/diface'),
        ('darwin', {}, 'Library/Caches/diface'),
        ('win32', {'LOCALAPPDATA': 'AppData/Local'}, 'AppData/Local/diface'),
    ],
)
def test_the_folder_is_where_the_platform_keeps_caches(
    tmp_path, monkeypatch, platform, variables, expected
):
    for name in ('XDG_CACHE_HOME', 'LOCALAPPDATA'):
        monkeypatch.delenv(name, raising=False)
    for name, value in {'HOME': '', **variables}.items():
        monkeypatch.setenv(name, str(tmp_path / value))
    monkeypatch.setattr(compilation_cache.sys, 'platform', platform)
    assert compilation_cache.cache_folder().is_relative_to(tmp_path / expected)
