"""The rows of a prepared data set, one for each photo that has an embedding."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from diface_jax.data.observations import Observations
from diface_jax.data.photo_sentences import Sentence
from diface_jax.data.prepared import TRACKS, PreparedPhoto
from diface_jax.data.readers.records import Photo
from diface_jax.encoders.text.condition import ConditionEncoder


class DescribedPhoto(NamedTuple):
    """A photo with the hash of its content, its embedding [D] and its sentences.

    `observations` are of its degraded copies, if there are any.
    """

    photo: Photo
    sha256: str
    embedding: np.ndarray
    sentences: Sequence[Sentence]
    observations: Observations | None = None


def prepared_rows(
    photos: Sequence[DescribedPhoto],
    pool_TxP: np.ndarray,
    conditions: ConditionEncoder,
    attributes: Sequence[str],
) -> Iterator[tuple[str, PreparedPhoto]]:
    """The split and the row of each photo, in their order.

    Args:
      photos: those with an embedding.
      pool_TxP: pooled vectors of all their sentences, in order.
      conditions: turns pooled vectors into conditions.
      attributes: names of the columns of labels.
    """
    identities = sorted({described.photo.identity for described in photos})
    number_of = {identity: number for number, identity in enumerate(identities)}
    end = 0
    for described in photos:
        start, end = end, end + len(described.sentences)
        c_MxC = conditions.of_vectors(pool_TxP[start:end]).astype(np.float16)
        identity = number_of[described.photo.identity]
        yield described.photo.split, _row(described, identity, c_MxC, attributes)


def _row(
    described: DescribedPhoto, identity: int, c_MxC: np.ndarray, attributes: Sequence[str]
) -> PreparedPhoto:
    labels, sentences = described.photo.labels or {}, described.sentences
    return PreparedPhoto(
        file=described.photo.file,
        sha256=described.sha256,
        identity=identity,
        embedding=described.embedding,
        labels=np.array([labels.get(name, -1) for name in attributes], np.int8),
        captions=[sentence.text for sentence in sentences],
        tracks=np.array([TRACKS.index(sentence.track) for sentence in sentences], np.int8),
        said=np.array([sentence.coverage for sentence in sentences], np.float32),
        conditions=c_MxC,
        observations=described.observations,
    )
