"""DiFace as the paper describes it, on CelebA: one encoder per side and one sample per text.

`configs/celeba.py` adds to it the second face encoder, the text encoder's three depths, and the
posterior mean (T~ = 1) instead of a sample. All else is equal, so the difference of their results
in README.md is what these three bring.
"""

import ml_collections

from diface_jax.runtime import config_files


def get_config() -> ml_collections.ConfigDict:
    """All settings."""
    config = config_files.load_config('celeba')
    config.encoders.update(text_layers='last', face=('dlib',))
    config.model.refine.feature_dim = 128
    # One sample from Gaussian noise in T~ = 25 steps, compared by cosine.
    config.sample.update(num_steps=25, num_samples=1)
    return config
