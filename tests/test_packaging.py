"""The source distribution, and the wheel made of it, hold what the program needs anywhere."""

import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import zipfile

import pytest

from diface_jax.runtime import config_files

HERE = pathlib.Path(__file__).resolve().parents[1]
SOURCES = ('.ci', 'configs', 'diface_jax', 'docs', 'launch', 'tests')
BUILD = "from setuptools import build_meta; print(build_meta.build_{kind}('..'))"
ASK = """
import diface_jax
from diface_jax.runtime import config_files
print(diface_jax.__file__)
for name in config_files.config_names():
    print(name, config_files.load_config(name).train.batch_size)
"""


def run(code, folder, **env):
    done = subprocess.run(
        [sys.executable, '-c', code],
        cwd=folder,
        env=os.environ | env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.fixture(scope='module')
def built(tmp_path_factory):
    """A folder with the source distribution and the wheel that was built of it."""
    folder = tmp_path_factory.mktemp('built')
    source = folder / 'source'
    no_cache = shutil.ignore_patterns('__pycache__', '_build')
    for name in SOURCES:
        if (HERE / name).is_dir():
            shutil.copytree(HERE / name, source / name, ignore=no_cache)
    for path in HERE.glob('*.*'):
        if path.is_file():
            shutil.copy(path, source)
    shutil.copy(HERE / 'LICENSE', source)
    run(BUILD.format(kind='sdist'), source)
    with tarfile.open(next(folder.glob('*.tar.gz'))) as archive:
        archive.extractall(folder, filter='data')
    (unpacked,) = folder.glob('diface_jax-*/')
    run(BUILD.format(kind='wheel'), unpacked)
    return folder


def test_the_source_distribution_can_be_tested_and_documented(built):
    (unpacked,) = built.glob('diface_jax-*/')
    for name in SOURCES:
        here = {path.relative_to(HERE) for path in (HERE / name).rglob('*.py')}
        there = {path.relative_to(unpacked) for path in (unpacked / name).rglob('*.py')}
        assert there == here
    for name in ('LICENSE', 'README.md', 'ruff.toml', 'setup.py'):
        assert (unpacked / name).read_bytes() == (HERE / name).read_bytes()


def test_the_wheel_has_every_file_that_is_no_module(built):
    with zipfile.ZipFile(next(built.glob('*.whl'))) as wheel:
        names = set(wheel.namelist())
    data = {
        str(path.relative_to(HERE))
        for path in (HERE / 'diface_jax').rglob('*')
        if path.is_file() and path.suffix not in ('.py', '.pyc')
    }
    assert data <= names
    assert any(name.endswith('/LICENSE') for name in names)
    assert {name.split('/')[0].split('-')[0] for name in names} == {'diface_jax'}


def test_the_wheel_finds_every_config_from_another_folder(built, tmp_path):
    with zipfile.ZipFile(next(built.glob('*.whl'))) as wheel:
        wheel.extractall(tmp_path / 'installed')
    elsewhere = tmp_path / 'elsewhere'
    elsewhere.mkdir()
    where, *found = run(ASK, elsewhere, PYTHONPATH=str(tmp_path / 'installed'))
    assert where.startswith(str(tmp_path))
    assert found == [
        f'{name} {config_files.load_config(name).train.batch_size}'
        for name in config_files.config_names()
    ]
