"""The versions that a bug report needs. It imports no JAX, so that it is quick."""

import platform
from importlib import metadata


def version_summary() -> str:
    """The versions of diface_jax, JAX and Python, on one line."""
    return (
        f'diface_jax {metadata.version("diface_jax")}, jax {metadata.version("jax")}, '
        f'Python {platform.python_version()}'
    )
