"""Mean and covariances of a population of faces, which do not identify anybody in it.

A photo's labels and its embedding are joined into one vector v. A population holds the mean of v,
its covariance between people (shared by two photos of a person) and its covariance within people
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
# Averages over fewer people could reveal one of them.
MIN_PEOPLE = 500
MIN_PEOPLE_A_NUMBER = 5  # of the vector v
MIN_PEOPLE_A_LABEL = 20  # with it, and as many without


@dataclasses.dataclass(frozen=True, eq=False)
class Population:
    """Moments of v = (labels, embedding) over the photos of a population.

    Attributes:
      attributes: names of the labels, which are 0 or 1 in v.
      encoders: name, hash and width of each face encoder, as in a data card.
      people: number of people in the averages.
      photos: number of their photos.
      mean_V: the mean of v.
      between_VxV: covariance of v between two photos of a person.
      within_VxV: the rest of the covariance of v.
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

        The covariance within people is pooled over people with several photos; the one between
        people is the rest of the total, projected onto positive semi-definite matrices.

        Raises:
          ValueError: there are too few people to protect each of them.
        """
        split = data.splits['train']
        known = (split.label_NxA >= 0).all(axis=1)
        label_NxA, identity_N = split.label_NxA[known], split.identity_N[known]
        v_NxV = np.concatenate([label_NxA, split.embedding_NxD[known]], axis=1, dtype=np.float64)
        _require_enough_people(label_NxA, identity_N, v_NxV.shape[1], data.attributes)
        mean_V, between_VxV, within_VxV = _moments(v_NxV, identity_N)
        return cls(
            attributes=data.attributes,
            encoders=data.card['encoders']['face'],
            people=len(np.unique(identity_N)),
            photos=len(identity_N),
            mean_V=mean_V.astype(np.float32),
            between_VxV=between_VxV.astype(np.float32),
            within_VxV=within_VxV.astype(np.float32),
        )

    @property
    def sha256(self) -> str:
        """A hash of the mean and the covariances."""
        return arrays.sha256_of_arrays((self.mean_V, self.between_VxV, self.within_VxV))

    def save(self, folder: pathlib.Path) -> None:
        """Writes FILE in a folder, as safetensors with the lower triangle of each covariance."""
        lower = np.tril_indices(len(self.mean_V))
        numbers = {
            'mean': self.mean_V,
            'between': self.between_VxV[lower],
            'within': self.within_VxV[lower],
        }
        metadata = {name: getattr(self, name) for name in _METADATA}
        with run_state.open_replacing(folder / FILE) as file:  # safetensors' own files are private
            file.write(safetensors.numpy.save(numbers, {'about': json.dumps(metadata)}))

    @classmethod
    def load(cls, folder: pathlib.Path) -> Self:
        """Reads FILE from a folder.

        Raises:
          FileNotFoundError: it does not exist; says how to make one.
        """
        path = folder / FILE
        if not path.is_file():
            raise FileNotFoundError(f'no population in {path}: run --mode=fit_population first')
        with safetensors.safe_open(path, 'np') as file:
            metadata = json.loads(file.metadata()['about'])
            mean_V, between, within = map(file.get_tensor, ('mean', 'between', 'within'))
        metadata['attributes'] = tuple(metadata['attributes'])
        return cls(
            **metadata,
            mean_V=mean_V,
            between_VxV=_symmetric(between, len(mean_V)),
            within_VxV=_symmetric(within, len(mean_V)),
        )


_METADATA = ('attributes', 'encoders', 'people', 'photos')


def _require_enough_people(
    label_NxA: np.ndarray, identity_N: np.ndarray, width: int, attributes: tuple[str, ...]
) -> None:
    people = len(np.unique(identity_N))
    least = max(MIN_PEOPLE, MIN_PEOPLE_A_NUMBER * width)
    if people < least:
        raise ValueError(
            f'{people} people to train on have photos with all labels: a population of {width} '
            f'numbers a photo needs {least}, so that its averages reveal nobody'
        )
    for name, label_N in zip(attributes, label_NxA.T, strict=True):
        people_with, people_without = (
            len(np.unique(identity_N[label_N == value])) for value in (1, 0)
        )
        if min(people_with, people_without) < MIN_PEOPLE_A_LABEL:
            raise ValueError(
                f'fewer than {MIN_PEOPLE_A_LABEL} people to train on have, or lack, the label '
                f'{name}: its averages could reveal them'
            )


def _moments(
    v_NxV: np.ndarray, identity_N: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, covariance between people, covariance within people."""
    mean_V = v_NxV.mean(axis=0)
    people, index_N, count_P = np.unique(identity_N, return_inverse=True, return_counts=True)
    sum_PxV = np.zeros((len(people), v_NxV.shape[1]))
    np.add.at(sum_PxV, index_N, v_NxV)
    deviation_NxV = v_NxV - (sum_PxV / count_P[:, None])[index_N]
    within_VxV = deviation_NxV.T @ deviation_NxV / max(len(v_NxV) - len(people), 1)
    centred_NxV = v_NxV - mean_V
    between_VxV = nearest_positive(centred_NxV.T @ centred_NxV / len(v_NxV) - within_VxV)
    return mean_V, between_VxV, within_VxV


def _symmetric(triangle: np.ndarray, width: int) -> np.ndarray:
    """A symmetric matrix from its lower triangle."""
    matrix = np.zeros((width, width), triangle.dtype)
    rows, columns = np.tril_indices(width)
    matrix[rows, columns] = matrix[columns, rows] = triangle
    return matrix
