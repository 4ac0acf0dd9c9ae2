"""Draws the rows of each training step: batch = f(seed, step), so a resume loses none."""

from typing import NamedTuple

import numpy as np

from diface_jax.data.identity_index import IdentityIndex
from diface_jax.data.prepared import TRACKS, Split


class Batch(NamedTuple):
    """Indices of a step: described photos, another photo of each person, texts; [B] int32 each."""

    photo_B: np.ndarray
    mate_B: np.ndarray
    text_B: np.ndarray


class Batches:
    """Batches of a training split.

    A photo with a text is drawn uniformly, without repeats within a batch; then one of its texts,
    uniformly (from the human track with probability `human_share` if it has one there); and another
    photo of that person (the same photo if there is no other).

    Where data sets are joined, all photos of a batch come from one of them, drawn in proportion to
    its size: a face of one is too easily told from a sentence of the other to learn from. Measured
    with plain towers on CelebA and LFW, the grammar's sentences: validation AUC rises by 0.2 to 0.4
    points on CelebA and by over 1 on LFW; free-hand sentences do not change.
    """

    def __init__(self, split: Split, batch_size: int, human_share: float, seed: int) -> None:
        self._identities, self._seed = IdentityIndex(split.identity_N), seed
        self._batch_size, self._human_share = batch_size, human_share
        num_photos = len(split.identity_N)
        self._texts = [split.texts(track) for track in TRACKS]
        owners = [split.photo_T[texts] for texts in self._texts]
        self._first = [np.searchsorted(owner, np.arange(num_photos)) for owner in owners]
        self._count = [np.bincount(owner, minlength=num_photos) for owner in owners]
        usable = self._count[0] + (self._count[1] if human_share > 0 else 0)
        photos = np.flatnonzero(usable)
        self._photos = np.split(photos, np.searchsorted(photos, split.starts[1:]))
        fewest = min(map(len, self._photos))
        if fewest < batch_size:
            raise ValueError(
                f'{fewest} training photos of a data set have a text: fewer than '
                f'train.batch_size={batch_size}; choose a smaller batch'
            )

    def __call__(self, step: int) -> Batch:
        """The batch of a step."""
        rng = np.random.default_rng((self._seed, step))
        photo_B = rng.choice(self._photos_of(rng), self._batch_size, replace=False)
        mate_B = self._identities.another_photo(rng, photo_B)
        mate_B = np.where(mate_B < 0, photo_B, mate_B)
        text_B = self._choose_texts(rng, photo_B)
        return Batch(*(rows.astype(np.int32) for rows in (photo_B, mate_B, text_B)))

    def _photos_of(self, rng: np.random.Generator) -> np.ndarray:
        """The photos of the data set that the batch is drawn from."""
        if len(self._photos) == 1:
            return self._photos[0]
        count = np.array([len(photos) for photos in self._photos])
        return self._photos[rng.choice(len(count), p=count / count.sum())]

    def _choose_texts(self, rng: np.random.Generator, photo_B: np.ndarray) -> np.ndarray:
        human = rng.random(len(photo_B)) < self._human_share
        place = rng.random(len(photo_B))
        grammar_B, human_B = (self._nth(track, photo_B, place) for track in range(len(self._texts)))
        has_grammar, has_human = (count[photo_B] > 0 for count in self._count)
        return np.where(has_human & (human | ~has_grammar), human_B, grammar_B)

    def _nth(self, track: int, photo_B: np.ndarray, place: np.ndarray) -> np.ndarray:
        """A text of each photo, at `place` (0 to 1) in its list; any row where it has none."""
        texts = self._texts[track] if len(self._texts[track]) else np.zeros(1, int)
        nth = self._first[track][photo_B] + (place * self._count[track][photo_B]).astype(int)
        return texts[np.minimum(nth, len(texts) - 1)]


def stacked_batches(batches: Batches, first: int, count: int) -> Batch:
    """The batches of `count` steps from `first` on, stacked: each field [count, B]."""
    return Batch(*map(np.stack, zip(*(batches(first + i) for i in range(count)), strict=True)))
