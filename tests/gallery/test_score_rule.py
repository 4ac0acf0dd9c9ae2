"""Rules between face widths: those of the neighbours, in the logarithm of the width."""

import json

import numpy as np
import pytest

from diface_jax.gallery.calibration import Calibration
from diface_jax.gallery.decision_rule import PHOTO, TEXT, TEXT_AND_PHOTO, DecisionRule
from diface_jax.gallery.score_rule import ScoreRule, WidthRules

SHARE = (np.arange(2000) + 0.5) / 2000


def rule(genuine, threshold, spread=0.5):
    """Of scores spread evenly around `genuine`, and around 0."""
    around = spread * (2 * SHARE - 1)
    return ScoreRule(Calibration.fit(genuine + around[::10] / 2, around), threshold)


POOR, GOOD = rule(0.3, 0.2), rule(0.7, 0.4, spread=0.4)
RULES = WidthRules((8.0, 32.0), (POOR, GOOD))
SCORES = np.linspace(0.1, 0.35, 40)  # where both ratios rise


def test_at_a_known_width_and_outside_it_is_that_widths_rule():
    assert RULES.at(8.0) is RULES.at(3.0) is POOR
    assert RULES.at(32.0) is RULES.at(500.0) is GOOD


def test_between_two_widths_ratios_and_log_rates_are_interpolated():
    half = RULES.at(16.0)  # half way in the logarithm
    assert half.threshold == pytest.approx(0.3)
    ends = POOR.calibration, GOOD.calibration
    middle = np.mean([end.llr(SCORES) for end in ends], axis=0)
    np.testing.assert_allclose(half.calibration.llr(SCORES), middle, atol=1e-6)
    rates = np.prod([end.false_match_rate(SCORES) for end in ends], axis=0) ** 0.5
    np.testing.assert_allclose(half.calibration.false_match_rate(SCORES), rates, rtol=1e-6)
    wide = np.linspace(-2, 2, 500)
    assert (np.diff(half.calibration.llr(wide)) >= 0).all()


def test_a_decision_rule_keeps_the_kinds_apart():
    whole = DecisionRule(*GOOD, {'Male': 0.4}, with_photo={PHOTO: RULES, TEXT_AND_PHOTO: RULES})
    again = DecisionRule.from_json(json.loads(json.dumps(whole.to_json())))
    assert again.of_probe(TEXT).threshold == 0.4
    assert again.of_probe(PHOTO, 9.0).threshold == pytest.approx(RULES.at(9.0).threshold)
    assert not DecisionRule.from_json(DecisionRule(*GOOD, {}).to_json()).with_photo


@pytest.mark.parametrize(
    'damage',
    [
        {'widths': []},
        {'widths': [32.0, 8.0]},
        {'widths': [0.0, 8.0]},
        {'widths': [8.0]},
        {'widths': [8.0, float('nan')]},
        {'rules': [{}, {}]},
    ],
)
def test_damaged_rules_are_refused(damage):
    with pytest.raises((ValueError, KeyError)):
        WidthRules.from_json({**RULES.to_json(), **damage})
