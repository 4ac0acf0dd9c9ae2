"""Calibration of a model's scores on its validation split; fitted once, kept in the workdir."""

import json
import logging
import math
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from diface_jax.data.prepared import Prepared
from diface_jax.gallery import inference as encodings
from diface_jax.gallery.calibration import Calibration
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


def load_or_calibrate(
    encoding: encodings.InferenceModel, thresholds: Mapping[str, float], workdir: pathlib.Path
) -> DecisionRule:
    """The calibration of a model: from WORKDIR/calibration.json, or fitted now and written there.

    A file that is damaged or of another model is replaced. Where the file cannot be written, a
    warning says so.

    Args:
      encoding: the model.
      thresholds: of its checkpoint, by condition.
      workdir: folder of the file.

    Raises:
      FileNotFoundError: there is no file, and no prepared data set to fit on; says what to do.
    """
    path = workdir / FILE
    kept = _read(path, encoding.model)
    if kept is not None:
        return kept
    _log.info('calibrates scores on the validation split, once; writes %s', path)
    made = _fit(encoding, thresholds)
    try:
        run_state.write_json(path, made)
    except OSError as error:  # such as a model folder that is read-only
        _log.warning(
            '%s cannot be written (%s): this calibration is used once, and made again by the next '
            'command',
            path,
            error.strerror or error,
        )
    return _from_json(made)


def _fit(encoding: encodings.InferenceModel, thresholds: Mapping[str, float]) -> dict[str, Any]:
    """A calibration as it is written to the file."""
    data, features, texts = encoding.validation()
    chosen = calibration_texts(data, texts)
    return {
        'model': encoding.model,
        'calibration': Calibration.fit(*cross_scores(features, data, chosen)).to_json(),
        'threshold': cross_threshold(thresholds),
        'rates': _rates(data),
        'words': sorted(
            {word for text in data.splits['validation'].text_T for word in words_of(text)}
        ),
    }


def _read(path: pathlib.Path, model: str) -> DecisionRule | None:
    """What the file holds; None where it is not there, of another model, or damaged."""
    if not path.is_file():
        return None
    try:
        made = json.loads(path.read_text(encoding='utf-8'))
        return _from_json(made) if made.get('model') == model else None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        _log.warning('%s is damaged (%s): the calibration is made again', path, error)
        return None


def _from_json(made: Mapping[str, Any]) -> DecisionRule:
    """Raises ValueError, KeyError or TypeError where it is not what was written."""
    rates = {str(name): float(rate) for name, rate in made['rates'].items()}
    if not all(0 <= rate <= 1 for rate in rates.values()):
        raise ValueError('a rate is not between 0 and 1')
    threshold = float(made['threshold'])
    if not math.isfinite(threshold):
        raise ValueError('the threshold is not finite')
    calibration = Calibration.from_json(made['calibration'])
    # Files of earlier versions have no words.
    return DecisionRule(calibration, threshold, rates, frozenset(made.get('words', ())))


def calibration_texts(data: Prepared, texts: np.ndarray) -> np.ndarray:
    """Rows of the validation texts to calibrate on: the free-hand ones, or all where these are few.

    Users write free-hand. Grammar sentences give fewer false matches at high scores, so a
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
