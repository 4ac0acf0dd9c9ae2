"""DiFace in JAX: recognises faces from sentences (arXiv 2312.01367)."""


def __getattr__(name: str) -> object:
    """`diface_jax.load` and `diface_jax.Sampling`, imported on first use, since they import JAX."""
    if name in ('load', 'Sampling'):
        from diface_jax import model

        return getattr(model, name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
