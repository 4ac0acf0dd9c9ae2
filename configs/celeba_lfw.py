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
    # Half as many sentences of the grammar as of people, whose ways of speaking are many.
    config.train.human_share = 0.6
    config.train.phrase_share = 0.4
    # Wider, with more dropout, than for CelebA alone: with less, D learns the voices by heart.
    config.model.score.update(width=320, dropout=0.4)
    config.train.num_steps = 2600
    config.tune_text.human_share = 0.9
    config.evaluate.two_tower.num_steps = 4000
    return config
