"""How good the model is on validation, and the thresholds it would use."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from diface_jax.data.prepared import Prepared
from diface_jax.evaluation import protocols, verification
from diface_jax.models.features import Features

# Fixed, so that every method and every step is judged on the same pairs.
EFFORT = protocols.Repetitions(draws=4, resamples=0, seed=20_000)


class ValidationResult(NamedTuple):
    """The outcome: numbers for the log, and a threshold for each condition."""

    metrics: dict[str, float]
    thresholds: dict[str, float]


class ValidationPairs:
    """The validation split's pairs, the same for every method.

    'validation/auc' of a method is what early stopping and every other choice goes by: the mean
    over both protocols of the first track (the grammar's sentences at the first share said) and the
    human track, of those that there are.
    """

    def __init__(self, data: Prepared, said: Sequence[float]) -> None:
        if 'validation' not in data.splits:
            raise ValueError(
                'no validation photo to choose by: give data.shares a share for validation, or '
                'draw the split anew with another data.split_seed'
            )
        self.split = data.splits['validation']
        self._texts = self.split.tracks(said)
        if not self._texts:
            raise ValueError('no validation photo has a sentence to choose by')
        gender_N = data.gender('validation')
        self._draws = {
            condition: protocols.draw_pair_sets(
                self.split, self._texts[condition.track], condition, gender_N, EFFORT
            )
            for condition in protocols.conditions(tuple(self._texts), gender_N is not None)
        }

    def judge(self, features: Features) -> ValidationResult:
        """AUCs and thresholds of a method's features of the validation split."""
        metrics, thresholds = {}, {}
        for condition, draws in self._draws.items():
            thresholds[condition.name] = protocols.choose_threshold(features, draws)
            if condition.impostors == 'random':
                curves = [
                    verification.roc_curve(protocols.pair_scores(features, pairs), pairs.genuine_P)
                    for pairs in draws
                ]
                name = f'validation/auc/{condition.track}/{condition.protocol}'
                metrics[name] = float(np.mean([verification.auc(curve) for curve in curves]))
        tracks = {next(iter(self._texts)), 'human'} & set(self._texts)
        chosen_by = itertools.product(sorted(tracks), verification.PROTOCOLS)
        found = [metrics[f'validation/auc/{track}/{protocol}'] for track, protocol in chosen_by]
        metrics['validation/auc'] = float(np.mean(found))
        return ValidationResult(metrics, thresholds)

    @property
    def texts(self) -> np.ndarray:
        """Rows of all texts that pairs are drawn from."""
        return np.sort(np.concatenate(list(self._texts.values())))
