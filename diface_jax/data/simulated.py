"""Simulated people: identities, photos' labels and embeddings, drawn from a population's moments.

Labels are a Gaussian copula: each label of a photo is whether a latent number is positive, which is
the sum of a part of the person and a part of the photo. So a lasting label (gender) is shared by a
person's photos and a passing one (a smile) is not. With p the person's own rates of the labels y,

  embedding = mean + B (p - rate) + W (y - p) + e + e',

where B and W are the regressions of embeddings on labels between and within people, and e (of the
person) and e' (of the photo) are normal, with the covariance that these leave unexplained. The
first two moments are the population's; anything beyond is made up.
"""

import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow
from pyarrow import parquet
from scipy.integrate import cumulative_trapezoid
from scipy.special import ndtr, ndtri

from diface_jax.data.population import Population, positive
from diface_jax.data.records import DataSet, Embedded, Photo, check_shares, split_of

SHIPPED = pathlib.Path(__file__).parent / 'simulated_celeba'
GALLERY = 'gallery.parquet'
_RIDGE = 1e-2  # of the labels' mean variance, where B and W are regressed
_PROJECTIONS = 60  # towards the nearest correlation matrix
_ANGLES = 801  # on which a bivariate normal is integrated


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
      split_seed: of that draw.
      people: how many to draw.
      photos: of each.
      seed: another one draws other people.

    Raises:
      FileNotFoundError: there is no population in `folder`.
      ValueError: `shares` are none, or there is nobody to draw.
    """
    check_shares(shares)
    if people < 1 or photos < 1:
        raise ValueError(f'simulated.people={people}, simulated.photos={photos}: at least 1 each')
    population = Population.load(folder)
    drawn = draw(population, people, photos, seed)
    made = [
        _photo(population.attributes, who, number, label_A, shares, split_seed)
        for who, label_QxA in enumerate(drawn.label_PxQxA)
        for number, label_A in enumerate(label_QxA)
    ]
    of_this = {'sha256': population.sha256, 'simulated': True}
    embedded = Embedded(
        embedding_NxD=drawn.embedding_PxQxD.reshape(people * photos, -1),
        encoders=[
            of_this | {'name': f'simulated {one["name"]}', 'width': one['width']}
            for one in population.encoders
        ],
    )
    return DataSet('simulated', tuple(made), (), _no_photo, embedded=embedded)


def _photo(
    attributes: Sequence[str],
    who: int,
    number: int,
    label_A: np.ndarray,
    shares: tuple[float, float, float],
    seed: int,
) -> Photo:
    identity = f'simulated person {who:05d}'
    labels = dict(zip(attributes, label_A.astype(bool).tolist(), strict=True))
    split = split_of(identity, shares, seed)
    return Photo(f'{identity}, photo {number + 1}', identity, split, labels)


def _no_photo(file: str) -> bytes:
    raise FileNotFoundError(f'{file}: there are no photographs of simulated people')


def write_gallery(source: DataSet, folder: pathlib.Path) -> None:
    """Leaves GALLERY in a folder: the test people's embeddings, as `--mode=enroll` takes them.

    What a photo shows (the labels that hold) becomes a tag.
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


class Drawn(NamedTuple):
    """Labels, 0 or 1, and embeddings of P people with Q photos each; [P, Q, ...]."""

    label_PxQxA: np.ndarray
    embedding_PxQxD: np.ndarray


