"""Scores a method on validation pairs: the metric of every choice, and the thresholds."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from diface_jax.data.prepared import Prepared
from diface_jax.evaluation import protocols, verification
from diface_jax.models.features import Features

# Fixed, so that all methods and all steps are compared on the same pairs.
REPETITIONS = protocols.Repetitions(draws=4, resamples=0, seed=20_000)


class ValidationResult(NamedTuple):
    """Metrics for the log, and the threshold of each condition."""

    metrics: dict[str, float]
    thresholds: dict[str, float]


class ValidationPairs:
    """Pairs of the validation split, the same for every method.

    Early stopping and every other choice maximise 'validation/auc': the mean AUC over both
    protocols of the first track (the grammar's sentences at the first coverage) and the human
    track, or of the one that exists.

    Args:
      data: prepared, with a validation split.
      coverage: shares of the attributes that the grammar's sentences state (`captions.coverage`).

    Attributes:
      split: the validation split.
      draws: the pairs by condition.

    Raises:
      ValueError: there is no validation split, or it has no sentence; says what to do.
    """

    def __init__(self, data: Prepared, coverage: Sequence[float]) -> None:
        if 'validation' not in data.splits:
            raise ValueError(
                'there is no validation photo to select the model by: give data.shares a share '
                'for validation, or draw another split with data.split_seed'
            )
        self.split = data.splits['validation']
        self._texts = self.split.tracks(coverage)
        if not self._texts:
            raise ValueError('no validation photo has a sentence to select the model by')
        gender_N = data.gender('validation')
        self.draws = {
            condition: protocols.draw_pair_sets(
                self.split, self._texts[condition.track], condition, gender_N, REPETITIONS
            )
            for condition in protocols.conditions(tuple(self._texts), gender_N is not None)
        }

    def judge(self, scorer: protocols.Scorer) -> ValidationResult:
        """AUCs and thresholds of a method, from its features or scores of the validation split."""
        metrics, thresholds = {}, {}
        for condition, draws in self.draws.items():
            thresholds[condition.name] = protocols.choose_threshold(scorer, draws)
            if condition.impostors == 'random':
                curves = [
                    verification.roc_curve(protocols.pair_scores(scorer, pairs), pairs.genuine_P)
                    for pairs in draws
                ]
                name = f'validation/auc/{condition.track}/{condition.protocol}'
                metrics[name] = float(np.mean([verification.auc(curve) for curve in curves]))
        tracks = {next(iter(self._texts)), 'human'} & set(self._texts)
        aucs = [
            metrics[f'validation/auc/{track}/{protocol}']
            for track, protocol in itertools.product(sorted(tracks), verification.PROTOCOLS)
        ]
        metrics['validation/auc'] = float(np.mean(aucs))
        return ValidationResult(metrics, thresholds)

    def cross_auc(self, features: Features) -> float:
        """The mean AUC of the protocol cross for the texts of `first_track`."""
        curves = [
            verification.roc_curve(protocols.pair_scores(features, pairs), pairs.genuine_P)
            for pairs in self._cross_draws
        ]
        return float(np.mean([verification.auc(curve) for curve in curves]))

    def cross_threshold(self, features: Features) -> float:
        """The threshold s of the protocol cross for the texts of `first_track`."""
        return protocols.choose_threshold(features, self._cross_draws)

    @property
    def _cross_draws(self) -> Sequence[verification.VerificationPairs]:
        """The pairs of the texts of `first_track` with other photos, and with random impostors."""
        wanted = self._first, 'cross', 'random'
        return next(
            draws
            for condition, draws in self.draws.items()
            if (condition.track, condition.protocol, condition.impostors) == wanted
        )

    @property
    def _first(self) -> str:
        return 'human' if 'human' in self._texts else next(iter(self._texts))

    @property
    def first_track(self) -> np.ndarray:
        """Rows of the human track's texts or, where it has none, of the first track's."""
        return self._texts[self._first]

    @property
    def texts(self) -> np.ndarray:
        """Rows of the texts that pairs are drawn from."""
        return np.sort(np.concatenate(list(self._texts.values())))
