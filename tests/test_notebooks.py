"""The notebooks as files. That they run is seen by `python -m tests.notebooks`."""

import re
import shutil
import subprocess

import nbformat
import pytest

from tests.notebooks import FOLDER, NAMES

INSTALL = re.compile(
    r"'google\.colab' in sys\.modules.*git\+https://github\.com/(\S+)\"", re.DOTALL
)
BADGE = re.compile(
    r'colab\.research\.google\.com/github/(\S+?)/blob/main/launch/colab/(\w+)\.ipynb'
)


def test_every_notebook_is_run():
    assert {path.stem for path in FOLDER.glob('*.ipynb')} == set(NAMES)


@pytest.mark.parametrize('name', NAMES)
def test_a_notebook_is_valid_and_stripped(name):
    notebook = nbformat.read(FOLDER / f'{name}.ipynb', as_version=4)
    nbformat.validate(notebook)
    assert set(notebook.metadata) == {'kernelspec', 'language_info'}
    for cell in notebook.cells:
        assert not cell.metadata
        assert cell.cell_type == 'markdown' or (cell.outputs, cell.execution_count) == ([], None)


@pytest.mark.parametrize('name', NAMES)
def test_a_notebook_opens_and_installs_from_the_one_repository(name):
    rows = dict(map(reversed, BADGE.findall((FOLDER / 'README.md').read_text())))
    title, install = nbformat.read(FOLDER / f'{name}.ipynb', as_version=4).cells[:2]
    (badge,) = BADGE.findall(title.source)
    assert badge == (rows[name], name)
    assert INSTALL.search(install.source).groups() == (rows[name],)


@pytest.mark.parametrize(
    ('driver', 'devices', 'extras'),
    [
        ('580.82.07\n', '', 'faces,cuda'),
        ('550.54.15\n550.54.15\n', '', 'faces,cuda12'),
        ('NVIDIA-SMI has failed\n', '', 'faces'),
        (None, '/dev/accel*', 'faces,tpu'),
        (None, '/dev/vfio/[0-9]*', 'faces,tpu'),
        (None, '', 'faces'),
    ],
)
def test_train_installs_jax_for_the_runtimes_accelerator(monkeypatch, driver, devices, extras):
    cell = nbformat.read(FOLDER / 'train.ipynb', as_version=4).cells[1].source
    scope = {}
    exec(cell.split('\nif ')[0], scope)
    monkeypatch.setattr(shutil, 'which', lambda name: driver and f'/usr/bin/{name}')
    finished = subprocess.CompletedProcess((), 0, stdout=driver)
    monkeypatch.setattr(subprocess, 'run', lambda *_, **__: finished)
    monkeypatch.setattr(scope['glob'], 'glob', lambda pattern: [pattern] * (pattern == devices))
    assert scope['extras']() == extras
