"""DiFace on all of CelebA, on a slice of 64 TPU v6e chips: 162,770 training photos.

Computed by `diface_jax/costs/scaling.py` at 30% of the chips' peak rates, not measured: this
config has never run on a TPU. Compilation, validation and --mode=prepare, the slowest part, are not
included.

    rows      16,384 a step, 256 a chip
    steps     891 at most, 45 of them to warm up
    rates     0.00141 for D, 0.00566 for R
    decay     b1 0, b2 0.968; of the average 0.852 a step
    network   64.4 M parameters, 14.03 TFLOP a step
    memory    1.3 GB of state, 0.1 GB of rows a chip
    a step    12.3 ms: 0.8 of products, 4.7 of memory, 6.8 of links
    all       11 s
"""

import ml_collections

from diface_jax.costs import scaling
from diface_jax.runtime import config_files

PHOTOS = 162_770  # of CelebA's own training partition
CHIPS = 64


def get_config() -> ml_collections.ConfigDict:
    """All settings."""
    config = config_files.load_config('celeba')
    scaling.scale_config(config, PHOTOS, batch_size=16_384, width=1024, depth=8)
    config.train.compute_dtype = 'bfloat16'
    return config
