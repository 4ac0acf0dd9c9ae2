"""All stages in a few minutes on two CPU cores, with simulated people and smaller sizes.

No person in it exists: labels and embeddings are drawn from averages over CelebA
(`data/readers/simulated.py`). It shows that everything works, and roughly how well; for real
results, use `configs/celeba.py`.
"""

import ml_collections

from diface_jax.data.readers import simulated
from diface_jax.runtime import config_files


def get_config() -> ml_collections.ConfigDict:
    """All settings."""
    config = config_files.load_config('celeba')
    config.data.root = str(simulated.SHIPPED)
    config.data.shares = (0.7, 0.12, 0.18)
    config.simulated.update(people=1200, photos=3)
    config.captions.update(full=2, partial=1, coverage=(1.0,))
    config.train.update(batch_size=256, num_steps=400, eval_every=100, ema_decay=0.99)
    config.evaluate.update(draws=4, resamples=200, galleries=(100, 0))
    config.evaluate.update(photos_per_attribute=10, num_examples=3)
    config.evaluate.two_tower.update(num_steps=400)
    return config
