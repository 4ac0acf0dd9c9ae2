"""Chooses the reader of a data set."""

import pathlib
from collections.abc import Mapping

from diface_jax.data.readers import layouts
from diface_jax.data.readers.celeba import read_celeba
from diface_jax.data.readers.celeba_tfds import find_celeb_a, read_celeb_a_tfds
from diface_jax.data.readers.folder import read_folder
from diface_jax.data.readers.lfw import read_lfw
from diface_jax.data.readers.records import DataSet
from diface_jax.data.readers.simulated import read_simulated
from diface_jax.data.simulation import population
from diface_jax.runtime.settings import LAYOUTS


def read_data_set(
    root: str | pathlib.Path,
    layout: str = 'auto',
    shares: tuple[float, float, float] = (0.8, 0.1, 0.1),
    seed: int = 0,
    simulated: Mapping[str, int] | None = None,
) -> DataSet:
    """Reads a data set.

    Args:
      root: its folder.
      layout: one of LAYOUTS; 'auto' looks at what lies in `root`.
      shares: of identities for train, validation and test, where a layout brings no split of its
        own (lfw, folder, simulated); (0, 0, 1) makes all of it test.
      seed: of that draw.
      simulated: `people`, `photos` and `seed` of `simulated.simulate_people`, for that layout.

    Returns:
      Photos, problems, and how to read an image.

    Raises:
      FileNotFoundError: `root`, or something the layout needs, is not there.
      ValueError: `layout` is unknown, `shares` are not three that add up to 1, or the data set
        contradicts itself.
    """
    root = pathlib.Path(root)
    if not root.is_dir():
        raise FileNotFoundError(f'no folder {root}: set config.data.root to the data set')
    match find_layout(root) if layout == 'auto' else layout:
        case 'celeba':
            return read_celeba(root)
        case 'celeb_a_tfds':
            return read_celeb_a_tfds(root)
        case 'lfw':
            return read_lfw(root, shares, seed)
        case 'folder':
            return read_folder(root, shares, seed)
        case 'simulated':
            return read_simulated(root, shares, seed, **(simulated or {}))
        case unknown:
            raise ValueError(f'no layout {unknown!r}: choose from {", ".join(LAYOUTS)}')


def find_layout(root: pathlib.Path) -> str:
    """The layout of a folder, by the names in it and below; 'folder' when none is known.

    Raises:
      ValueError: both CelebA and LFW lie below it.
    """
    if (root / population.FILE).is_file():
        return 'simulated'
    if find_celeb_a(root):
        return 'celeb_a_tfds'
    evidence = layouts.find_evidence(root)
    if len(evidence) > 1:
        raise ValueError(
            f'two data sets in {root}: CelebA ({evidence["celeba"]}) and LFW ({evidence["lfw"]}). '
            'Set the root to the folder of one, or config.data.layout to its name'
        )
    return next(iter(evidence), 'folder')
