"""Models of simulated people, which no photograph can be given to."""

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

REFUSAL = (
    'this model was trained on simulated people, so it cannot take photographs: use a model that '
    'was trained on photographs. It searches simulated people, with --embeddings'
)
_DESCRIPTIONS = ('model.json', 'training.json')  # of a pack, of a workdir


def is_simulated(face_encoder: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a model with these face encoders was trained on simulated people."""
    return any(encoder.get('simulated') for encoder in face_encoder)


def refuse_simulated_model(folder: pathlib.Path) -> None:
    """Refuses a pack or a workdir by its description, before anything heavy is loaded.

    Raises:
      ValueError: the model was trained on simulated people.
    """
    for path in map(folder.joinpath, _DESCRIPTIONS):
        if path.is_file() and 'simulated' in _data_settings(path):
            raise ValueError(REFUSAL)


def _data_settings(path: pathlib.Path) -> Mapping[str, Any]:
    """The settings of the training data; empty where the file is damaged, which loading tells."""
    try:
        data = json.loads(path.read_text(encoding='utf-8'))['settings']['data']
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}
