"""DiFace in JAX: recognise faces from words (arXiv 2312.01367)."""

import os

# transformers is used for its tokenizers: that PyTorch is missing is as it should be.
os.environ.setdefault('TRANSFORMERS_NO_ADVISORY_WARNINGS', '1')


def __getattr__(name: str) -> object:
    """`diface_jax.load`, imported when it is used: it brings JAX along."""
    if name == 'load':
        from diface_jax.model import load

        return load
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
