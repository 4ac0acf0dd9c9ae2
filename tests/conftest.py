"""Fixtures every test may use."""

import os
import pathlib

import jax
import pytest

# Small programs take longer to optimise than to run. Children of the tests inherit it.
os.environ['XLA_FLAGS'] = f'{os.environ.get("XLA_FLAGS", "")} --xla_backend_optimization_level=0'

SHARED = pathlib.Path(__file__).resolve().parents[1] / '../shared'


@pytest.fixture(scope='session')
def shared() -> pathlib.Path:
    """The folder of real faces beside the checkout; tests that need it skip without it."""
    if not (SHARED / 'data').is_dir():
        pytest.skip('needs the real photographs in ../shared/data, which are not here')
    return SHARED


@pytest.fixture(scope='session', autouse=True)
def _compile_once(tmp_path_factory) -> None:
    """Tests train the same small model many times: compile it once, for all processes."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if 'PYTEST_XDIST_WORKER' in os.environ else base
    jax.config.update('jax_compilation_cache_dir', str(shared / 'compiled'))
    jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.1)
