"""Flags of XLA that NVIDIA GPUs need to compile in reasonable time."""

import importlib.util
import os

# By default XLA compiles and times dozens of Triton kernels for each product, and two kinds of
# kernel for each fusion. On an H100 a program of the text encoder took 10.8 s to compile, without
# these trials 1.1 s, and ran as fast (docs/performance.md).
_FLAGS = (
    '--xla_gpu_enable_triton_gemm=false',
    '--xla_gpu_experimental_enable_fusion_autotuner=false',
)
_PLUGINS = ('jax_cuda13_plugin', 'jax_cuda12_plugin')


def set_gpu_flags() -> None:
    """Sets XLA_FLAGS where JAX is installed for NVIDIA GPUs; call it before JAX starts its devices.

    Flags that are set already, even to nothing, are the user's choice and stay as they are.
    """
    is_for_gpus = any(importlib.util.find_spec(plugin) for plugin in _PLUGINS)
    if is_for_gpus and 'XLA_FLAGS' not in os.environ:
        os.environ['XLA_FLAGS'] = ' '.join(_FLAGS)
