"""DiFace on all of CelebA, on one host of eight TPU v6e chips: 162,770 training photos.

Computed by `diface_jax/costs/scaling.py` at 30% of the chips' peak rates, not measured: this
config has never run on a TPU. Compilation, validation and --mode=prepare, the slowest part, are not
included.

    rows      4,096 a step, 512 a chip
    steps     3,565 at most, 178 of them to warm up
    rates     0.000707 for D, 0.00283 for R
    decay     b1 0.2, b2 0.992; of the average 0.961 a step
    network   49.7 M parameters, 2.48 TFLOP a step
    memory    1.0 GB of state, 1.0 GB of rows a chip
    a step    8.3 ms: 1.1 of products, 3.6 of memory, 3.5 of links
    all       30 s
"""

import ml_collections

from diface_jax.costs import scaling
from diface_jax.runtime import config_files

PHOTOS = 162_770  # of CelebA's own training partition
CHIPS = 8


def get_config() -> ml_collections.ConfigDict:
    """All settings."""
    config = config_files.load_config('celeba')
    scaling.scale_config(config, PHOTOS, batch_size=4_096, width=1024, depth=6)
    config.train.compute_dtype = 'bfloat16'
    return config
