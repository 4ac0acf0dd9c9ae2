"""What scores are worth, from the validation split the model was chosen by; made once a model."""

import json
import logging
import math
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from diface_jax import encoding as encodings
from diface_jax import stages
from diface_jax.data.prepared import Prepared
from diface_jax.gallery.vocabulary import words
from diface_jax.recognition.baselines import Features
from diface_jax.recognition.calibration import Calibration

FILE = 'calibration.json'
_log = logging.getLogger('absl')
_ENOUGH = 100  # free-hand sentences to judge by


class Judgement(NamedTuple):
    """How scores are judged.

    Attributes:
      calibration: of scores.
      threshold: s, from validation.
      rates: the share of validation photos that show each attribute.
      words: the words of the validation sentences.
    """

    calibration: Calibration
    threshold: float
    rates: Mapping[str, float]
    words: frozenset[str] = frozenset()


def judgement(
    encoding: encodings.Encoding, thresholds: Mapping[str, float], workdir: pathlib.Path
) -> Judgement:
    """That of a model: from WORKDIR/calibration.json, or made now and put there.

    Args:
      encoding: of the model.
      thresholds: from its checkpoint.
      workdir: where the file is.

    Raises:
      FileNotFoundError: neither is there; says how to make them.
    """
    path = workdir / FILE
    kept = _read(path, encoding.model)
    if kept is not None:
        return kept
    _log.info('calibrates scores on the validation split, once; writes %s', path)
    made = _fit(encoding, thresholds)
    try:
        stages.write_json(path, made)
    except OSError as error:  # such as a model folder that is read-only
        _log.warning(
            '%s cannot be written (%s): this calibration is used once, and made again by the next '
            'command',
            path,
            error.strerror or error,
        )
    return _from_json(made)


def _fit(encoding: encodings.Encoding, thresholds: Mapping[str, float]) -> dict[str, Any]:
    """A calibration as it is written to the file."""
    data, features, texts = encoding.validation()
    some = texts_to_judge_by(data, texts)
    return {
        'model': encoding.model,
        'calibration': Calibration.fit(*cross_scores(features, data, some)).to_json(),
        'threshold': cross_threshold(thresholds),
        'rates': _rates(data),
        'words': sorted(
            {word for text in data.splits['validation'].text_T for word in words(text)}
        ),
    }


def _read(path: pathlib.Path, model: str) -> Judgement | None:
    """What the file holds; None where it is not there, of another model, or damaged."""
    if not path.is_file():
        return None
    try:
        made = json.loads(path.read_text(encoding='utf-8'))
        return _from_json(made) if made.get('model') == model else None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        _log.warning('%s is damaged (%s): the calibration is made again', path, error)
        return None


def _from_json(made: Mapping[str, Any]) -> Judgement:
    """Raises ValueError, KeyError or TypeError where it is not what was written."""
    rates = {str(name): float(rate) for name, rate in made['rates'].items()}
    if not all(0 <= rate <= 1 for rate in rates.values()):
        raise ValueError('a rate is not between 0 and 1')
    threshold = float(made['threshold'])
    if not math.isfinite(threshold):
        raise ValueError('the threshold is not finite')
    calibration = Calibration.from_json(made['calibration'])
    # Files of earlier versions have no words.
    return Judgement(calibration, threshold, rates, frozenset(made.get('words', ())))


def texts_to_judge_by(data: Prepared, texts: np.ndarray) -> np.ndarray:
    """Of validation texts (rows), the free-hand ones, which users write; all where these are few.

    At a high score the grammar's let in fewer strangers, and would have false matches understated.
    """
    human = np.intersect1d(data.splits['validation'].texts('human'), texts)
    return human if len(human) >= _ENOUGH else texts


def cross_scores(
    features: Features, data: Prepared, texts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Scores of texts and *other* photos of whom they describe, and of all other people's.

    A gallery's photo is hardly ever the one that a witness has seen.
    """
    split = data.splits['validation']
    genuine, impostor = [], []
    for some in np.array_split(texts, -(-len(texts) // 512)):
        score_BxN = features.text_TxF[some] @ features.photo_NxF.T
        described_B = split.photo_T[some]
        mates_BxN = split.identity_N[described_B][:, None] == split.identity_N
        impostor.append(score_BxN[~mates_BxN])
        mates_BxN[np.arange(len(some)), described_B] = False
        genuine.append(score_BxN[mates_BxN])
    return np.concatenate(genuine), np.concatenate(impostor)


def cross_threshold(thresholds: Mapping[str, float]) -> float:
    """The threshold s for free-hand sentences, or where it was trained without, for the grammar's.

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
