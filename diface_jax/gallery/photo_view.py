"""A photograph as a browser shows it: upright, of a handy size, and without its metadata."""

import io
import os
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

from diface_jax.gallery import enrollment
from diface_jax.gallery.entries import path_text, sha256_of_bytes

_LONGER_SIDE = 2048  # pixels, at most
_QUALITY = 88  # of JPEG


class PhotoView(NamedTuple):
    """A photo to be shown.

    Attributes:
      jpeg: the picture.
      width: of the upright photo before it was made smaller, in pixels, as boxes of faces count.
      height: of the same.
    """

    jpeg: bytes
    width: int
    height: int


def view_photo(
    sha256: bytes, paths: Sequence[bytes], below: pathlib.Path | None = None
) -> PhotoView:
    """Reads a photo to show it.

    Args:
      sha256: its hash.
      paths: files that held it when it was enrolled; the first that still does is read.
      below: the folder that a file must lie in, links followed; None: any.

    Raises:
      OSError: no file can be read.
      ValueError: the gallery has no path of it, the files hold another photo now, or they lie
        elsewhere.
    """
    # Photographs that were given as bytes have names in place of paths.
    files = [path for path in paths if os.path.isabs(path)]
    if not files:
        raise ValueError(
            'this photograph was added on the page, and a gallery keeps no photographs: only the '
            'picture of the face can be shown'
        )
    if below is not None:
        files = [path for path in files if _is_below(path, below)]
        if not files:
            raise ValueError(f'this photograph is not below {below}, so it is not shown')
    contents = [enrollment.read_photo(path) for path in files if os.path.exists(path)]
    if not contents:
        raise FileNotFoundError(f'the photograph is no longer at {path_text(files[0])}')
    for data in contents:
        if sha256_of_bytes(data) == sha256:
            return _view(data)
    raise ValueError(f'{path_text(files[0])} holds another photograph now: enrol its folder again')


def _is_below(path: bytes, folder: pathlib.Path) -> bool:
    return pathlib.Path(os.fsdecode(path)).resolve().is_relative_to(folder.resolve())


def _view(data: bytes) -> PhotoView:
    from PIL import Image

    image_HxWx3 = enrollment.decode_photo(data).image_HxWx3
    height, width = image_HxWx3.shape[:2]
    image = Image.fromarray(image_HxWx3)
    image.thumbnail((_LONGER_SIDE, _LONGER_SIDE), reducing_gap=2)
    jpeg = io.BytesIO()
    image.save(jpeg, 'JPEG', quality=_QUALITY)
    return PhotoView(jpeg.getvalue(), width, height)
