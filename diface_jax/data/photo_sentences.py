"""The sentences about a photo: the grammar's, from its labels, and those that people wrote."""

import zlib
from typing import NamedTuple

import numpy as np

from diface_jax.data.grammar import captions
from diface_jax.data.phrases import split_phrases
from diface_jax.data.readers.records import Photo
from diface_jax.runtime.settings import CaptionsSettings


class Sentence(NamedTuple):
    """A sentence about a photo.

    Attributes:
      track: 'grammar'; 'human' for a free-hand sentence; 'style' for one in a voice that is never
        trained on; 'phrase' for a part of a free-hand sentence about a training photo.
      coverage: the chance of each label to be mentioned by the grammar; otherwise nan.
      text: the sentence.
    """

    track: str
    coverage: float
    text: str


def sentences_of_photo(photo: Photo, settings: CaptionsSettings) -> list[Sentence]:
    """The grammar's sentences about a photo, if it has labels, then the free-hand ones.

    Those in voices that are held out of training are left out for training photos.

    Args:
      photo: from a reader.
      settings: how many sentences with which coverage, and the seed. The sentences of a photo
        depend on the seed and the file's name alone, so other photos don't change them.
    """
    free_hand = [Sentence('human', float('nan'), text) for text in photo.descriptions]
    if photo.split == 'train':
        free_hand += _phrases(photo, settings)
    else:
        free_hand += [Sentence('style', float('nan'), text) for text in photo.held_out_descriptions]
    if not photo.labels:
        return free_hand
    rng = _rng(photo, settings, 0)
    coverages = list(settings.coverage)
    if photo.split == 'train':
        coverages = [1.0] * settings.full + list(rng.random(settings.partial))
    grammar = [
        Sentence('grammar', coverage, captions.caption(photo.labels, rng, coverage))
        for coverage in coverages
    ]
    return grammar + free_hand


def _phrases(photo: Photo, settings: CaptionsSettings) -> list[Sentence]:
    """Phrases drawn from each free-hand sentence that has several."""
    rng = _rng(photo, settings, 1)
    drawn = []
    for text in photo.descriptions:
        phrases = split_phrases(text)
        if len(phrases) > 1:
            drawn += rng.permutation(phrases)[: settings.phrases].tolist()
    return [Sentence('phrase', float('nan'), phrase) for phrase in drawn]


def _rng(photo: Photo, settings: CaptionsSettings, stream: int) -> np.random.Generator:
    """Random numbers of a photo; `stream` 0 is the grammar's, as in earlier versions."""
    file = zlib.crc32(photo.file.encode())
    return np.random.default_rng((settings.seed, file, stream) if stream else (settings.seed, file))
