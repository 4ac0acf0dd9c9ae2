"""Launchers run in the tests: in a dry run, or with stand-ins for the commands they call."""

import os
import pathlib
import stat
import subprocess

import pytest

LAUNCH = pathlib.Path(__file__).resolve().parents[2] / 'launch'
PROGRAM = ('--config=configs/celeba.py', '--workdir=/mnt/diface/a run')


@pytest.fixture
def launch(tmp_path):
    """Runs a launcher with flags and variables; commands in tmp_path/bin come first."""
    (tmp_path / 'bin').mkdir()

    def run(name, *arguments, **variables):
        path = f'{tmp_path / "bin"}:{os.environ["PATH"]}'
        clean = {name: value for name, value in os.environ.items() if not name.startswith('DIFACE')}
        return subprocess.run(
            ['bash', LAUNCH / name, *arguments],
            env=clean | {'PATH': path} | variables,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run


@pytest.fixture
def stand_in(launch, tmp_path):
    """Puts a command of that name, written in bash, first in the launcher's PATH."""

    def make(name, script):
        path = tmp_path / 'bin' / name
        path.write_text(f'#!/usr/bin/env bash\n{script}\n')
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    return make
