"""Fits the decision rule of a model on its validation split.

A pack brings its rule along. That of a workdir is fitted at the first search and kept there.
"""

import dataclasses
import json
import logging
import pathlib
import types
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import numpy as np

from diface_jax.data import prepared
from diface_jax.data.prepared import Prepared
from diface_jax.gallery.calibration import Calibration
from diface_jax.gallery.decision_rule import PHOTO, TEXT_AND_PHOTO, DecisionRule
from diface_jax.gallery.score_rule import ScoreRule, WidthRules
from diface_jax.gallery.vocabulary import words_of
from diface_jax.models.diface import Sampling
from diface_jax.models.features import FeatureExtractor, Features, scatter_rows
from diface_jax.models.observation_rows import observations_at
from diface_jax.runtime import mesh as meshes
from diface_jax.runtime import run_state
from diface_jax.training.loaded_model import LoadedModel
from diface_jax.training.model_selection import ValidationPairs

FILE = 'calibration.json'
_log = logging.getLogger('absl')
_KEY = 0  # of the sampler's noise
_ENOUGH = 100  # free-hand sentences to calibrate on
_POINTS = 60  # of a false match rate with a photo: there are as many curves as kinds and widths


class LevelProbes(NamedTuple):
    """Probes with a validation photo at one level of degradation.

    Attributes:
      face_px: the geometric mean of the faces' widths, in pixels.
      features: the probes' features, by rows of texts, beside the photos'.
      threshold: threshold s of the probes.
    """

    face_px: float
    features: Features
    threshold: float


class ValidationScores(NamedTuple):
    """The validation split under a sampling, to calibrate on.

    Attributes:
      data: the prepared data set.
      features: of the validation split.
      texts: rows of the texts that `features` holds.
      thresholds: threshold s by condition ('human/cross/random').
      with_photo: the probes PHOTO and TEXT_AND_PHOTO at each level of degradation; empty where the
        model takes no photographs as probes.
    """

    data: Prepared
    features: Features
    texts: np.ndarray
    thresholds: dict[str, float]
    with_photo: Mapping[str, Sequence[LevelProbes]] = types.MappingProxyType({})


@dataclasses.dataclass(frozen=True)
class ValidationModel:
    """A trained model and the data set that it was validated on.

    Attributes:
      trained: the model.
      sampling: how texts become embeddings.
      train_data: folder of the prepared data set that it was trained on.
    """

    trained: LoadedModel
    sampling: Sampling
    train_data: pathlib.Path

    @property
    def model(self) -> str:
        """The hash of the model."""
        return self.trained.sha256

    @property
    def validated_sampling(self) -> Sampling:
        """The sampling that the checkpoint was validated with."""
        return Sampling(**self.trained.settings['sample'])

    def validation(self) -> ValidationScores:
        """Features of the validation split, with the thresholds of the sampling in use.

        Raises:
          FileNotFoundError: the workdir no longer has the prepared data set.
        """
        data = prepared.load_prepared(self.train_data)
        pairs = ValidationPairs(data, self.trained.settings['captions']['coverage'])
        extractor = FeatureExtractor(self.trained.model, self.sampling, meshes.make_mesh())
        features = extractor.features(
            self.trained.params,
            data.splits['validation'],
            pairs.texts,
            self.trained.normalise,
            jax.random.key(_KEY),
        )
        is_validated = self.sampling == self.validated_sampling
        thresholds = self.trained.thresholds if is_validated else pairs.judge(features).thresholds
        with_photo = {}
        if self.trained.model.quality_dim:
            with_photo = {
                kind: self._photo_probes(kind, data, pairs, extractor, features)
                for kind in (PHOTO, TEXT_AND_PHOTO)
            }
        return ValidationScores(data, features, pairs.texts, thresholds, with_photo)

    def _photo_probes(
        self,
        kind: str,
        data: Prepared,
        pairs: ValidationPairs,
        extractor: FeatureExtractor,
        features: Features,
    ) -> list[LevelProbes]:
        """The probes of a kind at each level of degradation: each text's own photo."""
        split = data.splits['validation']
        texts = np.union1d(calibration_texts(data, pairs.texts), pairs.first_track)
        c_TxC = split.c_TxC[texts] if kind == TEXT_AND_PHOTO else None
        probes = []
        for level, px_N in enumerate(split.observations.face_px_L.T):
            observation = observations_at(
                split.observations, split.photo_T[texts], level, self.trained.normalise
            )
            f_PxF = extractor.of_probes(
                self.trained.params, c_TxC, jax.random.key(_KEY), observation
            )
            f_TxF = scatter_rows(f_PxF, texts, len(split.photo_T))
            of_level = Features(f_TxF, features.photo_NxF)
            face_px = round(float(np.exp(np.log(px_N[px_N > 0]).mean())), 2)
            probes.append(LevelProbes(face_px, of_level, pairs.cross_threshold(of_level)))
        return probes


