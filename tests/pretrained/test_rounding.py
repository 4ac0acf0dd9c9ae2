"""Numbers are halved only where no score notices."""

import numpy as np
import pytest

from diface_jax.pretrained import rounding


def test_a_matrix_that_scores_need_stays_whole():
    rng = np.random.default_rng(0)
    exact = {
        'large': rng.standard_normal((40, 8)).astype(np.float32) / 10,
        'touchy': np.float32(0.1) * np.ones((2, 2), np.float32),
        'bias': np.float32(0.1) * np.ones(8, np.float32),
        'unused': np.float32(0.1) * np.ones((3, 3), np.float32),
        'unused too': np.float32(0.5) * np.ones((3, 3), np.float32),
    }

    def scores(arrays):
        assert all(array.dtype == np.float32 for array in arrays.values())
        return arrays['large'] @ arrays['bias'][:, None] + 1000 * arrays['touchy'].sum()

    stored, parity = rounding.round_tensors(exact, scores, keep=('unused', 'unused too'))
    types = {name: array.dtype for name, array in stored.items()}
    assert types == {
        'large': np.float16,
        'touchy': np.float32,
        'bias': np.float32,
        'unused': np.float32,
        'unused too': np.float16,
    }
    assert 0 < parity.largest <= rounding.TOLERANCE


def test_parity_counts_what_changes_places():
    exact_TxN = np.array([[0.9, 0.8, 0.1], [0.3, 0.2, 0.1]])
    moved_TxN = np.array([[0.8, 0.9, 0.1], [0.3, 0.2, 0.1]])
    parity = rounding.compare_scores(exact_TxN, moved_TxN)
    assert (parity.probes, parity.photos) == (2, 3)
    assert parity.largest == pytest.approx(0.1)
    assert (parity.same_first, parity.same_best) == (0.5, 1.0)
    assert '50.0%' in str(parity)
