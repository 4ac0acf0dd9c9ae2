"""DiFace by the letter on CelebA: one encoder on either side, and one sample of a text.

What `configs/celeba.py` adds to it: E's second encoder, words at every depth of the text encoder,
and the posterior mean (T~ = 1) in place of a sample. Everything else is the same, so that
their rows in README.md's results tell what that is worth.
"""

import ml_collections

from diface_jax import config_files


def get_config() -> ml_collections.ConfigDict:
    """All settings."""
    config = config_files.load('celeba')
    config.encoders.update(words=False, appearance=0)
    config.model.refine.feature_dim = 128
    # From Gaussian noise, one sample of T~ = 25 steps, compared by cosine.
    config.sample.update(num_steps=25, num_samples=1)
    return config
