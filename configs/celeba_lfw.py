"""DiFace on CelebA with LFW's people beside it: give --config.also.root=LFW, with LFWA+'s labels.

Everything is as in `configs/celeba.py`, but for more steps, which more people take, of the baseline
too. README.md says what it reached on either data set's test people.
"""

import ml_collections

from diface_jax import config_files


def get_config() -> ml_collections.ConfigDict:
    """All settings."""
    config = config_files.load('celeba')
    config.train.num_steps = 3000
    config.evaluate.towers.num_steps = 4000
    return config