def load_or_calibrate(model: ValidationModel, workdir: pathlib.Path) -> DecisionRule:
    """The calibration of a model: from WORKDIR/calibration.json, or fitted now and written there.

    A file that is damaged, of another model or of another sampling is replaced. Where the file
    cannot be written, a warning says so.

    Args:
      model: the model and its sampling.
      workdir: folder of the file.

    Raises:
      FileNotFoundError: there is no file for this model and sampling, and no prepared data set to
        fit on; says what to do.
    """
    path = workdir / FILE
    kept = _read(path, model)
    if kept is not None:
        return kept
    _log.info('calibrates scores on the validation split, once; writes %s', path)
    rule = fit_decision_rule(model.validation())
    made_for = {'model': model.model, 'sampling': dataclasses.asdict(model.sampling)}
    try:
        run_state.write_json(path, made_for | rule.to_json())
    except OSError as error:  # such as a model folder that is read-only
        _log.warning(
            '%s cannot be written (%s): this calibration is not kept, and the next command '
            'calibrates again',
            path,
            error.strerror or error,
        )
    return rule


def fit_decision_rule(scores: ValidationScores) -> DecisionRule:
    """Calibrates the scores of a model, with its threshold, on the validation split."""
    data, features, texts, thresholds, with_photo = scores
    chosen = calibration_texts(data, texts)
    sentences = data.splits['validation'].text_T
    return DecisionRule(
        calibration=Calibration.fit(*cross_scores(features, data, chosen)),
        threshold=cross_threshold(thresholds),
        rates=_rates(data),
        words=frozenset(word for text in sentences for word in words_of(text)),
        with_photo={
            kind: _width_rules(data, chosen, probes) for kind, probes in with_photo.items()
        },
    )


def _width_rules(data: Prepared, texts: np.ndarray, probes: Sequence[LevelProbes]) -> WidthRules:
    """The rules of a kind of probe, by the width of the face."""
    rising = sorted(probes, key=lambda each: each.face_px)
    rules = [
        ScoreRule(
            Calibration.fit(*cross_scores(each.features, data, texts), points=_POINTS),
            each.threshold,
        )
        for each in rising
    ]
    return WidthRules(tuple(each.face_px for each in rising), tuple(rules))


def _read(path: pathlib.Path, model: ValidationModel) -> DecisionRule | None:
    """The calibration in the file; None if there is none of this model and sampling."""
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
        # Files of earlier versions are of the sampling that the checkpoint was validated with.
        sampling = content.get('sampling', dataclasses.asdict(model.validated_sampling))
        is_current = sampling == dataclasses.asdict(model.sampling)
        is_current &= content.get('model') == model.model
        return DecisionRule.from_json(content) if is_current else None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        _log.warning('%s is damaged (%s): calibrates again', path, error)
        return None


def calibration_texts(data: Prepared, texts: np.ndarray) -> np.ndarray:
    """Rows of the validation texts to calibrate on: the free-hand ones, or all where these are few.

    Users write free-hand sentences. Grammar sentences give fewer false matches at high scores, so a
    calibration on them would understate false matches.
    """
    human = np.intersect1d(data.splits['validation'].texts('human'), texts)
    return human if len(human) >= _ENOUGH else texts


def cross_scores(
    features: Features, data: Prepared, texts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Genuine and impostor scores of texts.

    Genuine pairs are a text and *other* photos of the person it describes: a gallery rarely has the
    very photo that the text describes. Impostor pairs are a text and photos of all other people.
    """
    split = data.splits['validation']
    genuine, impostor = [], []
    for text_B in np.array_split(texts, -(-len(texts) // 512)):
        score_BxN = features.text_TxF[text_B] @ features.photo_NxF.T
        described_B = split.photo_T[text_B]
        mates_BxN = split.identity_N[described_B][:, None] == split.identity_N
        impostor.append(score_BxN[~mates_BxN])
        mates_BxN[np.arange(len(text_B)), described_B] = False
        genuine.append(score_BxN[mates_BxN])
    return np.concatenate(genuine), np.concatenate(impostor)


def cross_threshold(thresholds: Mapping[str, float]) -> float:
    """The threshold s of free-hand sentences, or of the grammar's where there are no others.

    Args:
      thresholds: by condition, such as 'human/cross/random'.
    """
    first = next(name for name in thresholds if name.endswith('/cross/random'))
    return thresholds.get('human/cross/random', thresholds[first])


def _rates(data: Prepared) -> dict[str, float]:
    label_NxA = data.splits['validation'].label_NxA
    return {
        name: float((label_NxA[:, i] == 1).sum() / known)
        for i, name in enumerate(data.attributes)
        if (known := int((label_NxA[:, i] >= 0).sum()))
    }
