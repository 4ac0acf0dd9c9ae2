"""A small population made up by hand: three labels, and an embedding of five numbers."""

import numpy as np

from diface_jax.data.simulation.population import Population

ATTRIBUTES = ('Male', 'Smiling', 'Bald')
WIDTH = 5


def population():
    """Of a lasting label, a passing one and a rare one that goes with the first."""
    rate_A = np.array([0.4, 0.5, 0.1])
    variance_A = rate_A * (1 - rate_A)
    rng = np.random.default_rng(0)
    yy = np.diag(variance_A * [0.9, 0.2, 0.5])
    yy[0, 2] = yy[2, 0] = 0.04
    yy_within = np.diag(variance_A * [0.1, 0.8, 0.5])
    return Population(
        attributes=ATTRIBUTES,
        encoders=[{'name': 'made up', 'sha256': '', 'width': WIDTH}],
        people=1,
        photos=1,
        mean_V=np.concatenate([rate_A, np.arange(WIDTH)]).astype(np.float32),
        between_VxV=_joint(rng, yy),
        within_VxV=_joint(rng, yy_within),
    )


def _joint(rng, yy):
    """The covariance of labels and an embedding that is linear in them, and has its own share."""
    weight = rng.normal(size=(len(yy), WIDTH))
    root = rng.normal(size=(WIDTH, WIDTH))
    yx = yy @ weight
    xx = weight.T @ yx + 0.2 * root @ root.T
    return np.block([[yy, yx], [yx.T, xx]]).astype(np.float32)


def correlations(found, asked):
    """Means and covariances, found and asked for, in the standard deviations asked for."""
    scale_V = np.sqrt(np.diag(asked.between_VxV + asked.within_VxV))
    yield found.mean_V / scale_V, asked.mean_V / scale_V
    for name in ('between_VxV', 'within_VxV'):
        yield tuple(getattr(one, name) / np.outer(scale_V, scale_V) for one in (found, asked))
