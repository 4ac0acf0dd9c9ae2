"""Two hundred and more malformed inputs: a clear message each, no traceback, the same gallery."""

import io
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from diface_jax.encoders.face import align
from diface_jax.gallery.store import Store
from tests import drawn_face
from tests.gallery import world

FORMS = {'jpg': 'JPEG', 'png': 'PNG', 'webp': 'WEBP', 'tif': 'TIFF', 'bmp': 'BMP', 'gif': 'GIF'}
SUFFIXES = (*FORMS, 'jpeg', 'avif', 'heic')


class Real(world.Oracle):
    """Decodes and detects for real; embeds nothing, since nothing may be found."""

    faces_of = staticmethod(align.every_face)

    def embed(self, chips):
        assert not len(chips)
        return super().embed(chips)


@pytest.fixture
def model():
    """Of the fixture `command`."""
    return world.model(Real())


@pytest.fixture
def gallery(tmp_path, command):
    world.folder_of(tmp_path / 'good')
    world.model().enroll(tmp_path / 'gallery', tmp_path / 'good', people=True)
    return tmp_path / 'gallery'


def encoded(form, image):
    data = io.BytesIO()
    image.save(data, form)
    return data.getvalue()


def files():
    """(name, bytes) of every malformed file."""
    face = Image.fromarray(drawn_face.draw(96))
    rng = np.random.default_rng(0)
    for suffix, form in FORMS.items():
        whole = encoded(form, face)
        for percent in (1, 10, 25, 50, 75, 90):
            yield f'cut-{percent}.{suffix}', whole[: len(whole) * percent // 100]
        for size in ((1, 1), (1, 300), (300, 1), (2, 2)):
            yield f'{size[0]}x{size[1]}.{suffix}', encoded(form, Image.new('RGB', size, 'pink'))
        yield f'damaged.{suffix}', bytes(24) + whole[24:]
    for suffix in SUFFIXES:
        yield f'empty.{suffix}', b''
        yield f'one-byte.{suffix}', b'\xff'
        yield f'letter.{suffix}', b'Dear all,\n\nthis is a letter.\n' * 40
        yield f'page.{suffix}', b'<!doctype html><script>alert(1)</script>' * 9
        yield f'paper.{suffix}', b'%PDF-1.7\n' + rng.bytes(400)
        yield f'archive.{suffix}', b'PK\x03\x04' + rng.bytes(400)
        yield f'program.{suffix}', b'\x7fELF' + rng.bytes(400)
        yield f'noise.{suffix}', rng.bytes(3000)
        for magic in (b'\xff\xd8\xff\xe0', b'\x89PNG\r\n\x1a\n', b'GIF89a', b'RIFF\0\0\0\0WEBP'):
            yield f'only-{magic[1:4].hex()}.{suffix}', magic + rng.bytes(300)
    for width, height in ((100_000, 100_000), (2**31 - 1, 1), (0, 0), (30_000, 3_000)):
        yield f'claims-{width}x{height}.png', png_that_claims(width, height)
        yield f'claims-{width}x{height}.bmp', bmp_that_claims(width, height)
    for name in hostile_names():
        yield name, b'not an image'


def png_that_claims(width, height):
    head = b'IHDR' + struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0)
    body = b'IDAT' + zlib.compress(bytes(1000))
    chunks = [
        struct.pack('>I', len(c) - 4) + c + struct.pack('>I', zlib.crc32(c)) for c in (head, body)
    ]
    return b'\x89PNG\r\n\x1a\n' + b''.join(chunks)


def bmp_that_claims(width, height):
    size = struct.pack('<IiiHHIIiiII', 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return b'BM' + struct.pack('<IHHI', 1000, 0, 0, 54) + size + bytes(946)


def hostile_names():
    yield from (
        "'; DROP TABLE entry; --.jpg",
        '<img src=x onerror=alert(1)>.png',
        '--everything.jpg',
    )
    yield from (
        'two\nlines.jpg',
        'tab\there.png',
        ' .jpg',
        '%s%n%x.gif',
        '$(reboot).jpg',
        '`id`.png',
    )
    yield from ('\u202egnp.exe.jpg', '\U0001f600' * 60 + '.jpg', 'a' * 251 + '.jpg', '*?[a].png')
    yield from (os.fsdecode(b'no-utf8-\xff\xfe.jpg'), '\x1b[31mred.jpg', 'q"uote\\.jpg')


TEXTS = (
    *('', ' ', '\n\t ', '...', ',;:!?', '-- - --', '""', '\u200b', '\U0001f600', '\u202e'),
    *('x' * 100_000, 'a man with a beard, ' * 5_000, 'a ' * 1_001, '\ud800 man', 'a man\x00'),
    *('a man\x1b[2J', 'a \x07 bell'),
)


@pytest.mark.filterwarnings('ignore::PIL.Image.DecompressionBombWarning')
def test_files_and_texts(gallery, command, tmp_path):
    folder = tmp_path / 'bad'
    folder.mkdir()
    for name, data in files():
        (folder / name).write_bytes(data)
    bad = sorted(folder.iterdir())
    assert len(bad) + len(TEXTS) >= 200
    before = whole(gallery, command)
    for path in bad:
        code, said = command('verify', f'--photo={path}', '--text=person 3')
        assert_clear(code, said)
        assert path.name.split('\n')[0] in said
    for text in TEXTS:
        for mode, where in (('search', f'--gallery={gallery}'), ('verify', f'--photo={bad[0]}')):
            code, said = command(mode, where, f'--text={text}')
            assert_clear(code, said)
            assert 'description' in said
    code, said = command('enroll', f'--gallery={gallery}', f'--photos={folder}')
    assert code == 0
    assert f'{len(bad)} files passed over' in said
    assert 'Traceback' not in said
    assert whole(gallery, command) == before


def assert_clear(code, said):
    assert code == 1
    assert 10 < len(said) < 500
    assert 'Traceback' not in said


def whole(gallery, command):
    """The entries, and what a search of them says."""
    with Store(gallery) as store:
        entries = world.contents(store)['entry']
    code, said = command('search', f'--gallery={gallery}', '--text=person 3', '--json')
    assert code == 0
    return entries, said.replace('"files": ', '').split('"entries_searched"')[1]


def test_huge_files_are_not_read(gallery, command, tmp_path):
    with (tmp_path / 'huge.jpg').open('wb') as file:
        file.truncate(300_000_000)  # sparse: it takes no room
    code, said = command('enroll', f'--gallery={gallery}', f'--photos={tmp_path / "huge.jpg"}')
    assert code == 0
    assert 'above 200,000,000' in said
    code, said = command('verify', f'--photo={tmp_path / "huge.jpg"}', '--text=person 3')
    assert_clear(code, said)
    assert 'above 200,000,000' in said
