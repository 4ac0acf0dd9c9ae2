"""From the scores of one kind of probe to matches and probabilities, also between face widths.

Scores of a good photograph are higher than those of a poor one, and words score otherwise again. So
each kind of probe has a rule of its own, and photographs one for each of several face widths.
"""

import itertools
import math
from collections.abc import Mapping
from typing import Any, NamedTuple, Self

from diface_jax.gallery.calibration import Calibration


class ScoreRule(NamedTuple):
    """From scores to log-likelihood ratios, false match rates and matches.

    Attributes:
      calibration: from scores to log-likelihood ratios and false match rates.
      threshold: s, chosen on validation.
    """

    calibration: Calibration
    threshold: float

    def blend(self, other: Self, share: float) -> Self:
        """The rule between this one (share 0) and another (share 1)."""
        threshold = (1 - share) * self.threshold + share * other.threshold
        return type(self)(self.calibration.blend(other.calibration, share), threshold)

    def to_json(self) -> dict[str, Any]:
        """As plain numbers and lists."""
        return {'calibration': self.calibration.to_json(), 'threshold': self.threshold}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """The rule that `to_json` wrote.

        Raises:
          ValueError, KeyError, TypeError: the content is damaged.
        """
        threshold = float(content['threshold'])
        if not math.isfinite(threshold):
            raise ValueError('the threshold is not finite')
        return cls(Calibration.from_json(content['calibration']), threshold)


class WidthRules(NamedTuple):
    """The rules of a kind of probe by the width of the face in its photograph.

    Attributes:
      widths: in pixels, rising.
      rules: one for each width.
    """

    widths: tuple[float, ...]
    rules: tuple[ScoreRule, ...]

    def at(self, face_px: float) -> ScoreRule:
        """The rule for a face of this width, interpolated in log2 of the width.

        Below the least width and above the greatest it is the rule of that width.
        """
        pairs = list(zip(self.widths, self.rules, strict=True))
        for (low, below), (high, above) in itertools.pairwise(pairs):
            if low < face_px < high:
                return below.blend(above, math.log2(face_px / low) / math.log2(high / low))
            if face_px <= low:
                return below
        return self.rules[-1]

    def to_json(self) -> dict[str, Any]:
        """As plain numbers and lists."""
        return {'widths': list(self.widths), 'rules': [rule.to_json() for rule in self.rules]}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """The rules that `to_json` wrote.

        Raises:
          ValueError, KeyError, TypeError: the content is damaged.
        """
        widths = tuple(map(float, content['widths']))
        if not widths or not all(map(math.isfinite, widths)) or min(widths) <= 0:
            raise ValueError('a width is not a number of pixels')
        if list(widths) != sorted(set(widths)) or len(widths) != len(content['rules']):
            raise ValueError('the widths do not rise, or are not as many as the rules')
        return cls(widths, tuple(map(ScoreRule.from_json, content['rules'])))
