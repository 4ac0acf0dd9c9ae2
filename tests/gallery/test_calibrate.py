"""How scores are judged: from validation pairs that are told apart rightly, once a model."""

import json

import numpy as np
import pytest

from diface_jax.gallery import calibrate
from diface_jax.gallery.calibration import Calibration
from diface_jax.gallery.decision_rule import PHOTO, TEXT_AND_PHOTO, DecisionRule
from diface_jax.gallery.vocabulary import words_of
from diface_jax.models.diface import Sampling
from diface_jax.models.features import Features
from tests import population

THRESHOLDS = {'grammar-100/cross/random': 0.2, 'human/cross/random': 0.3, 'human/same/random': 9}


class Encoding:
    """Features that tell of the person, of the population's validation split.

    With another sampling, all features are twice as long, and with them scores four times.
    """

    validated_sampling = Sampling(1, 4)

    def __init__(self, model='first', sampling=validated_sampling):
        self.model, self.sampling, self.asked = model, sampling, 0

    def validation(self):
        self.asked += 1
        data = population.prepared()
        split = data.splits['validation']
        rng = np.random.default_rng(0)
        place = rng.standard_normal((split.identity_N.max() + 1, 16))
        photo_NxF = place[split.identity_N] + rng.standard_normal((len(split.identity_N), 16))
        text_TxF = photo_NxF[split.photo_T] + rng.standard_normal((len(split.photo_T), 16))
        scale = 1 if self.sampling == self.validated_sampling else 4
        features = Features(scale * text_TxF / 16, photo_NxF)
        thresholds = {name: scale * threshold for name, threshold in THRESHOLDS.items()}
        return calibrate.ValidationScores(data, features, np.arange(len(split.photo_T)), thresholds)


def test_pairs_are_of_other_photos_and_of_everybody_else():
    data, features, texts, *_ = Encoding().validation()
    genuine, impostor = calibrate.cross_scores(features, data, texts)
    split = data.splits['validation']
    expected = {True: [], False: []}
    for text in texts:
        for photo in range(len(split.identity_N)):
            described = split.photo_T[text]
            if photo != described:
                same = split.identity_N[photo] == split.identity_N[described]
                score = features.text_TxF[text] @ features.photo_NxF[photo]
                expected[bool(same)].append(score)
    np.testing.assert_allclose(np.sort(genuine), np.sort(expected[True]))
    np.testing.assert_allclose(np.sort(impostor), np.sort(expected[False]))


def test_free_hand_sentences_are_judged_by_where_there_are_enough(monkeypatch):
    data, _, texts, *_ = Encoding().validation()
    human = data.splits['validation'].texts('human')
    monkeypatch.setattr(calibrate, '_ENOUGH', len(human))
    assert calibrate.calibration_texts(data, texts).tolist() == human.tolist()
    monkeypatch.setattr(calibrate, '_ENOUGH', len(human) + 1)
    assert calibrate.calibration_texts(data, texts).tolist() == texts.tolist()


def test_made_once_a_model_and_kept(tmp_path):
    first = Encoding()
    made = calibrate.load_or_calibrate(first, tmp_path)
    again = calibrate.load_or_calibrate(first, tmp_path)
    assert first.asked == 1
    assert json.dumps(again.calibration.to_json()) == json.dumps(made.calibration.to_json())
    assert made.threshold == 0.3
    other = Encoding('second')
    calibrate.load_or_calibrate(other, tmp_path)
    assert other.asked == 1
    assert json.loads((tmp_path / calibrate.FILE).read_text())['model'] == 'second'


def test_another_sampling_is_calibrated_anew_and_never_gets_the_old_numbers(tmp_path):
    first = calibrate.load_or_calibrate(Encoding(), tmp_path)
    sampled = Encoding(sampling=Sampling(10, 4))
    other = calibrate.load_or_calibrate(sampled, tmp_path)
    assert (first.threshold, other.threshold) == (0.3, 1.2)
    assert other.calibration.scale == pytest.approx(4 * first.calibration.scale)
    assert calibrate.load_or_calibrate(sampled, tmp_path).threshold == 1.2
    assert sampled.asked == 1
    validated = Encoding()
    again = calibrate.load_or_calibrate(validated, tmp_path)
    assert again.threshold == 0.3
    assert validated.asked == 1


def test_a_calibration_of_an_earlier_version_is_of_the_validated_sampling(tmp_path):
    calibrate.load_or_calibrate(Encoding(), tmp_path)
    file = tmp_path / calibrate.FILE
    content = json.loads(file.read_text())
    del content['sampling']
    file.write_text(json.dumps(content))
    for encoding, fits in ((Encoding(), 0), (Encoding(sampling=Sampling(2)), 1)):
        calibrate.load_or_calibrate(encoding, tmp_path)
        assert encoding.asked == fits


def test_rates_are_shares_of_the_labels(tmp_path):
    rates = calibrate.load_or_calibrate(Encoding(), tmp_path).rates
    label_NxA = population.prepared().splits['validation'].label_NxA
    assert rates == pytest.approx(dict(zip(population.ATTRIBUTES, label_NxA.mean(0), strict=True)))


