"""The notebooks as files. That they run is seen by `python -m tests.notebooks`."""

import re

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
