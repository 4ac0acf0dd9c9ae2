import io
import random

import numpy as np
import pytest
from PIL import Image

from diface_jax.encoders.face import photo


def encode(image, format='PNG', **options):
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    data = io.BytesIO()
    image.save(data, format, **options)
    return data.getvalue()


def quadrants():
    image = np.zeros((40, 60, 3), np.uint8)
    image[:20, :30], image[:20, 30:], image[20:, :30] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    return image


# How a camera stores an upright image under each orientation: EXIF 2.32, table 6.
@pytest.mark.parametrize(
    ('orientation', 'stored'),
    [
        (1, lambda x: x),
        (2, lambda x: x[:, ::-1]),
        (3, lambda x: x[::-1, ::-1]),
        (4, lambda x: x[::-1]),
        (5, lambda x: x.swapaxes(0, 1)),
        (6, lambda x: np.rot90(x, 1)),
        (7, lambda x: x[::-1, ::-1].swapaxes(0, 1)),
        (8, lambda x: np.rot90(x, -1)),
    ],
)
def test_exif_orientation_is_undone(orientation, stored):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(np.ascontiguousarray(stored(quadrants())), exif=exif)
    np.testing.assert_array_equal(photo.decode(data), quadrants())


def test_damaged_exif_does_not_lose_the_photo():
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x011A] = 72.5  # a resolution, stored as a fraction
    data = encode(quadrants(), 'JPEG', exif=exif, quality=100, subsampling=0)
    as_text = data.replace(b'\x01\x1a\x00\x05\x00\x00\x00\x01', b'\x01\x1a\x00\x02\x00\x00\x00\x04')
    assert as_text != data
    assert photo.decode(as_text).shape == (60, 40, 3)


@pytest.mark.parametrize(
    ('mode', 'format'),
    [('L', 'PNG'), ('1', 'PNG'), ('P', 'GIF'), ('CMYK', 'JPEG'), ('LA', 'PNG'), ('RGBA', 'WEBP')],
)
def test_every_mode_becomes_rgb(mode, format):
    grey = Image.fromarray(np.repeat(np.uint8([[0, 255]]), 8, axis=1).repeat(16, axis=0))
    image = photo.decode(encode(grey.convert(mode), format))
    assert image.dtype == np.uint8
    assert image.shape == (16, 16, 3)
    assert image[:, :6].max() < 12
    assert image[:, 10:].min() > 243


def test_transparency_is_laid_on_white():
    image = np.zeros((4, 4, 4), np.uint8)
    image[:2] = (10, 20, 30, 255)
    decoded = photo.decode(encode(image))
    assert (decoded[:2] == (10, 20, 30)).all()
    assert (decoded[2:] == 255).all()


def test_16_bits_of_grey_are_scaled_not_clipped():
    ramp = np.linspace(0, 65535, 256).astype(np.uint16)[None].repeat(4, axis=0)
    decoded = photo.decode(encode(ramp))
    np.testing.assert_array_equal(decoded[0, :, 1], np.arange(256))


@pytest.mark.parametrize(
    ('data', 'why'),
    [
        (b'', 'an empty file'),
        (b'no image at all', 'not an image of JPEG'),
        (encode(quadrants(), 'JPEG')[:400], 'cannot be decoded'),
        (encode(quadrants())[:60], 'cannot be decoded'),
        (encode(quadrants())[:20], 'cannot be decoded'),
        (b'P6 2 2 255 ' + bytes(12), 'not an image of JPEG'),
    ],
)
def test_what_cannot_be_decoded_says_why(data, why):
    with pytest.raises(ValueError, match=why):
        photo.decode(data)


@pytest.mark.parametrize('side', [9_000, 30_000])
@pytest.mark.filterwarnings('ignore::PIL.Image.DecompressionBombWarning')
def test_too_large_an_image_is_refused_before_its_pixels_are_read(side):
    header = bytearray(encode(Image.new('1', (8, 8)), 'BMP'))
    header[18:26] = side.to_bytes(4, 'little') * 2
    with pytest.raises(ValueError, match='too large'):
        photo.decode(bytes(header))


@pytest.mark.filterwarnings(
    'ignore:.*EXIF.*:UserWarning', 'ignore:Tag data:UserWarning', 'ignore:Truncated:UserWarning'
)
def test_wrong_bytes_raise_nothing_but_value_error():
    rng = random.Random(0)
    exif = Image.Exif()
    exif[0x0112] = 6
    exif.get_ifd(0x8769)[0x9003] = '2019:07:14 12:30:05'
    files = [encode(quadrants(), format, exif=exif) for format in ('JPEG', 'PNG', 'WEBP')]
    refused = 0
    for _ in range(400):
        data = bytearray(rng.choice(files))
        for _ in range(rng.choice((1, 5, 20))):
            data[rng.randrange(len(data))] = rng.randrange(256)
        try:
            assert photo.decode(bytes(data)).shape[2] == 3
        except ValueError:
            refused += 1
    assert 50 < refused < 400


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('2019:07:14 12:30:05', '2019-07-14T12:30:05'),
        ('0000:00:00 00:00:00', None),
        ('yesterday', None),
        (7, None),
    ],
)
def test_the_date_is_the_cameras_where_it_has_one(text, expected):
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9003] = text
    assert photo.read_photo_content(encode(quadrants(), 'JPEG', exif=exif)).taken == expected
    assert photo.read_photo_content(encode(quadrants())).taken is None
