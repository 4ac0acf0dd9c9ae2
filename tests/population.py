"""A small made-up population for tests: people, photos, labels, texts."""

import dataclasses

import numpy as np

from diface_jax.data.observations import Observations
from diface_jax.data.prepared import Prepared, Split

ATTRIBUTES = ('Blond_Hair', 'Male', 'Smiling')


def split(seed, people, first_identity=0, dim=16, width=24, human=True):
    """Photos near their person's place, texts that tell of the photo (linearly, with noise)."""
    rng = np.random.default_rng(seed)
    identity = first_identity + np.repeat(np.arange(people), rng.integers(1, 5, people))
    _, index = np.unique(identity, return_inverse=True)
    place = rng.standard_normal((people, dim))
    embedding = place[index] + 0.3 * rng.standard_normal((len(index), dim))
    telling = np.random.default_rng(99).standard_normal((dim, width)) / np.sqrt(dim)
    track = np.tile([0, 0, 1] if human else [0, 0], len(index))
    photo = np.repeat(np.arange(len(index)), 3 if human else 2)
    c = embedding[photo] @ telling + 0.3 * rng.standard_normal((len(photo), width))
    gender = (place[:, 0] > 0).astype(np.int8)
    labels = np.stack([embedding[:, 1] > 0, gender[index], embedding[:, 2] > 0], axis=1)
    return Split(
        file_N=np.array([f'{i}.jpg' for i in range(len(index))]),
        identity_N=identity.astype(np.int32),
        embedding_NxD=embedding.astype(np.float32),
        label_NxA=labels.astype(np.int8),
        photo_T=photo.astype(np.int32),
        track_T=track.astype(np.int8),
        coverage_T=np.where(track == 0, 1.0, np.nan).astype(np.float32),
        text_T=np.array([f'text {i}' for i in range(len(photo))], object),
        c_TxC=c.astype(np.float32),
    )


def observed(split, copies=2, qualities=6):
    """The split with noisy observations of its photos: each copy is noisier than the one before."""
    rng = np.random.default_rng(len(split.file_N))
    shape = len(split.file_N), copies, split.embedding_NxD.shape[1]
    noise = rng.standard_normal(shape) * np.arange(copies)[:, None]
    face_px_NxL = np.tile(64 / 2.0 ** np.arange(copies), (len(split.file_N), 1))
    quality_NxLxQ = np.repeat(np.log2(face_px_NxL)[..., None] - 4, qualities, axis=2)
    observations = Observations(
        (split.embedding_NxD[:, None] + noise).astype(np.float16),
        quality_NxLxQ.astype(np.float32),
        face_px_NxL.astype(np.float32),
    )
    return dataclasses.replace(split, observations=observations)


def prepared(people=(60, 40, 40)):
    """All three splits, nobody in two."""
    first = np.cumsum([0, *people])
    splits = {
        name: split(i, people[i], first[i])
        for i, name in enumerate(('train', 'validation', 'test'))
    }
    encoders = {
        'face': [{'name': 'made up', 'width': 16}],
        'text': {'name': 'made up', 'width': 24},
    }
    card = {'name': 'population', 'settings': {'made': 'up'}, 'encoders': encoders}
    return Prepared(splits, ATTRIBUTES, card)
