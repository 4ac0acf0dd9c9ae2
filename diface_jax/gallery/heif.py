"""Converts HEIC and HEIF photographs, as phones take them, to PNG."""

import io

from diface_jax.encoders.face import align

_BRANDS = (b'heic', b'heix', b'heim', b'heis', b'hevc', b'mif1', b'msf1')


def is_heif(data: bytes) -> bool:
    """Whether the header of a file says that it is HEIF, and not AVIF, which Pillow reads."""
    return data[4:8] == b'ftyp' and data[8:12] in _BRANDS and b'avif' not in data[8:40]


def as_png(data: bytes) -> bytes:
    """Converts a HEIF photo to an upright PNG, without loss.

    Raises:
      ImportError: pillow-heif is not installed.
      ValueError: it cannot be decoded, or is too large.
    """
    try:
        import pillow_heif
    except ImportError as error:
        raise ImportError('HEIC photos need pillow-heif: pip install pillow-heif') from error
    try:
        photo = pillow_heif.open_heif(data)
        width, height = photo.size
        if width * height > align.MAX_PIXELS:
            raise ValueError(f'too large: {width}x{height} pixels')
        image = photo.to_pillow()
    except (OSError, RuntimeError, EOFError, SyntaxError) as error:
        raise ValueError(f'cannot be decoded: {error}') from error
    upright = io.BytesIO()
    # libheif has turned it upright already. Its EXIF would have it turned once more.
    image.convert('RGB').save(upright, 'PNG', compress_level=1)
    return upright.getvalue()