def with_photos(scores):
    """Scores of probes with photos of 24 and of 7 pixels, the latter with more noise."""
    split, rng = scores.data.splits['validation'], np.random.default_rng(1)

    def probes(face_px, noise, threshold):
        photo_TxF = scores.features.photo_NxF[split.photo_T]
        text_TxF = (photo_TxF + noise * rng.standard_normal(photo_TxF.shape)) / 16
        features = Features(text_TxF, scores.features.photo_NxF)
        return calibrate.LevelProbes(face_px, features, threshold)

    levels = [probes(24.0, 0.5, 0.7), probes(7.0, 2.0, 0.4)]
    return scores._replace(with_photo={PHOTO: levels, TEXT_AND_PHOTO: levels})


def test_photos_have_rules_by_their_width():
    scores = with_photos(Encoding().validation())
    rule = calibrate.fit_decision_rule(scores)
    for kind in (PHOTO, TEXT_AND_PHOTO):
        widths, (poor, good) = rule.with_photo[kind]
        assert widths == (7.0, 24.0)
        assert (poor.threshold, good.threshold) == (0.4, 0.7)
        assert len(good.calibration.score_Q) <= calibrate._POINTS + 1
        for of_level, fitted in zip(scores.with_photo[kind], (good, poor), strict=True):
            texts = calibrate.calibration_texts(scores.data, scores.texts)
            genuine, impostor = calibrate.cross_scores(of_level.features, scores.data, texts)
            whole = Calibration.fit(genuine, impostor)
            assert fitted.calibration.llr(0.5) == pytest.approx(whole.llr(0.5))
            # Fewer points, but the same curve.
            rare = float(np.quantile(impostor, 0.95))
            assert fitted.calibration.false_match_rate(rare) == pytest.approx(0.05, rel=0.1)
    assert calibrate.fit_decision_rule(Encoding().validation()).with_photo == {}


def test_threshold_without_free_hand_sentences():
    assert calibrate.cross_threshold({'a/same/random': 1.0, 'a/cross/random': 2.0}) == 2.0


def test_a_read_only_model_folder_is_searched_with_a_warning(tmp_path, monkeypatch, caplog):
    made = calibrate.load_or_calibrate(Encoding(), tmp_path / 'writable')

    def refuse(path, content):
        raise PermissionError(13, 'Permission denied', str(path))

    monkeypatch.setattr(calibrate.run_state, 'write_json', refuse)
    with caplog.at_level('WARNING', 'absl'):
        again = calibrate.load_or_calibrate(Encoding(), tmp_path)
    assert json.dumps(again.calibration.to_json()) == json.dumps(made.calibration.to_json())
    assert 'calibration.json cannot be written (Permission denied)' in caplog.text


@pytest.fixture(scope='module')
def kept_calibration(tmp_path_factory):
    folder = tmp_path_factory.mktemp('kept')
    calibrate.load_or_calibrate(Encoding(), folder)
    return json.loads((folder / calibrate.FILE).read_text())


@pytest.mark.parametrize(
    'damage',
    [
        lambda made: '{',
        lambda made: '[]',
        lambda made: '[' * 100_000,
        lambda made: json.dumps({**made, 'calibration': {}}),
        lambda made: json.dumps({**made, 'rates': {'Male': 7}}),
        lambda made: json.dumps({**made, 'rates': []}),
        lambda made: json.dumps({**made, 'threshold': float('nan')}),
        lambda made: json.dumps({**made, 'calibration': {**made['calibration'], 'scale': 0}}),
        lambda made: json.dumps({**made, 'calibration': {**made['calibration'], 'nats_3': [1]}}),
        lambda made: json.dumps({**made, 'calibration': {**made['calibration'], 'score_Q': ['a']}}),
        lambda made: json.dumps({**made, 'words': 7}),
    ],
)
def test_a_damaged_calibration_is_made_again(tmp_path, kept_calibration, damage, caplog):
    (tmp_path / calibrate.FILE).write_text(damage(kept_calibration))
    fitted = []
    with pytest.MonkeyPatch.context() as patched:
        rule = DecisionRule.from_json(kept_calibration)
        patched.setattr(calibrate, 'fit_decision_rule', lambda _: fitted.append(1) or rule)
        again = calibrate.load_or_calibrate(Encoding(), tmp_path)
    assert fitted
    assert again.calibration.to_json() == kept_calibration['calibration']
    assert json.loads((tmp_path / calibrate.FILE).read_text()) == kept_calibration
    assert 'is damaged' in caplog.text


def test_the_words_of_the_validation_sentences_are_kept(tmp_path):
    sentences = population.prepared().splits['validation'].text_T
    calibrate.load_or_calibrate(Encoding(), tmp_path)
    kept = calibrate.load_or_calibrate(Encoding(), tmp_path).words
    assert kept == {word for text in sentences for word in words_of(text)}
    assert kept
