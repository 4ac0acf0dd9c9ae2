"""DiFace on all of CelebA, on one TPU v6e chip: 162,770 training photos.

Computed by `diface_jax/costs/scaling.py` at 30% of the chip's peak rates, not measured: this
config has never run on a TPU. Compilation, validation and --mode=prepare, the slowest part, are not
included.

    rows      2,048 a step, 2,048 a chip
    steps     7,130 at most, 357 of them to warm up
    rates     0.001 for D, 0.002 for R
    decay     b1 0.6, b2 0.996; of the average 0.980 a step
    network   13.5 M parameters, 0.34 TFLOP a step
    memory    0.3 GB of state, 7.8 GB of rows a chip
    a step    2.2 ms: 1.2 of products, 1.0 of memory, 0.0 of links
    all       16 s
"""

import ml_collections

from diface_jax.costs import scaling
from diface_jax.runtime import config_files

PHOTOS = 162_770  # of CelebA's own training partition
CHIPS = 1


def get_config() -> ml_collections.ConfigDict:
    """All settings."""
    config = config_files.load_config('celeba')
    scaling.scale_config(config, PHOTOS, batch_size=2_048, width=512, depth=6)
    config.train.compute_dtype = 'bfloat16'
    return config
