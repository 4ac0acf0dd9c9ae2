"""CelebA as TFDS prepares it (`celeb_a`), stored as ArrayRecord; read without TensorFlow.

TFDS gives images, attributes, the official split and, since version 2.1.0, identities. It gives no
file names: `Photo.file` is the split and the row, as in train/000012. A descriptions.jsonl, which
names photos as CelebA does, cannot be used.
"""

import functools
import json
import pathlib
from collections.abc import Sequence
from typing import Any

import tqdm

from diface_jax.data.readers.celeba import LANDMARKS_5x2
from diface_jax.data.readers.records import DataSet, Photo, check_identities

HOW_TO_PREPARE = (
    'Prepare it once where TensorFlow is installed, which TFDS needs to write this much: '
    'tfds build celeb_a --file_format=array_record --data_dir=ROOT'
)


def read_celeb_a_tfds(root: pathlib.Path) -> DataSet:
    """Reads all labels of a prepared `celeb_a`; images are read when asked for.

    Args:
      root: TFDS's data_dir, which contains celeb_a/VERSION/; or that folder itself.

    Returns:
      The photos, in TFDS's order. Processes that `read` images must be spawned, not forked:
      ArrayRecord's threads don't survive a fork, and reading would hang.

    Raises:
      FileNotFoundError: there is no `celeb_a`.
      ValueError: it is not stored as ArrayRecord, is too old to hold identities, or an identity is
        in two splits.
    """
    folder = find_celeb_a(pathlib.Path(root))
    if folder is None:
        raise FileNotFoundError(f'no TFDS data set celeb_a in {root}. {HOW_TO_PREPARE}')
    photos = tuple(
        _photo(split, number, row)
        for split, source in _open(folder).items()
        for number, row in enumerate(tqdm.tqdm(source, f'labels of {split}', unit='photo'))
    )
    check_identities(photos)
    return DataSet(
        name='celeb_a (TFDS)',
        photos=photos,
        problems=(),
        read=functools.partial(_read_image, folder),
        landmarks_5x2=LANDMARKS_5x2,
    )


def find_celeb_a(root: pathlib.Path) -> pathlib.Path | None:
    """The folder of celeb_a's dataset_info.json: `root`, or its newest (celeb_a/)VERSION."""
    for info in (
        root / 'dataset_info.json',
        *sorted(root.glob('celeb_a/*/dataset_info.json'))[::-1],
        *sorted(root.glob('*/dataset_info.json'))[::-1],
    ):
        if _is_celeb_a(info):
            return info.parent
    return None


def _is_celeb_a(info: pathlib.Path) -> bool:
    try:
        content = json.loads(info.read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and content.get('name') == 'celeb_a'


def _open(folder: pathlib.Path) -> dict[str, Sequence[dict[str, Any]]]:
    # The import takes a second, and only this layout needs it.
    import tensorflow_datasets as tfds

    builder = tfds.builder_from_directory(folder)
    if 'identity' not in builder.info.features:
        raise ValueError(
            f'{folder} holds celeb_a {builder.info.version}, which has no identities; TFDS gives '
            f'them since 2.1.0. {HOW_TO_PREPARE}'
        )
    try:
        return builder.as_data_source(decoders={'image': tfds.decode.SkipDecoding()})
    except NotImplementedError as error:
        raise ValueError(
            f'{folder} is stored as {builder.info.file_format.value}, which only TensorFlow reads. '
            'Convert it where that is installed: tfds convert_format '
            f'--dataset_version_dir={folder} --out_file_format=array_record --out_dir=...'
        ) from error


def _photo(split: str, number: int, row: dict[str, Any]) -> Photo:
    labels = {name: bool(value) for name, value in row['attributes'].items()}
    return Photo(f'{split}/{number:06d}', str(row['identity']['Identity_No']), split, labels)


# Files are opened once in each process that reads images.
_opened = functools.cache(_open)


def _read_image(folder: pathlib.Path, file: str) -> bytes:
    split, number = file.split('/')
    return _opened(folder)[split][int(number)]['image']
