"""Calibration of a model's scores on its validation split; fitted once, kept in the workdir."""

import dataclasses
import json
import logging
import math
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from diface_jax.data.prepared import Prepared
from diface_jax.gallery.calibration import Calibration
from diface_jax.gallery.inference import InferenceModel
from diface_jax.gallery.vocabulary import words_of
from diface_jax.models.features import Features
from diface_jax.runtime import run_state

FILE = 'calibration.json'
_log = logging.getLogger('absl')
_ENOUGH = 100  # free-hand sentences to calibrate on


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


def load_or_calibrate(model: InferenceModel, workdir: pathlib.Path) -> DecisionRule:
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
    content = _fit(model)
    try:
        run_state.write_json(path, content)
    except OSError as error:  # such as a model folder that is read-only
        _log.warning(
            '%s cannot be written (%s): this calibration is not kept, and the next command '
            'calibrates again',
            path,
            error.strerror or error,
        )
    return _from_json(content)


def _fit(model: InferenceModel) -> dict[str, Any]:
    """Calibrates; returns the content of the file."""
    data, features, texts, thresholds = model.validation()
    chosen = calibration_texts(data, texts)
    return {
        'model': model.model,
        'sampling': dataclasses.asdict(model.sampling),
        'calibration': Calibration.fit(*cross_scores(features, data, chosen)).to_json(),
        'threshold': cross_threshold(thresholds),
        'rates': _rates(data),
        'words': sorted(
            {word for text in data.splits['validation'].text_T for word in words_of(text)}
        ),
    }


def _read(path: pathlib.Path, model: InferenceModel) -> DecisionRule | None:
    """The calibration in the file; None if there is none of this model and sampling."""
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
        # Files of earlier versions are of the sampling that the checkpoint was validated with.
        sampling = content.get('sampling', dataclasses.asdict(model.validated_sampling))
        is_current = sampling == dataclasses.asdict(model.sampling)
        return _from_json(content) if is_current and content.get('model') == model.model else None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        _log.warning('%s is damaged (%s): calibrates again', path, error)
        return None


def _from_json(content: Mapping[str, Any]) -> DecisionRule:
    """The content of the file; ValueError, KeyError or TypeError where it is damaged."""
    rates = {str(name): float(rate) for name, rate in content['rates'].items()}
    if not all(0 <= rate <= 1 for rate in rates.values()):
        raise ValueError('a rate is not between 0 and 1')
    threshold = float(content['threshold'])
    if not math.isfinite(threshold):
        raise ValueError('the threshold is not finite')
    calibration = Calibration.from_json(content['calibration'])
    # Files of earlier versions have no words.
    return DecisionRule(calibration, threshold, rates, frozenset(content.get('words', ())))


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
