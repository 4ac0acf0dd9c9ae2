"""Draws simulated people from a population's moments: labels and embeddings of their photos.

Labels follow a Gaussian copula (`copula`): a person's photos share a lasting label (gender), but
not a passing one (a smile). With p the person's own rates of the labels y,

  embedding = mean + B (p - rate) + W (y - p) + e + e',

where B and W are the regressions of embeddings on labels between and within people, and e (of the
person) and e' (of the photo) are normal, with the covariance that the regressions do not explain.
Only the first two moments are the population's.
"""

import pathlib
from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np
import pyarrow
from pyarrow import parquet

from diface_jax.data.readers.records import (
    DataSet,
    Photo,
    ProvidedEmbeddings,
    split_of,
)
from diface_jax.data.simulation import copula
from diface_jax.data.simulation.population import Population
from diface_jax.runtime.settings import check_shares

SHIPPED = pathlib.Path(__file__).parents[1] / 'simulated_celeba'
GALLERY = 'gallery.parquet'
_RIDGE = 1e-2  # of the labels' mean variance, where B and W are regressed


def read_simulated(
    folder: pathlib.Path,
    shares: tuple[float, float, float],
    split_seed: int,
    people: int,
    photos: int,
    seed: int,
) -> DataSet:
    """A data set of simulated people: labels and embeddings, and no photographs.

    Args:
      folder: of the population, such as SHIPPED.
      shares: of people for train, validation and test.
      split_seed: of the split.
      people: number of people to draw.
      photos: number of photos of each person.
      seed: of the people.

    Raises:
      FileNotFoundError: there is no population in `folder`.
      ValueError: `shares` are not three that add up to 1, or `people` or `photos` is below 1.
    """
    check_shares(shares)
    if people < 1 or photos < 1:
        raise ValueError(f'simulated.people={people}, simulated.photos={photos}: at least 1 each')
    population = Population.load(folder)
    drawn = simulate_people(population, people, photos, seed)
    simulated_photos = [
        _photo(population.attributes, person, number, label_A, shares, split_seed)
        for person, label_QxA in enumerate(drawn.label_PxQxA)
        for number, label_A in enumerate(label_QxA)
    ]
    origin = {'sha256': population.sha256, 'simulated': True}
    embedded = ProvidedEmbeddings(
        embedding_NxD=drawn.embedding_PxQxD.reshape(people * photos, -1),
        encoders=[
            origin | {'name': f'simulated {encoder["name"]}', 'width': encoder['width']}
            for encoder in population.encoders
        ],
    )
    return DataSet('simulated', tuple(simulated_photos), (), _no_photo, embedded=embedded)


def _photo(
    attributes: Sequence[str],
    person: int,
    number: int,
    label_A: np.ndarray,
    shares: tuple[float, float, float],
    seed: int,
) -> Photo:
    identity = f'simulated person {person:05d}'
    labels = dict(zip(attributes, label_A.astype(bool).tolist(), strict=True))
    split = split_of(identity, shares, seed)
    return Photo(f'{identity}, photo {number + 1}', identity, split, labels)


def _no_photo(file: str) -> bytes:
    raise FileNotFoundError(f'{file}: there are no photographs of simulated people')


def write_gallery(source: DataSet, folder: pathlib.Path) -> None:
    """Writes the test people's embeddings to GALLERY in a folder, as `--mode=enroll` takes them.

    The true labels of a photo become its tag `labels`.
    """
    rows = [row for row, photo in enumerate(source.photos) if photo.split == 'test']
    photos = [source.photos[row] for row in rows]
    columns = {
        'id': [photo.file for photo in photos],
        'person': [photo.identity for photo in photos],
        'embedding': list(source.embedded.embedding_NxD[rows]),
        'labels': [', '.join(name for name in p.labels if p.labels[name]) for p in photos],
    }
    parquet.write_table(pyarrow.table(columns), folder / GALLERY)


class SimulatedPeople(NamedTuple):
    """Labels (0 or 1, int8) and embeddings (float32) of P people with Q photos each."""

    label_PxQxA: np.ndarray
    embedding_PxQxD: np.ndarray


def simulate_people(population: Population, people: int, photos: int, seed: int) -> SimulatedPeople:
    """Draws people and their photos; the first people do not depend on how many are drawn.

    Args:
      population: the moments of the distribution.
      people: P.
      photos: Q, the number of photos of each person.
      seed: of the people.
    """
    from scipy.special import ndtr, ndtri  # slow to import, as all of scipy

    for_labels, for_embeddings = np.random.SeedSequence(seed).spawn(2)
    count = len(population.attributes)
    rate_A, mean_D = np.split(population.mean_V.astype(np.float64), [count])
    between, within = (
        _Covariances.of(v_VxV, count) for v_VxV in (population.between_VxV, population.within_VxV)
    )
    latent = copula.latent_covariances(rate_A, between.yy_AxA, within.yy_AxA)
    person_PxA, photo_PxQxA = _normal(for_labels, latent, people, photos)
    person_PxA += ndtri(rate_A)
    label_PxQxA = person_PxA[:, None] + photo_PxQxA > 0
    p_PxA = ndtr(person_PxA / np.sqrt(np.diag(latent[1])))

    b_AxD, residual_between_DxD = between.regression()
    w_AxD, residual_within_DxD = within.regression()
    residuals = (residual_between_DxD, residual_within_DxD)
    e_PxD, e_PxQxD = _normal(for_embeddings, residuals, people, photos)
    person_PxD = mean_D + (p_PxA - rate_A) @ b_AxD + e_PxD
    embedding_PxQxD = person_PxD[:, None] + (label_PxQxA - p_PxA[:, None]) @ w_AxD + e_PxQxD
    return SimulatedPeople(label_PxQxA.astype(np.int8), embedding_PxQxD.astype(np.float32))


def _normal(
    seed: np.random.SeedSequence,
    covariances: tuple[np.ndarray, np.ndarray],
    people: int,
    photos: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Normal variables of people and of their photos, with these covariances."""
    width = len(covariances[0])
    return tuple(
        np.random.default_rng(stream).standard_normal((*size, width)) @ _root(covariance)
        for stream, size, covariance in zip(
            seed.spawn(2), ((people,), (people, photos)), covariances, strict=True
        )
    )


class _Covariances(NamedTuple):
    """Covariances of labels y, between labels and embeddings x, and of embeddings."""

    yy_AxA: np.ndarray
    yx_AxD: np.ndarray
    xx_DxD: np.ndarray

    @classmethod
    def of(cls, v_VxV: np.ndarray, count: int) -> Self:
        """The blocks of the covariance of v = (y, x), with `count` labels."""
        v_VxV = v_VxV.astype(np.float64)
        return cls(v_VxV[:count, :count], v_VxV[:count, count:], v_VxV[count:, count:])

    def regression(self) -> tuple[np.ndarray, np.ndarray]:
        """Weights of the ridge regression of x on y, and the residual covariance of x."""
        yy_AxA, yx_AxD, xx_DxD = self
        ridge = _RIDGE * np.trace(yy_AxA) / len(yy_AxA) * np.eye(len(yy_AxA))
        weight_AxD = np.linalg.solve(yy_AxA + ridge, yx_AxD)
        return weight_AxD, xx_DxD - weight_AxD.T @ yy_AxA @ weight_AxD


def _root(covariance: np.ndarray) -> np.ndarray:
    """The symmetric square root of a covariance, whose negative eigenvalues are set to 0.

    It does not depend on the signs of eigenvectors, which differ from machine to machine.
    """
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
