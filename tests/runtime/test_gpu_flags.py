"""Flags of XLA: set where JAX is installed for GPUs, known to XLA, and never over the user's."""

import importlib.util
import os
import subprocess
import sys

import pytest

from diface_jax.runtime import gpu_flags


@pytest.fixture
def with_plugin(monkeypatch):
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: name == 'jax_cuda13_plugin')
    monkeypatch.delenv('XLA_FLAGS', raising=False)


def test_xla_knows_the_flags(with_plugin):
    gpu_flags.set_gpu_flags()
    # XLA ends the process at a flag that it does not know.
    code = 'import jax; jax.numpy.ones(3).block_until_ready()'
    subprocess.run([sys.executable, '-c', code], check=True)
    assert os.environ['XLA_FLAGS'].count('=false') == 2


@pytest.mark.parametrize('flags', ['', '--xla_gpu_autotune_level=2'])
def test_the_users_flags_stay(with_plugin, monkeypatch, flags):
    monkeypatch.setenv('XLA_FLAGS', flags)
    gpu_flags.set_gpu_flags()
    assert os.environ['XLA_FLAGS'] == flags


def test_without_a_gpu_plugin_nothing_is_set(with_plugin, monkeypatch):
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
    gpu_flags.set_gpu_flags()
    assert 'XLA_FLAGS' not in os.environ
