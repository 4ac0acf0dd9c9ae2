"""Chooses the reader of a data set."""

import pathlib

from diface_jax.data.readers import layouts
from diface_jax.data.readers.celeba import read_celeba
from diface_jax.data.readers.celeba_tfds import find_celeb_a, read_celeb_a_tfds
from diface_jax.data.readers.folder import read_folder
from diface_jax.data.readers.lfw import read_lfw
from diface_jax.data.readers.records import DataSet
from diface_jax.data.readers.simulated import read_simulated
from diface_jax.data.readers.split_file import apply_split_file
from diface_jax.data.simulation import population
from diface_jax.runtime import hosts
from diface_jax.runtime.settings import LAYOUTS, DataSettings, SimulatedSettings


def read_section(data: DataSettings, simulated: SimulatedSettings) -> DataSet:
    """Reads the data set that a section of the settings names.

    Args:
      data: root, layout, and the split: a list, or shares and seed.
      simulated: the people to draw, where `data.root` holds a population.

    Raises:
      OSError: the data set, or a file that its layout needs, does not exist.
      ValueError: no root is given, or the data set contradicts itself.
    """
    require_root(data)
    shares = tuple(data.shares)
    with hosts.working(f'reads the lists of {data.root}'):
        source = read_data_set(data.root, data.layout, shares, data.split_seed, simulated)
        return apply_split_file(source, data.split_file) if data.split_file else source


def require_root(data: DataSettings) -> None:
    """Raises ValueError where no root is given; says how to give one."""
    if not data.root:
        raise ValueError('no data set: give --config.data.root=FOLDER')


def read_data_set(
    root: str | pathlib.Path,
    layout: str = 'auto',
    shares: tuple[float, float, float] = (0.8, 0.1, 0.1),
    seed: int = 0,
    simulated: SimulatedSettings | None = None,
) -> DataSet:
    """Reads a data set.

    Args:
      root: its folder.
      layout: one of LAYOUTS; 'auto' detects it from the names of the files in `root`.
      shares: of identities for train, validation and test, where the layout has no split of its
        own (lfw, folder, simulated); (0, 0, 1) puts everybody into test.
      seed: of the split.
      simulated: the people to draw; required for the layout 'simulated'.

    Returns:
      Photos, problems, and how to read an image.

    Raises:
      FileNotFoundError: `root`, or a file that the layout needs, does not exist.
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
        case 'simulated' if simulated is None:
            raise ValueError(f'{root} holds simulated people, which have no photographs to read')
        case 'simulated':
            people, photos, people_seed = simulated.people, simulated.photos, simulated.seed
            return read_simulated(root, shares, seed, people, photos, people_seed)
        case unknown:
            raise ValueError(f'no layout {unknown!r}: choose from {", ".join(LAYOUTS)}')


def find_layout(root: pathlib.Path) -> str:
    """The layout of a folder, by the names of files in it and below; 'folder' if none matches.

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
