"""Goes back from a prepared data set to the face crops of its photos."""

import pathlib
from collections.abc import Sequence

import numpy as np

from diface_jax.data import array_cache, prepared, sharded_work
from diface_jax.data.face_crops import FaceCrops
from diface_jax.data.photo_hashes import photo_hashes
from diface_jax.data.prepared import Prepared
from diface_jax.data.readers import dispatch


def map_prepared_photos(
    data: Prepared,
    files: Sequence[str],
    cache: pathlib.Path,
    depends_on: Sequence[str],
    compute: sharded_work.MapCrops,
) -> array_cache.Arrays:
    """Arrays computed from the face crops of photos of a prepared data set, cached on disk.

    Args:
      data: its photos must be in the same folder as when it was prepared.
      files: of the photos; at least one.
      cache: folder of the cache, the same one on all hosts.
      depends_on: name of the result, then all that it depends on besides the photos.
      compute: from files and their face crops to arrays with a row for each.

    Returns:
      Arrays with a row for each file, on every host.

    Raises:
      FileNotFoundError: the data set's folder does not exist any more.
    """
    how_read, root = data.card['settings']['data'], prepared.root_of(data.card)
    shares, seed = tuple(how_read['shares']), how_read['split_seed']
    source = dispatch.read_data_set(root, how_read['layout'], shares, seed)
    hashes = photo_hashes(source, pathlib.Path(root), cache)
    hash_of = dict(zip([photo.file for photo in source.photos], hashes, strict=True))
    # A missing photo has no hash; `stacked_chips` raises for it.
    hashes = [hash_of.get(file, '') for file in files]
    return sharded_work.map_photos(source, files, hashes, cache, depends_on, compute)


def stacked_chips(files: Sequence[str], crops: Sequence[FaceCrops], template: int) -> np.ndarray:
    """The chips [N, 150, 150, 3] of photos that all had a face when they were prepared.

    Args:
      files: of the photos.
      crops: of each of them.
      template: which of the chips, such as `align.WIDE`.

    Raises:
      ValueError: a photo has no face any more; says what to do.
    """
    for file, crop in zip(files, crops, strict=True):
        if crop.chips is None:
            raise ValueError(
                f'{file} had a face when it was prepared, but now: {crop.note}. Put the photo '
                'back, or run --mode=prepare --overwrite'
            )
    return np.stack([crop.chips[template] for crop in crops])
