"""Calibration: from scores to log-likelihood ratios, probabilities and false match rates.

It is fitted on validation pairs only. A logistic regression turns a score into a log-likelihood
ratio: how much likelier the score is for a genuine pair than for an impostor pair (Brümmer &
du Preez 2006, "Application-independent evaluation of speaker detection"). It is quadratic in the
score, as the ratio of two normal densities is: genuine scores vary less than impostor scores, and a
linear fit would overstate high scores by a factor of two. With the prior odds, which fall with the
size of the gallery, the ratio gives a probability. False match rates come from the distribution of
the impostor scores.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

import numpy as np

_POINTS = 400  # at which the false match rate is kept; dense where it is low
_MOST = 100_000  # impostor scores in the regression, evenly by rank; more change nothing
# Share of genuine pairs in the regression, by weights: in a search genuine pairs are rare, and the
# fit must be right there.
_GENUINE = 0.1


class Calibration(NamedTuple):
    """From scores to log-likelihood ratios, probabilities and false match rates.

    Attributes:
      centre: mean score; z = (score - centre) / scale.
      scale: standard deviation of the scores.
      llr_coefficients: of 1, z and z^2 in the log-likelihood ratio, in nats; [3].
      score_Q: scores at which the false match rate is known, rising.
      fmr_Q: false match rates there: shares of impostors that score as high or higher, falling.
      genuine: number of genuine pairs it was fitted on.
      impostors: number of impostor pairs.
    """

    centre: float
    scale: float
    llr_coefficients: np.ndarray
    score_Q: np.ndarray
    fmr_Q: np.ndarray
    genuine: int
    impostors: int

    @classmethod
    def fit(cls, genuine_P: np.ndarray, impostor_Q: np.ndarray, points: int = _POINTS) -> Self:
        """Fits the scores of genuine and impostor pairs.

        Args:
          genuine_P: scores of genuine pairs.
          impostor_Q: scores of impostor pairs.
          points: scores, at most, at which the false match rate is kept.

        Raises:
          ValueError: there are fewer than two of a kind, a score is not finite, or impostors score
            as high as genuine pairs on average.
        """
        genuine_P, impostor_Q = np.asarray(genuine_P, float), np.asarray(impostor_Q, float)
        finite = np.isfinite(genuine_P).all() and np.isfinite(impostor_Q).all()
        if len(genuine_P) < 2 or len(impostor_Q) < 2 or not finite:
            raise ValueError('a calibration needs two finite scores of each kind, or more')
        if genuine_P.mean() <= impostor_Q.mean():
            raise ValueError('impostors score as high as genuine pairs: train longer')
        step = -(-len(impostor_Q) // _MOST)
        thinned = np.sort(impostor_Q)[step // 2 :: step]
        score_N = np.concatenate([genuine_P, thinned])
        centre, scale = float(score_N.mean()), float(score_N.std())
        llr_coefficients = _regression((score_N - centre) / scale, len(genuine_P))
        score_Q, fmr_Q = _tail(impostor_Q, points)
        counts = len(genuine_P), len(impostor_Q)
        return cls(centre, scale, llr_coefficients, score_Q, fmr_Q, *counts)

    def llr(self, score: np.ndarray) -> np.ndarray:
        """Log-likelihood ratios of scores, in nats; non-decreasing in the score."""
        z = (np.asarray(score, float) - self.centre) / self.scale
        constant, linear, square = self.llr_coefficients
        if square:
            # A parabola would fall again beyond its turning point; the ratio stays constant there.
            turn = -linear / (2 * square)
            z = np.minimum(z, turn) if square < 0 else np.maximum(z, turn)
        return constant + linear * z + square * z**2

    def probability(self, score: np.ndarray, prior: float) -> np.ndarray:
        """Posterior probability that a photo shows the person described."""
        if not 0 < prior < 1:
            raise ValueError(f'a prior is a probability between 0 and 1, not {prior}')
        log_odds = self.llr(score) + np.log(prior) - np.log1p(-prior)
        return np.exp(-np.logaddexp(0, -log_odds))

    def false_match_rate(self, score: np.ndarray) -> np.ndarray:
        """The share of impostors that score as high or higher.

        Above all impostor scores it is 1 / (impostors + 1), the least that they can show.
        """
        return np.exp(np.interp(score, self.score_Q, np.log(self.fmr_Q)))

    def false_matches(self, score: np.ndarray, gallery: int) -> np.ndarray:
        """Expected number of impostors in a gallery of this size that score as high or higher."""
        return gallery * self.false_match_rate(score)

    def blend(self, other: Self, share: float) -> Self:
        """The calibration between this one (share 0) and another (share 1).

        The parabolas of the log-likelihood ratios are interpolated, and the logarithms of the false
        match rates.
        """
        # The other's parabola, in this one's z.
        step, shift = self.scale / other.scale, (self.centre - other.centre) / other.scale
        constant, linear, square = other.llr_coefficients
        in_own_z = np.array(
            [
                constant + linear * shift + square * shift**2,
                (linear + 2 * square * shift) * step,
                square * step**2,
            ]
        )
        score_Q = np.union1d(self.score_Q, other.score_Q)
        log_fmr_2xQ = np.log([each.false_match_rate(score_Q) for each in (self, other)])
        return self._replace(
            llr_coefficients=(1 - share) * self.llr_coefficients + share * in_own_z,
            score_Q=score_Q,
            fmr_Q=np.exp((1 - share) * log_fmr_2xQ[0] + share * log_fmr_2xQ[1]),
            genuine=min(self.genuine, other.genuine),
            impostors=min(self.impostors, other.impostors),
        )

    def to_json(self) -> dict[str, Any]:
        """As plain numbers and lists."""
        return {
            'centre': self.centre,
            'scale': self.scale,
            'nats_3': self.llr_coefficients.tolist(),
            'score_Q': self.score_Q.tolist(),
            'fmr_Q': self.fmr_Q.tolist(),
            'genuine': self.genuine,
            'impostors': self.impostors,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """The calibration that `to_json` wrote.

        Raises:
          ValueError, KeyError, TypeError: the content is damaged.
        """
        calibration = cls(
            centre=content['centre'],
            scale=content['scale'],
            llr_coefficients=np.asarray(content['nats_3'], float),
            score_Q=np.asarray(content['score_Q'], float),
            fmr_Q=np.asarray(content['fmr_Q'], float),
            genuine=content['genuine'],
            impostors=content['impostors'],
        )
        arrays = calibration.llr_coefficients, calibration.score_Q, calibration.fmr_Q
        numbers = [calibration.centre, calibration.scale, *map(np.ravel, arrays)]
        if not np.isfinite(np.hstack(numbers)).all() or not calibration.scale > 0:
            raise ValueError('its numbers are not finite')
        shapes = [calibration.llr_coefficients.shape, calibration.fmr_Q.shape]
        if shapes != [(3,), (calibration.score_Q.size,)] or not calibration.score_Q.size:
            raise ValueError('its lists have other lengths')
        if not (calibration.fmr_Q > 0).all():
            raise ValueError('a false match rate is not above 0')
        return calibration


def prior_probability(gallery: int, enrolled: float) -> float:
    """Prior probability of each person in a gallery that they are the one described.

    Args:
      gallery: number of people in it.
      enrolled: prior probability that the person described is one of them.

    Raises:
      ValueError: the gallery is empty, or `enrolled` is not between 0 and 1.
    """
    if gallery < 1:
        raise ValueError('an empty gallery holds nobody')
    if not 0 < enrolled < 1:
        raise ValueError(f'enrolled is a probability between 0 and 1, not {enrolled}')
    return enrolled / gallery


def cllr(llr_genuine_P: np.ndarray, llr_impostor_Q: np.ndarray) -> float:
    """Cllr in bits: 0 is perfect, 1 is an uninformative ratio (Brümmer & du Preez 2006)."""
    genuine = np.logaddexp(0, -np.asarray(llr_genuine_P)).mean()
    impostor = np.logaddexp(0, np.asarray(llr_impostor_Q)).mean()
    return float((genuine + impostor) / 2 / np.log(2))


def _regression(z_N: np.ndarray, genuine: int) -> np.ndarray:
    """Terms in 1, z and z^2 of the log-likelihood ratio; the first `genuine` of z are genuine."""
    from sklearn.linear_model import LogisticRegression  # slow to import, and searching needs none

    impostors = len(z_N) - genuine
    is_genuine_N = np.arange(len(z_N)) < genuine
    weight_N = np.where(is_genuine_N, _GENUINE / genuine, (1 - _GENUINE) / impostors) * len(z_N)
    fitted = LogisticRegression(C=np.inf, tol=1e-8, max_iter=1000).fit(
        np.stack([z_N, z_N**2], axis=1), is_genuine_N, weight_N
    )
    return np.append(fitted.intercept_ - np.log(_GENUINE / (1 - _GENUINE)), fitted.coef_)


def _tail(impostor_Q: np.ndarray, points: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores, rising, and the false match rates at them, by the rule (r + 1) / (n + 1).

    The ranks are dense where matches are rare, since there a decision is made.
    """
    rising = np.sort(impostor_Q)
    ranks = np.unique(np.geomspace(1, len(rising), points).round().astype(int))
    score = np.unique(rising[len(rising) - ranks])
    as_high = len(rising) - np.searchsorted(rising, score)
    above = np.nextafter(rising[-1], np.inf)
    return np.append(score, above), (np.append(as_high, 0) + 1.0) / (len(rising) + 1.0)
