"""HEIC and HEIF photographs, as phones take them, turned into what the rest can read."""

import io

from diface_jax.encoders.face import align

_BRANDS = (b'heic', b'heix', b'heim', b'heis', b'hevc', b'mif1', b'msf1')


def is_heif(data: bytes) -> bool:
    """Whether a file says of itself that it is HEIF (and not AVIF, its cousin)."""
    return data[4:8] == b'ftyp' and data[8:12] in _BRANDS and b'avif' not in data[8:40]


def as_png(data: bytes) -> bytes:
    """A HEIF photo as an upright PNG, pixel by pixel.

    Raises:
      ImportError: pillow-heif is not installed.
      ValueError: it cannot be decoded, or is too large.
    """
    try:
        import pillow_heif
    except ImportError as error:
        raise ImportError('HEIC photos need pillow-heif: pip install pillow-heif') from error
    try:
        found = pillow_heif.open_heif(data)
        if found.size[0] * found.size[1] > align.MAX_PIXELS:
            raise ValueError(f'too large: {found.size[0]}x{found.size[1]} pixels')
        image = found.to_pillow()
    except (OSError, RuntimeError, EOFError, SyntaxError) as error:
        raise ValueError(f'cannot be decoded: {error}') from error
    upright = io.BytesIO()
    # libheif has turned it upright already; its EXIF, which says so too, is left behind.
    image.convert('RGB').save(upright, 'PNG', compress_level=1)
    return upright.getvalue()
