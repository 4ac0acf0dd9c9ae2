"""Fixtures every test may use."""

import pathlib

import pytest

SHARED = pathlib.Path(__file__).resolve().parents[1] / '../shared'


@pytest.fixture(scope='session')
def shared() -> pathlib.Path:
    """The folder of real faces beside the checkout; tests that need it skip without it."""
    if not (SHARED / 'data').is_dir():
        pytest.skip('needs the real photographs in ../shared/data, which are not here')
    return SHARED
