"""Thumbnails of photographs, embedded in the report."""

import base64
import io
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from diface_jax.data.readers import dispatch
from diface_jax.report.content import Content

SIDE = 96  # pixels


class Thumbnails(NamedTuple):
    """Thumbnails of photographs.

    Attributes:
      images: a data URI by the name of the photo's file.
      missing_reason: a sentence on why thumbnails are missing, or ''.
    """

    images: Mapping[str, str]
    missing_reason: str


def make_thumbnails(content: Content) -> Thumbnails:
    """A thumbnail of each photo in the failure cases and example searches.

    Args:
      content: the content of `evaluation.json`, which names the folder of the photographs.

    Returns:
      Thumbnails of the photos that can be read. No error is raised for the others.
    """
    files = dict.fromkeys(_files(content))
    if not files:
        return Thumbnails({}, '')
    if 'simulated' in content['settings'].get('data', {}):
        return Thumbnails({}, 'These people are simulated: there are no photographs of them.')
    try:
        read = _reader(content)
        images = {file: image for file in files if (image := _thumbnail(read, file))}
    except (ImportError, OSError, ValueError) as error:
        return Thumbnails({}, f'The photographs cannot be shown: {error}.')
    missing = len(files) - len(images)
    return Thumbnails(images, f'Photographs that could not be read: {missing}.' if missing else '')


def _files(content: Content) -> Iterable[str]:
    for failure_case in content['mistakes'] or ():
        yield failure_case['described']
        yield failure_case['shown']
    for example in content['panels'] or ():
        yield example['described']
        yield example['mate']['file']
        yield from (photo['file'] for photo in example['best'])


def _reader(content: Content) -> Callable[[str], bytes]:
    data = content['settings'].get('data', {}).get('data')
    if data is None:
        raise FileNotFoundError('evaluation.json does not name their folder')
    # An earlier version kept the folder among the settings.
    root = content.get('data_card', {}).get('root') or data['root']
    return dispatch.read_data_set(
        root, data['layout'], tuple(data['shares']), data['split_seed']
    ).read


def _thumbnail(read: Callable[[str], bytes], file: str) -> str | None:
    """The centre square of a photo as a data URI; None if the photo cannot be read."""
    # Imported here, because a report without photographs does not need Pillow.
    from PIL import Image, ImageOps

    try:
        with Image.open(io.BytesIO(read(file))) as image:
            small = ImageOps.fit(ImageOps.exif_transpose(image).convert('RGB'), (SIDE, SIDE))
    except OSError:
        return None
    data = io.BytesIO()
    small.save(data, 'JPEG', quality=80, optimize=True)
    return 'data:image/jpeg;base64,' + base64.b64encode(data.getvalue()).decode()
