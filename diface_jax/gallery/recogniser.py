"""Whether embeddings that come from elsewhere are of the recogniser that a model was trained on."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

_HASH = 8  # least digits of a SHA-256 that stand for a file


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


def _plain(name: str) -> str:
    """A name without the kind of encoder, the folder and the ending of its file, in lower case."""
    return pathlib.PurePath(name.rpartition(':')[2]).name.lower().removesuffix('.onnx')
