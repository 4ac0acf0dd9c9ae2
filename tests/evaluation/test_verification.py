"""Pairs that obey the protocol; error rates of hand-made scores."""

import numpy as np
import pytest
from sklearn import metrics

from diface_jax.evaluation import verification as v

GENUINE = np.array([True, True, True, True, False, False, False, False])
SCORE = np.array([0.9, 0.8, 0.6, 0.3, 0.7, 0.4, 0.2, 0.1])


def population(seed=0, photos=300):
    rng = np.random.default_rng(seed)
    identity = rng.integers(0, 80, photos)
    gender = (np.arange(80) % 2)[identity]
    return rng, identity, gender, rng.integers(0, photos, 200)


@pytest.mark.parametrize('protocol', v.PROTOCOLS)
@pytest.mark.parametrize('by_gender', [False, True])
def test_pairs_obey_the_protocol(protocol, by_gender):
    rng, identity, gender, owner = population()
    pairs = v.draw_pairs(rng, owner, identity, protocol, gender if by_gender else None)
    described = owner[pairs.text_P]
    same_person = identity[described] == identity[pairs.photo_P]
    np.testing.assert_array_equal(same_person, pairs.genuine_P)
    if protocol == 'same':
        np.testing.assert_array_equal(described == pairs.photo_P, pairs.genuine_P)
    else:
        assert not np.any(described == pairs.photo_P)
    if by_gender:
        np.testing.assert_array_equal(gender[described], gender[pairs.photo_P])


def test_cross_leaves_out_people_with_one_photo():
    identity = np.array([0, 0, 1, 2, 2])
    pairs = v.draw_pairs(np.random.default_rng(0), np.arange(5), identity, 'cross')
    assert set(pairs.text_P) == {0, 1, 3, 4}


def test_nobody_to_pair():
    with pytest.raises(ValueError, match='cross'):
        v.draw_pairs(np.random.default_rng(0), np.arange(3), np.arange(3), 'cross')
    with pytest.raises(ValueError, match='unknown protocol'):
        v.draw_pairs(np.random.default_rng(0), np.arange(3), np.arange(3), 'crossed')


@pytest.mark.parametrize(
    ('protocol', 'gender_N', 'needs'),
    [
        ('cross', None, 'it needs two people, one of them with a second photo'),
        ('same', [0, 1], 'it needs two people of the same gender. Give data.shares'),
    ],
)
def test_too_few_people_are_told_what_is_missing(protocol, gender_N, needs):
    rng, photos = np.random.default_rng(0), np.arange(2)
    with pytest.raises(ValueError, match=r'among 2 people with 2 photos, 2 of them') as error:
        v.draw_pairs(rng, photos, np.arange(2), protocol, gender_N)
    assert needs in str(error.value)


def test_impostors_are_drawn_from_everybody_else():
    identity = np.array([0, 0, 1, 2, 3])
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(100):
        pairs = v.draw_pairs(rng, np.array([0]), identity, 'same')
        seen.add(int(pairs.photo_P[1]))
    assert seen == {2, 3, 4}


def test_roc_of_a_hand_made_list():
    curve = v.roc_curve(SCORE, GENUINE)
    np.testing.assert_allclose(curve.tar, [0, 0.25, 0.5, 0.5, 0.75, 0.75, 1, 1, 1])
    np.testing.assert_allclose(curve.far, [0, 0, 0, 0.25, 0.25, 0.5, 0.5, 0.75, 1])
    # 0.9 and 0.8 beat all four impostors, 0.6 three of them, 0.3 two.
    assert v.auc(curve) == pytest.approx(13 / 16)
    assert v.equal_error_rate(curve) == pytest.approx(0.25)
    assert v.tar_at_far(curve, 0.1) == pytest.approx(0.5)
    assert v.tar_at_far(curve, 0.25) == pytest.approx(0.75)
    # Accepting 0.9, 0.8 (tar - far = 0.5) is as good as up to 0.6 or 0.3: the strictest is chosen.
    assert v.best_balanced_threshold(curve) == pytest.approx(0.75)


def test_accuracy_at_a_threshold():
    assert v.accuracy(SCORE, GENUINE, 0.5) == pytest.approx(0.75)
    assert v.accuracy(SCORE, GENUINE, 0.7) == pytest.approx((0.5 + 0.875) / 2)
    assert v.accuracy(SCORE, GENUINE, 2.0) == pytest.approx(0.5)


def test_an_oracle_gets_everything_right():
    curve = v.roc_curve(GENUINE.astype(float), GENUINE)
    s = v.best_balanced_threshold(curve)
    assert v.auc(curve) == 1.0
    assert v.equal_error_rate(curve) == 0.0
    assert v.tar_at_far(curve, 0.001) == 1.0
    assert v.accuracy(GENUINE.astype(float), GENUINE, s) == 1.0


def test_a_constant_scorer_gets_half():
    constant = np.full(8, 0.3)
    curve = v.roc_curve(constant, GENUINE)
    assert v.auc(curve) == 0.5
    assert v.equal_error_rate(curve) == pytest.approx(0.5)
    assert v.accuracy(constant, GENUINE, v.best_balanced_threshold(curve)) == 0.5


