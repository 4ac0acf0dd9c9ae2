"""What scores are worth, from the validation split the model was chosen by; made once a model."""

import json
import logging
import pathlib
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from diface_jax import encoding as encodings
from diface_jax import stages
from diface_jax.data.prepared import Prepared
from diface_jax.recognition.baselines import Features
from diface_jax.recognition.calibration import Calibration

FILE = 'calibration.json'
_ENOUGH = 100  # free-hand sentences to judge by


class Judgement(NamedTuple):
    """How scores are judged.

    Attributes:
      calibration: of scores.
      threshold: s, from validation.
      rates: the share of validation photos that show each attribute.
    """

    calibration: Calibration
    threshold: float
    rates: Mapping[str, float]


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
    made = json.loads(path.read_text()) if path.is_file() else {}
    if made.get('model') != encoding.model:
        logging.getLogger('absl').info('calibrates scores on validation, once; writes %s', path)
        data, features, texts = encoding.validation()
        some = texts_to_judge_by(data, texts)
        calibration = Calibration.fit(*cross_scores(features, data, some))
        made = {
            'model': encoding.model,
            'calibration': calibration.to_json(),
            'threshold': cross_threshold(thresholds),
            'rates': _rates(data),
        }
        stages.write_json(path, made)
    calibration = Calibration.from_json(made['calibration'])
    return Judgement(calibration, made['threshold'], made['rates'])


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
