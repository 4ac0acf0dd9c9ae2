"""Decodes HEIC and HEIF photographs, as phones take them."""

import numpy as np

from diface_jax.encoders.face.photo import MAX_PIXELS, DecodedPhoto, date_taken

_BRANDS = (b'heic', b'heix', b'heim', b'heis', b'hevc', b'mif1', b'msf1')


def is_heif(data: bytes) -> bool:
    """Whether the header of a file says that it is HEIF, and not AVIF, which Pillow reads."""
    return data[4:8] == b'ftyp' and data[8:12] in _BRANDS and b'avif' not in data[8:40]


def decode_heif(data: bytes) -> DecodedPhoto:
    """Decodes a HEIF photo.

    Raises:
      ImportError: pillow-heif is not installed.
      ValueError: it cannot be decoded, or is too large.
    """
    try:
        import pillow_heif
    except ImportError as error:
        raise ImportError('HEIC photos need pillow-heif: pip install pillow-heif') from error
    try:
        heif = pillow_heif.open_heif(data)
        width, height = heif.size
        if width * height > MAX_PIXELS:
            raise ValueError(f'too large: {width}x{height} pixels')
        # libheif has turned it upright already. Its EXIF would have it turned once more.
        image = heif.to_pillow()
        return DecodedPhoto(np.asarray(image.convert('RGB')), date_taken(image))
    except (OSError, RuntimeError, EOFError, SyntaxError) as error:
        raise ValueError(f'cannot be decoded: {error}') from error
