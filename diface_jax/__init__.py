"""DiFace in JAX: recognises faces from sentences (arXiv 2312.01367)."""

import os

# transformers is used for its tokenizers, which do not need PyTorch: no advice to install it.
os.environ.setdefault('TRANSFORMERS_NO_ADVISORY_WARNINGS', '1')


def __getattr__(name: str) -> object:
    """`diface_jax.load` and `diface_jax.Sampling`, imported on first use, since they import JAX."""
    if name in ('load', 'Sampling'):
        from diface_jax import model

        return getattr(model, name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
