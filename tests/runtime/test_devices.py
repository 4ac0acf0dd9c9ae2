"""A device that was asked for and is not there is named, with the reason and the way out."""

import jax
import pytest

from diface_jax.runtime import devices


@pytest.mark.parametrize(
    ('error', 'reason'),
    [
        (AssertionError(), 'no such device, or JAX is installed without support for it'),
        (
            RuntimeError("Unable to initialize backend 'cuda': no driver"),
            "backend 'cuda': no driver",
        ),
    ],
    ids=['no plugin', 'no driver'],
)
def test_a_gpu_without_plugin_or_driver_is_one_sentence(error, reason, monkeypatch):
    def fail():
        raise error

    monkeypatch.setattr(jax, 'devices', fail)
    with pytest.raises(ValueError, match='JAX has no usable device') as told:
        devices.require_devices()
    assert reason in str(told.value)
    assert 'JAX_PLATFORMS=cpu' in str(told.value)
