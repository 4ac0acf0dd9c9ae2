"""DiFace on CelebA and LFW together: give --config.second_data.root=LFW, with LFWA+'s labels.

As `configs/celeba.py`, with more steps for more people, for the baseline too. README.md gives the
results on the test people of both data sets.
"""

import ml_collections

from diface_jax.runtime import config_files


def get_config() -> ml_collections.ConfigDict:
    """All settings."""
    config = config_files.load_config('celeba')
    config.degraded.per_photo = 2
    # A text alone is the hardest probe to learn, and the one most used.
    config.train.probe_shares = (0.8, 0.08, 0.12)
    config.train.phrase_share = 0.2
    config.train.num_steps = 4000
    config.evaluate.two_tower.num_steps = 4000
    return config
