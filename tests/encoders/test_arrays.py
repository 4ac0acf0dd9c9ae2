"""What was fitted: kept as it was, told from another fit."""

from typing import NamedTuple

import numpy as np
import pytest

from diface_jax.encoders import arrays


class Fit(NamedTuple):
    mean_D: np.ndarray
    map_DxF: np.ndarray


def test_a_fit_is_kept_and_told_from_another(tmp_path):
    fit = Fit(np.arange(3, dtype=np.float32), np.ones((3, 2), np.float16))
    arrays.save_arrays(fit, tmp_path / 'fit')
    again = arrays.load_arrays(Fit, tmp_path / 'fit')
    for loaded, saved in zip(again, fit, strict=True):
        np.testing.assert_array_equal(loaded, saved, strict=True)
    assert (
        arrays.sha256_of_arrays(again)
        == arrays.sha256_of_arrays(fit)
        != arrays.sha256_of_arrays(fit._replace(mean_D=-fit[0]))
    )


def test_what_is_not_there_says_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError, match='--mode=prepare'):
        arrays.load_arrays(Fit, tmp_path / 'nothing')
