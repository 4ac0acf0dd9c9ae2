"""Verification of all texts against all photos, beside scikit-learn: ROC, AUC, EER and TAR@FAR.

python -m tests.benchmarks.verification [SIDE [REPEATS]]

SIDE texts and photos have SIDE squared scores, of which SIDE are genuine. Prints a line of JSON.
"""

import sys

import numpy as np
from sklearn import metrics

from diface_jax.evaluation import verification
from tests.benchmarks import timing

FAR = 0.001


def ours(score_P: np.ndarray, genuine_P: np.ndarray) -> tuple[float, float, float]:
    """AUC, EER and TAR@FAR."""
    curve = verification.roc_curve(score_P, genuine_P)
    return (
        verification.auc(curve),
        verification.equal_error_rate(curve),
        verification.tar_at_far(curve, FAR),
    )


def peer(score_P: np.ndarray, genuine_P: np.ndarray) -> tuple[float, float, float]:
    """The same from scikit-learn's curve."""
    far, tar, _ = metrics.roc_curve(genuine_P, score_P)
    eer = np.interp(0.0, far - (1 - tar), far)
    return metrics.auc(far, tar), float(eer), float(tar[far <= FAR].max())


def main(side: int = 5000, repeats: int = 5) -> None:
    """Compares the values, then prints the line."""
    score_TxN = np.random.default_rng(0).standard_normal((side, side), np.float32)
    score_TxN[np.diag_indices(side)] += 2
    score_P, genuine_P = score_TxN.ravel(), np.eye(side, dtype=bool).ravel()
    np.testing.assert_allclose(ours(score_P, genuine_P), peer(score_P, genuine_P), atol=1e-9)
    work = {
        'ours': lambda: ours(score_P, genuine_P),
        'scikit-learn': lambda: peer(score_P, genuine_P),
    }
    timing.compare(f'verification of {side:,} x {side:,} scores', work, repeats)


if __name__ == '__main__':
    main(*map(int, sys.argv[1:]))
