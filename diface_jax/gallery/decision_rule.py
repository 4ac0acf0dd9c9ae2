"""How the scores of a model become decisions and probabilities."""

import types
from collections.abc import Mapping
from typing import Any, NamedTuple, Self

from diface_jax.gallery.calibration import Calibration
from diface_jax.gallery.score_rule import ScoreRule, WidthRules

# The kinds of a probe: what a search is given of the person.
TEXT, PHOTO, TEXT_AND_PHOTO = 'text', 'photo', 'text+photo'


class DecisionRule(NamedTuple):
    """How scores become decisions and probabilities.

    Attributes:
      calibration: of probes that are text alone: from scores to log-likelihood ratios and false
        match rates.
      threshold: s of text alone, chosen on validation.
      rates: the share of validation photos that show each attribute.
      words: the words of the validation sentences.
      with_photo: the rules of the probes PHOTO and TEXT_AND_PHOTO; empty where the model does not
        take photographs as probes.
    """

    calibration: Calibration
    threshold: float
    rates: Mapping[str, float]
    words: frozenset[str] = frozenset()
    with_photo: Mapping[str, WidthRules] = types.MappingProxyType({})

    @property
    def of_texts(self) -> ScoreRule:
        """The rule of probes that are text alone."""
        return ScoreRule(self.calibration, self.threshold)

    def of_probe(self, kind: str, detail_px: float | None = None) -> ScoreRule:
        """The rule of a kind of probe.

        Args:
          kind: TEXT, PHOTO or TEXT_AND_PHOTO.
          detail_px: width of the face in the probe's photo, in pixels; of a blurred face, that of a
            sharp one that shows as much.
        """
        return self.of_texts if kind == TEXT else self.with_photo[kind].at(detail_px)

    def to_json(self) -> dict[str, Any]:
        """As plain numbers, texts and lists."""
        return {
            **self.of_texts.to_json(),
            'rates': dict(self.rates),
            'words': sorted(self.words),
            'with_photo': {kind: rules.to_json() for kind, rules in self.with_photo.items()},
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
        # Files of earlier versions have no words, and no rules for photographs.
        words, rules = frozenset(content.get('words', ())), content.get('with_photo', {})
        if rules and set(rules) != {PHOTO, TEXT_AND_PHOTO}:
            raise ValueError('the rules of a kind of probe are missing')
        with_photo = {kind: WidthRules.from_json(each) for kind, each in rules.items()}
        return cls(*ScoreRule.from_json(content), rates, words, with_photo)
