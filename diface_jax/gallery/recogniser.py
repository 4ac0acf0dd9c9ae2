"""Whether embeddings that come from elsewhere are of the recogniser that a model was trained on."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

_HASH = 8  # least digits of a SHA-256 that stand for a file
_UNIT = 1e-3  # how far the length of an embedding may be from 1, which float16 keeps


def require_recogniser(given: str | None, face_encoder: Sequence[Mapping[str, Any]]) -> None:
    """Raises ValueError if embeddings are of another recogniser than the model's.

    Args:
      given: name of their recogniser, such as 'w600k_r50', the name of its file, or the beginning
        of the file's SHA-256; None: not said, and not checked.
      face_encoder: of the model: name and hash of each part of E.
    """
    if given is None:
        return
    names = [part['name'] for part in face_encoder]
    if len(names) > 1:
        raise ValueError(
            f'the embeddings are of the recogniser {given} alone, and this model reads '
            f'{len(names)} encoders together ({", ".join(names)}): train a model on that recogniser'
        )
    is_hash = len(given) >= _HASH and str(face_encoder[0].get('sha256', '')).startswith(
        given.lower()
    )
    if not is_hash and _plain(given) != _plain(names[0]):
        raise ValueError(
            f'the embeddings are of the recogniser {given}, and this model was trained on '
            f'{names[0]}: give a model that was trained on {given}'
        )


def require_raw_length(embedding_NxD: np.ndarray, mean_D: np.ndarray) -> None:
    """Raises ValueError if embeddings were scaled to length 1, and those of training were not.

    x0 is an embedding without the mean of the training photos, which has another size then.

    Args:
      embedding_NxD: from elsewhere.
      mean_D: the mean embedding of training, whose length is at most 1 where theirs was 1.
    """
    length_N = np.linalg.norm(embedding_NxD, axis=1)
    is_scaled = len(length_N) > 0 and np.abs(length_N - 1).max() < _UNIT
    if is_scaled and np.linalg.norm(mean_D) > 1 + _UNIT:
        raise ValueError(
            'the embeddings are scaled to length 1, and this model needs them as the recogniser '
            'gives them: export them without the scaling, or enrol the photographs'
        )


def _plain(name: str) -> str:
    """A name without the kind of encoder, the folder and the ending of its file, in lower case."""
    return pathlib.PurePath(name.rpartition(':')[2]).name.lower().removesuffix('.onnx')
