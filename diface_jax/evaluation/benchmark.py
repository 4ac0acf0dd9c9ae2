"""The benchmark: people, sentences, pairs and galleries that every method is measured on."""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from diface_jax.data.prepared import Prepared, Split
from diface_jax.evaluation import identification, protocols, retrieval, verification
from diface_jax.evaluation.identification import GalleryDraw
from diface_jax.evaluation.protocols import Condition
from diface_jax.evaluation.verification import VerificationPairs
from diface_jax.runtime.settings import EvaluateSettings
from diface_jax.training.model_selection import REPETITIONS, ValidationPairs

VERSION = 1  # of the protocol: raised when the same data would give other pairs or metrics
MEASURED = ('validation', 'test')


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """What a method is measured on.

    Attributes:
      settings: of the evaluation: seed, draws and sizes of galleries.
      coverage: shares of the attributes that the grammar's sentences name, a track each.
      train_data: the data set whose training split a method may learn from.
      data: the data set whose test split is measured.
    """

    settings: EvaluateSettings
    coverage: Sequence[float]
    train_data: Prepared
    data: Prepared

    @property
    def threshold_data(self) -> Prepared:
        """The data set whose validation split gives the thresholds: the one measured, if it can."""
        return self.data if 'validation' in self.data.splits else self.train_data

    @property
    def repetitions(self) -> protocols.Repetitions:
        """Numbers of draws and resamples of the test split, and their seed."""
        settings = self.settings
        return protocols.Repetitions(settings.draws, settings.resamples, settings.seed)

    @functools.cached_property
    def validation_pairs(self) -> ValidationPairs:
        """The pairs that give the thresholds."""
        return ValidationPairs(self.threshold_data, self.coverage)

    def split(self, name: str) -> Split:
        """The split that a method trains on, gets its thresholds from, or is measured on."""
        data = {'train': self.train_data, 'validation': self.threshold_data, 'test': self.data}
        return data[name].splits[name]

    def gender(self, name: str) -> np.ndarray | None:
        """The label 'Male' of a measured split's photos."""
        return (self.threshold_data if name == 'validation' else self.data).gender(name)

    def tracks(self, name: str) -> dict[str, np.ndarray]:
        """Rows of a split's texts, by track."""
        return self.split(name).tracks(self.coverage)

    def texts(self, name: str) -> np.ndarray:
        """Rows of all texts in a track of a split, in ascending order."""
        return np.unique(np.concatenate(list(self.tracks(name).values())))

    def test_pairs(self) -> dict[Condition, list[VerificationPairs]]:
        """Pairs of the test split, for the conditions that have a threshold."""
        gender_N, tracks = self.gender('test'), self.tracks('test')
        return {
            condition: protocols.draw_pair_sets(
                self.split('test'), tracks[condition.track], condition, gender_N, self.repetitions
            )
            for condition in protocols.conditions(tuple(tracks), gender_N is not None)
            if condition in self.validation_pairs.draws
        }

    def galleries(self) -> Iterator[tuple[str, str, list[GalleryDraw]]]:
        """Track, protocol and the draws of probes and galleries of the test split."""
        split = self.split('test')
        for track, texts in self.tracks('test').items():
            for protocol in verification.PROTOCOLS:
                yield (
                    track,
                    protocol,
                    identification.gallery_draws(
                        split, texts, protocol, self.gallery_sizes, self.repetitions
                    ),
                )

    @property
    def gallery_sizes(self) -> list[int]:
        """People in the galleries of the test split."""
        num_people = len(np.unique(self.split('test').identity_N))
        return identification.gallery_sizes(self.settings.galleries, num_people)

    def description(self) -> dict[str, Any]:
        """Version, counts and seeds, as JSON can hold them, and the hash of all that is measured.

        `sha256` changes with any photo, person, sentence, label of gender, seed or version.
        """
        of_validation = REPETITIONS._asdict()
        description = {
            'format': 'diface protocol',
            'version': VERSION,
            'data': self.data.card['name'],
            'thresholds_from': self.threshold_data.card['name'],
            'seeds': {'validation': of_validation['seed'], 'test': self.settings.seed},
            'draws': {'validation': of_validation['draws'], 'test': self.settings.draws},
            'gallery_sizes': self.gallery_sizes,
            'retrieval': {'captions': retrieval.CAPTIONS, 'ranks': list(retrieval.RANKS)},
            'counts': {name: self._counts(name) for name in MEASURED},
        }
        measured = [self._rows(name) for name in MEASURED]
        content = json.dumps([description, measured], sort_keys=True).encode()
        return {**description, 'sha256': hashlib.sha256(content).hexdigest()}

    def _counts(self, name: str) -> dict[str, Any]:
        split = self.split(name)
        return {
            'photos': len(split.file_N),
            'people': len(np.unique(split.identity_N)),
            'texts': {track: len(texts) for track, texts in self.tracks(name).items()},
        }

    def _rows(self, name: str) -> Mapping[str, Any]:
        split, gender_N, texts = self.split(name), self.gender(name), self.texts(name)
        return {
            'photo': split.file_N.tolist(),
            'person': split.identity_N.tolist(),
            'gender': None if gender_N is None else gender_N.tolist(),
            'text': text_ids(split)[texts].tolist(),
            'sentence': split.text_T[texts].tolist(),
            'tracks': {track: rows.tolist() for track, rows in self.tracks(name).items()},
        }


def text_ids(split: Split) -> np.ndarray:
    """The id of each text: its photo's file and its number among that photo's texts, from 0; [T].

    Such as '000017.jpg#2'.
    """
    _, first, index = np.unique(split.photo_T, return_index=True, return_inverse=True)
    number_T = np.arange(len(split.photo_T)) - first[index]
    file_T = split.file_N[split.photo_T]
    return np.array([f'{file}#{number}' for file, number in zip(file_T, number_T, strict=True)])