def draw(population: Population, people: int, photos: int, seed: int) -> Drawn:
    """Draws people and their photos. The first people are the same however many are drawn.

    Args:
      population: to draw from.
      people: P.
      photos: Q, of each.
      seed: another one draws other people.
    """
    width, labels = len(population.mean_V), len(population.attributes)
    streams = map(np.random.default_rng, np.random.SeedSequence(seed).spawn(4))
    sizes = ((people, labels), (people, photos, labels))
    sizes = (*sizes, (people, width - labels), (people, photos, width - labels))
    person_PxA, photo_PxQxA, e_PxD, e_PxQxD = (
        stream.standard_normal(size) for stream, size in zip(streams, sizes, strict=True)
    )
    rate_A, mean_D = np.split(population.mean_V.astype(np.float64), [labels])
    yy, yx, xx = _blocks(population.between_VxV, labels)
    yy_within, yx_within, xx_within = _blocks(population.within_VxV, labels)

    between_AxA, within_AxA = _latent(rate_A, yy, yy_within)
    own_PxA = ndtri(rate_A) + person_PxA @ _root(between_AxA)
    label_PxQxA = own_PxA[:, None] + photo_PxQxA @ _root(within_AxA) > 0
    p_PxA = ndtr(own_PxA / np.sqrt(np.diag(within_AxA)))

    b_AxD, left_DxD = _regression(yy, yx, xx)
    w_AxD, left_within_DxD = _regression(yy_within, yx_within, xx_within)
    person_PxD = mean_D + (p_PxA - rate_A) @ b_AxD + e_PxD @ _root(left_DxD)
    photo_PxQxD = (label_PxQxA - p_PxA[:, None]) @ w_AxD + e_PxQxD @ _root(left_within_DxD)
    embedding_PxQxD = (person_PxD[:, None] + photo_PxQxD).astype(np.float32)
    return Drawn(label_PxQxA.astype(np.int8), embedding_PxQxD)


def _blocks(v_VxV: np.ndarray, labels: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Covariance of labels, of labels with embeddings, and of embeddings."""
    v_VxV = v_VxV.astype(np.float64)
    return v_VxV[:labels, :labels], v_VxV[:labels, labels:], v_VxV[labels:, labels:]


def _latent(
    rate_A: np.ndarray, between_AxA: np.ndarray, within_AxA: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Covariances of the latent numbers between and within people; they add up to variance 1."""
    between = _tetrachoric(rate_A, between_AxA)
    within = _tetrachoric(rate_A, between_AxA + within_AxA) - between
    share_A = np.clip(np.diag(between), 1e-3, 1 - 1e-3)  # of the person
    return _nearest(between, share_A), _nearest(within, 1 - share_A)


def _nearest(matrix: np.ndarray, variance_A: np.ndarray) -> np.ndarray:
    """A covariance near to a matrix, with these variances.

    By alternating projections with Dykstra's correction (Higham 2002, "Computing the nearest
    correlation matrix"), of the correlations.
    """
    scale = np.sqrt(np.outer(variance_A, variance_A))
    nearest, correction = np.clip(matrix / scale, -1, 1), 0.0
    for _ in range(_PROJECTIONS):
        before = nearest - correction
        nearest = positive(before)
        correction = nearest - before
        np.fill_diagonal(nearest, 1.0)
    return positive(nearest) * scale


def _tetrachoric(rate_A: np.ndarray, covariance_AxA: np.ndarray) -> np.ndarray:
    """Correlations of normal variables whose signs have these covariances (Pearson 1900).

    With r = sin(angle), the covariance of signs grows with the angle by a smooth function of it
    (Plackett 1954), which is integrated on a grid and inverted.
    """
    h_A = ndtri(rate_A)
    angle_R = np.linspace(-np.pi / 2, np.pi / 2, _ANGLES + 2)[1:-1]
    r_R = np.sin(angle_R)
    h, k = h_A[:, None, None], h_A[None, :, None]
    slope_AxAxR = np.exp(-(h**2 - 2 * h * k * r_R + k**2) / (2 * (1 - r_R**2))) / (2 * np.pi)
    made_AxAxR = cumulative_trapezoid(slope_AxAxR, angle_R, initial=0)
    made_AxAxR -= made_AxAxR[..., _ANGLES // 2, None]
    found = [
        np.interp(covariance, made_R, r_R)
        for covariance, made_R in zip(
            covariance_AxA.ravel(), made_AxAxR.reshape(-1, _ANGLES), strict=True
        )
    ]
    return np.reshape(found, covariance_AxA.shape)


def _regression(yy: np.ndarray, yx: np.ndarray, xx: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Regression of x on y, and the covariance of x it leaves."""
    ridge = _RIDGE * np.trace(yy) / len(yy) * np.eye(len(yy))
    weight = np.linalg.solve(yy + ridge, yx)
    return weight, xx - weight.T @ yy @ weight


def _root(covariance: np.ndarray) -> np.ndarray:
    """Carries independent normal numbers (rows) to this covariance, made positive."""
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.sqrt(np.maximum(values, 0))).T
