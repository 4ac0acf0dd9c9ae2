"""How the scores of a model become decisions and probabilities."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple, Self

from diface_jax.gallery.calibration import Calibration


class DecisionRule(NamedTuple):
    """How scores become decisions and probabilities.

    Attributes:
      calibration: from scores to log-likelihood ratios and false match rates.
      threshold: s, chosen on validation.
      rates: the share of validation photos that show each attribute.
      words: the words of the validation sentences.
    """

    calibration: Calibration
    threshold: float
    rates: Mapping[str, float]
    words: frozenset[str] = frozenset()

    def to_json(self) -> dict[str, Any]:
        """As plain numbers, texts and lists."""
        return {
            'calibration': self.calibration.to_json(),
            'threshold': self.threshold,
            'rates': dict(self.rates),
            'words': sorted(self.words),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """The rule that `to_json` wrote.

        Raises:
          ValueError, KeyError, TypeError: the content is damaged.
        """
        rates = {str(name): float(rate) for name, rate in content['rates'].items()}
        if not all(0 <= rate <= 1 for rate in rates.values()):
            raise ValueError('a rate is not between 0 and 1')
        threshold = float(content['threshold'])
        if not math.isfinite(threshold):
            raise ValueError('the threshold is not finite')
        calibration = Calibration.from_json(content['calibration'])
        # Files of earlier versions have no words.
        return cls(calibration, threshold, rates, frozenset(content.get('words', ())))