def test_weights_are_repeats():
    """A pair of weight 3 counts as three pairs; weight 0 as none."""
    weight = np.array([3, 0, 1, 2, 1, 0, 2, 1])
    weighted = v.roc_curve(SCORE, GENUINE, weight)
    repeated = v.roc_curve(np.repeat(SCORE, weight), np.repeat(GENUINE, weight))
    assert v.auc(weighted) == pytest.approx(v.auc(repeated))
    assert v.equal_error_rate(weighted) == pytest.approx(v.equal_error_rate(repeated))
    assert v.accuracy(SCORE, GENUINE, 0.5, weight) == pytest.approx(
        v.accuracy(np.repeat(SCORE, weight), np.repeat(GENUINE, weight), 0.5)
    )


def test_a_score_that_is_not_a_number():
    with pytest.raises(ValueError, match='1 of 8'):
        v.roc_curve(np.where(np.arange(8) == 3, np.nan, SCORE), GENUINE)


def test_needs_both_kinds():
    with pytest.raises(ValueError, match='genuine and impostor'):
        v.roc_curve(SCORE, np.ones(8, bool))


def plain_curve(score_P, genuine_P):
    """Rates at infinity and at each distinct score, counted."""
    threshold = np.append(np.inf, np.unique(score_P)[::-1])
    accepted = score_P >= threshold[:, None]
    return v.RocCurve(accepted[:, ~genuine_P].mean(1), accepted[:, genuine_P].mean(1), threshold)


@pytest.mark.parametrize('levels', [1, 2, 9, 40, 10_000])  # the fewer, the more scores are equal
@pytest.mark.parametrize('genuine', [1, 3, 30])
@pytest.mark.parametrize(('dtype', 'part'), [(np.float32, 1000), (np.float64, 7)])
def test_few_genuine_pairs_among_many_impostors(levels, genuine, dtype, part, monkeypatch):
    monkeypatch.setattr(v, '_PART', part)
    rng = np.random.default_rng(levels + genuine)
    score_P = (rng.integers(0, levels, 400) / 7).astype(dtype)
    genuine_P = rng.permutation(400) < genuine
    curve, plain = v.roc_curve(score_P, genuine_P), plain_curve(score_P, genuine_P)
    points = {*zip(*plain, strict=True)}
    assert {*zip(*curve, strict=True)} <= points
    assert v.auc(curve) == pytest.approx(v.auc(plain), abs=1e-14)
    assert v.equal_error_rate(curve) == pytest.approx(v.equal_error_rate(plain), abs=1e-14)
    assert v.best_balanced_threshold(curve) == v.best_balanced_threshold(plain)
    for far in (0, 0.001, 0.01, 0.1, 0.3, 1):
        assert v.tar_at_far(curve, far) == v.tar_at_far(plain, far)


def test_a_line_of_impostors_needs_its_ends_alone():
    """One genuine score among many: infinity, highest, its neighbours, itself, lowest."""
    curve = v.roc_curve(np.arange(1000), np.arange(1000) == 500)
    np.testing.assert_array_equal(curve.threshold, [np.inf, 999, 501, 500, 499, 0])
    np.testing.assert_allclose(curve.far * 999, [0, 1, 499, 499, 500, 999])
    np.testing.assert_array_equal(curve.tar, [0, 0, 0, 1, 1, 1])


def test_impostors_that_equal_a_genuine_score_count_at_its_threshold():
    score_P = np.array([2.0, 2, 2, *np.ones(97)])
    curve = v.roc_curve(score_P, np.arange(100) == 1)
    np.testing.assert_allclose(curve.far, [0, 2 / 99, 1])
    np.testing.assert_array_equal(curve.tar, [0, 1, 1])


def test_one_kind_alone_among_many_pairs():
    for genuine_P in (np.zeros(100, bool), np.ones(100, bool)):
        with pytest.raises(ValueError, match='genuine and impostor'):
            v.roc_curve(np.arange(100.0), genuine_P)
    with pytest.raises(ValueError, match='2 of 100'):
        v.roc_curve(np.where(np.arange(100) < 2, np.nan, 0.5), np.arange(100) == 50)


@pytest.mark.parametrize('seed', range(3))
@pytest.mark.parametrize('levels', [2, 7, 10_000])  # the fewer, the more scores are equal
def test_error_rates_are_those_of_scikit_learn(seed, levels):
    rng = np.random.default_rng(seed)
    score_TxN = rng.integers(0, levels, (20, 30)) / 7
    score_P = score_TxN[rng.integers(0, 20, 500), rng.integers(0, 30, 500)]
    genuine_P = rng.random(500) < 0.3
    curve = v.roc_curve(score_P, genuine_P)
    far, tar, threshold = metrics.roc_curve(genuine_P, score_P, drop_intermediate=False)
    np.testing.assert_allclose(curve.far, far)
    np.testing.assert_allclose(curve.tar, tar)
    np.testing.assert_array_equal(curve.threshold, threshold)
    assert v.auc(curve) == pytest.approx(metrics.roc_auc_score(genuine_P, score_P))
    s = np.median(score_P) + 0.01  # no score is at it, where a pair counts half
    balanced = metrics.balanced_accuracy_score(genuine_P, score_P > s)
    assert v.accuracy(score_P, genuine_P, s) == pytest.approx(balanced)
