"""The command line, run in this process with an oracle for its model."""

import pathlib

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
