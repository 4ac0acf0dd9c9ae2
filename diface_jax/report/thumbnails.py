"""Thumbnails of photographs, embedded in the report."""

import base64
import io
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from diface_jax.data.readers import dispatch

SIDE = 96  # pixels


class Thumbnails(NamedTuple):
    """Thumbnails as data URIs, by file; and why some are missing ('' if none is)."""

    pictures: Mapping[str, str]
    why_not: str


def make_thumbnails(content: Mapping[str, Any]) -> Thumbnails:
    """A thumbnail of each photo in the failure cases and example searches.

    Args:
      content: of `evaluation.json`; says where the photographs lie.

    Returns:
      Thumbnails of the photos that can be read; a report works without any.
    """
    files = dict.fromkeys(_files(content))
    if not files:
        return Thumbnails({}, '')
    if 'simulated' in content['settings'].get('data', {}):
        return Thumbnails({}, 'These people are simulated: there are no photographs of them.')
    try:
        read = _reader(content)
        pictures = {file: picture for file in files if (picture := _picture(read, file))}
    except (ImportError, OSError, ValueError) as error:
        return Thumbnails({}, f'The photographs cannot be shown: {error}.')
    missing = len(files) - len(pictures)
    return Thumbnails(
        pictures, f'Photographs that could not be read: {missing}.' if missing else ''
    )


def _files(content: Mapping[str, Any]) -> Iterable[str]:
    for mistake in content['mistakes'] or ():
        yield from (mistake['described'], mistake['shown'])
    for panel in content['panels'] or ():
        yield panel['described']
        yield panel['mate']['file']
        yield from (face['file'] for face in panel['best'])


def _reader(content: Mapping[str, Any]) -> Callable[[str], bytes]:
    data = content['settings'].get('data', {}).get('data')
    if data is None:
        raise FileNotFoundError('the settings do not say where they lie')
    # An earlier version kept the folder among the settings.
    root = content.get('data_card', {}).get('root') or data['root']
    return dispatch.read_data_set(
        root, data['layout'], tuple(data['shares']), data['split_seed']
    ).read


def _picture(read: Callable[[str], bytes], file: str) -> str | None:
    """A photo as a data URI, the square in its middle; None when it cannot be read."""
    # Pillow is needed to prepare photographs, not to look at numbers.
    from PIL import Image, ImageOps

    try:
        with Image.open(io.BytesIO(read(file))) as image:
            small = ImageOps.fit(ImageOps.exif_transpose(image).convert('RGB'), (SIDE, SIDE))
    except OSError:
        return None
    data = io.BytesIO()
    small.save(data, 'JPEG', quality=80, optimize=True)
    return 'data:image/jpeg;base64,' + base64.b64encode(data.getvalue()).decode()
