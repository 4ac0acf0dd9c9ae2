"""The data card of a prepared data set: what it holds, and what was left out and why."""

import collections
from collections.abc import Sequence
from typing import Any

from diface_jax.data.grammar import captions
from diface_jax.data.photo_embeddings import PhotoEmbeddings
from diface_jax.data.prepared import TRACKS
from diface_jax.data.prepared_rows import DescribedPhoto
from diface_jax.data.readers.records import SPLITS, DataSet


def data_card(
    source: DataSet,
    embeddings: PhotoEmbeddings,
    photos: Sequence[DescribedPhoto],
    attributes: Sequence[str],
) -> dict[str, Any]:
    """The data card, without the encoders, the settings and the root.

    Args:
      source: the data set as its reader returned it.
      embeddings: of all its photos.
      photos: those with an embedding.
      attributes: names of the labels.
    """
    words = {
        word
        for described in photos
        for sentence in described.sentences
        for word in sentence.text.lower().split()
    }
    return {
        'name': source.name,
        'attributes': attributes,
        'splits': {split: _counts(split, photos) for split in SPLITS},
        'words': {'grammar can say': len(captions.vocabulary()), 'sentences use': len(words)},
        'no_embedding': _notes(source, embeddings, has_embedding=False),
        'notes': _notes(source, embeddings, has_embedding=True),
        'problems': [
            {'file': problem.file, 'why': problem.reason, 'kind': problem.kind}
            for problem in source.problems
        ],
    }


def _counts(split: str, photos: Sequence[DescribedPhoto]) -> dict[str, int]:
    of_split = [described for described in photos if described.photo.split == split]
    tracks = collections.Counter(
        sentence.track for described in of_split for sentence in described.sentences
    )
    return {
        'photos': len(of_split),
        'identities': len({described.photo.identity for described in of_split}),
        **{f'{track} sentences': tracks[track] for track in TRACKS},
    }


def _notes(
    source: DataSet, embeddings: PhotoEmbeddings, has_embedding: bool
) -> list[dict[str, str]]:
    rows = zip(source.photos, embeddings.has_embedding_N, embeddings.note_N, strict=True)
    return [
        {'file': photo.file, 'why': str(note)}
        for photo, has, note in rows
        if note and has == has_embedding
    ]
