"""Means and covariances of a population of faces, from which nobody in it can be told.

A photo's labels and its embedding are joined into one vector v. A population holds the mean of v,
its covariance between people (shared by two photos of one person) and its covariance within people
(the rest). `simulated` draws people from these numbers.
"""

import dataclasses
import json
import pathlib
from typing import Any, Self

import numpy as np
import safetensors
import safetensors.numpy

from diface_jax.data.prepared import Prepared
from diface_jax.data.simulation.copula import nearest_positive
from diface_jax.encoders import arrays
from diface_jax.runtime import run_state

FILE = 'population.safetensors'
# Averages of fewer people could give one of them away.
MIN_PEOPLE = 500
MIN_PEOPLE_A_NUMBER = 5  # of the vector v
MIN_PEOPLE_A_LABEL = 20  # with it, and as many without


@dataclasses.dataclass(frozen=True, eq=False)
class Population:
    """Moments of v = (labels, embedding) over the photos of a population.

    Attributes:
      attributes: names of the labels, which are 0 or 1 in v.
      encoders: what the embeddings are of: name, hash and width of each, as in a data card.
      people: how many were averaged.
      photos: of how many photos.
      mean_V: the mean of v.
      between_VxV: covariance of v between two photos of a person.
      within_VxV: what is left of the covariance of a photo's v.
    """

    attributes: tuple[str, ...]
    encoders: list[dict[str, Any]]
    people: int
    photos: int
    mean_V: np.ndarray
    between_VxV: np.ndarray
    within_VxV: np.ndarray

    @classmethod
    def fit(cls, data: Prepared) -> Self:
        """The moments of a prepared data set's training photos whose labels are all known.

        The covariance within is pooled over people with several photos; the one between is what is
        left of the whole, made positive semi-definite.

        Raises:
          ValueError: there are too few people to keep each of them private.
        """
        split = data.splits['train']
        known = (split.label_NxA >= 0).all(axis=1)
        label_NxA, who_N = split.label_NxA[known], split.identity_N[known]
        v_NxV = np.concatenate([label_NxA, split.embedding_NxD[known]], axis=1, dtype=np.float64)
        _check(label_NxA, who_N, v_NxV.shape[1], data.attributes)
        mean_V, between_VxV, within_VxV = _moments(v_NxV, who_N)
        return cls(
            attributes=data.attributes,
            encoders=data.card['encoders']['face'],
            people=len(np.unique(who_N)),
            photos=len(who_N),
            mean_V=mean_V.astype(np.float32),
            between_VxV=between_VxV.astype(np.float32),
            within_VxV=within_VxV.astype(np.float32),
        )

    @property
    def sha256(self) -> str:
        """A hash of the numbers, which tells one fit from another."""
        return arrays.sha256_of_arrays((self.mean_V, self.between_VxV, self.within_VxV))

    def save(self, folder: pathlib.Path) -> None:
        """Writes FILE, as safetensors, in a folder; of each covariance the lower triangle."""
        lower = np.tril_indices(len(self.mean_V))
        numbers = {
            'mean': self.mean_V,
            'between': self.between_VxV[lower],
            'within': self.within_VxV[lower],
        }
        about = {name: getattr(self, name) for name in _ABOUT}
        with run_state.open_replacing(folder / FILE) as file:  # safetensors' own files are private
            file.write(safetensors.numpy.save(numbers, {'about': json.dumps(about)}))

    @classmethod
    def load(cls, folder: pathlib.Path) -> Self:
        """Reads FILE from a folder.

        Raises:
          FileNotFoundError: it is not there; says how to make one.
        """
        path = folder / FILE
        if not path.is_file():
            raise FileNotFoundError(f'no population in {path}: run --mode=fit_population first')
        with safetensors.safe_open(path, 'np') as file:
            about = json.loads(file.metadata()['about'])
            mean_V, between, within = map(file.get_tensor, ('mean', 'between', 'within'))
        about['attributes'] = tuple(about['attributes'])
        whole = (_whole(triangle, len(mean_V)) for triangle in (between, within))
        return cls(**about, mean_V=mean_V, **dict(zip(_COVARIANCES, whole, strict=True)))


_ABOUT = ('attributes', 'encoders', 'people', 'photos')
_COVARIANCES = ('between_VxV', 'within_VxV')


def _check(
    label_NxA: np.ndarray, who_N: np.ndarray, width: int, attributes: tuple[str, ...]
) -> None:
    people = len(np.unique(who_N))
    least = max(MIN_PEOPLE, MIN_PEOPLE_A_NUMBER * width)
    if people < least:
        raise ValueError(
            f'{people} people to train on have photos with all labels: a population of {width} '
            f'numbers a photo needs {least}, so that its averages give nobody away'
        )
    for name, label_N in zip(attributes, label_NxA.T, strict=True):
        if min(len(np.unique(who_N[label_N == value])) for value in (0, 1)) < MIN_PEOPLE_A_LABEL:
            raise ValueError(
                f'fewer than {MIN_PEOPLE_A_LABEL} people to train on are labelled {name}, or are '
                'not: its averages would give them away'
            )


def _moments(v_NxV: np.ndarray, who_N: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, covariance between people and within them."""
    mean_V = v_NxV.mean(axis=0)
    people, index_N, count_P = np.unique(who_N, return_inverse=True, return_counts=True)
    own_PxV = np.zeros((len(people), v_NxV.shape[1]))
    np.add.at(own_PxV, index_N, v_NxV)
    apart_NxV = v_NxV - (own_PxV / count_P[:, None])[index_N]
    within_VxV = apart_NxV.T @ apart_NxV / max(len(v_NxV) - len(people), 1)
    centred_NxV = v_NxV - mean_V
    between_VxV = nearest_positive(centred_NxV.T @ centred_NxV / len(v_NxV) - within_VxV)
    return mean_V, between_VxV, within_VxV


def _whole(triangle: np.ndarray, width: int) -> np.ndarray:
    """A symmetric matrix of its lower triangle."""
    matrix = np.zeros((width, width), triangle.dtype)
    rows, columns = np.tril_indices(width)
    matrix[rows, columns] = matrix[columns, rows] = triangle
    return matrix
