"""Two hundred and more malformed inputs: a clear message each, no traceback, the same gallery."""

import io
import os
import sqlite3
import struct
import zipfile
import zlib

import numpy as np
import pyarrow
import pytest
from PIL import Image
from pyarrow import parquet

from diface_jax.encoders.face import align
from diface_jax.gallery import embedding_files, sqlite_database, store
from diface_jax.gallery.store import PhotoLabel, Store
from diface_jax.runtime.terminal import printable
from tests import drawn_face
from tests.gallery import world

FORMS = {'jpg': 'JPEG', 'png': 'PNG', 'webp': 'WEBP', 'tif': 'TIFF', 'bmp': 'BMP', 'gif': 'GIF'}
SUFFIXES = (*FORMS, 'jpeg', 'avif', 'heic')


class Real(world.Oracle):
    """Decodes and detects for real; embeds nothing, since nothing may be found."""

    faces_of = staticmethod(align.align_every_face)

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
        assert printable(path.name.split('\n')[0]) in said
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


# --- galleries that are damaged, or made by somebody who means harm ---

_F = world.embedding(1) / np.linalg.norm(world.embedding(1))
_DEEP = '[' * 100_000 + ']' * 100_000
# What is changed in one row of `entry` (or by a statement), and what the message says of it.
ROWS = {
    'feature': [
        ('a text', 'not a list of 32-bit numbers'),
        (7, 'not a list of 32-bit numbers'),
        (1.5, 'not a list of 32-bit numbers'),
        (b'', 'not a list of 32-bit numbers'),
        (b'abc', 'not a list of 32-bit numbers'),
        (bytes(4 * 31), 'has 31 numbers, and the first entry 32'),
        (bytes(4 * 64), 'has 64 numbers, and the first entry 32'),
        (bytes(1 << 20), 'has 262,144 numbers, more than'),
        (bytes(4 * 32), 'length of its feature is not 1'),
        ((1e10 * _F).astype(np.float32).tobytes(), 'length of its feature is not 1'),
        ((0.9 * _F).astype(np.float32).tobytes(), 'length of its feature is not 1'),
        (np.full(32, np.nan, np.float32).tobytes(), 'length of its feature is not 1'),
        (np.full(32, -np.inf, np.float32).tobytes(), 'length of its feature is not 1'),
    ],
    'tags': [
        ('[]', 'tags are not text by name'),
        ('["a"]', 'tags are not text by name'),
        ('7', 'tags are not text by name'),
        ('null', 'tags are not text by name'),
        ('{"a": 1}', 'tags are not text by name'),
        ('{"a": {"b": "c"}}', 'tags are not text by name'),
        ('{"a": null}', 'tags are not text by name'),
        ('{', 'tags cannot be read as JSON'),
        ('', 'tags cannot be read as JSON'),
        (_DEEP, 'tags cannot be read as JSON'),
        ('{"a": ' + '[' * 100_000, 'tags cannot be read as JSON'),
        ('{"a": "' + 'x' * (1 << 20) + '"}', 'tags has 1,048,585 characters'),
        (b'{}', 'tags is not text'),
    ],
    'box': [
        ('7', 'box is not four whole numbers'),
        ('[1, 2, 3]', 'box is not four whole numbers'),
        ('[1, 2, 3, "4"]', 'box is not four whole numbers'),
        ('[1, 2, 3, 4.5]', 'box is not four whole numbers'),
        ('[1, 2, 3, NaN]', 'box is not four whole numbers'),
        ('[1, 2, 3, true]', 'box is not four whole numbers'),
        ('[1, 2, 3, 1e400]', 'box is not four whole numbers'),
        (f'[1, 2, 3, {10**30}]', 'box lies outside any photo'),
        ('[1, 2, 3, 1' + '0' * 5000 + ']', 'box cannot be read as JSON'),
        ('{"left": 1}', 'box is not four whole numbers'),
        (_DEEP, 'box cannot be read as JSON'),
        (b'\xff', 'box is not text'),
        ('x', 'box cannot be read as JSON'),
    ],
    'person': [
        (b'\xff\xfe', 'is not text'),
        ('x' * (1 << 20) + 'y', '1,048,577 characters'),
    ],
    'name': [(b'\xff\xfe', 'name is not text')],
}


@pytest.fixture(scope='module')
def whole_gallery(tmp_path_factory):
    """The bytes of a good gallery of four faces."""
    folder = tmp_path_factory.mktemp('whole')
    world.folder_of(folder / 'photos', people=2, photos=2)
    world.model().enroll(folder / 'gallery', folder / 'photos', people=True)
    return (folder / 'gallery' / sqlite_database.FILE).read_bytes()


@pytest.fixture
def damaged(whole_gallery, tmp_path):
    """Makes a gallery in which statements have changed something."""

    def make(*statements, values=()):
        folder = tmp_path / 'gallery'
        folder.mkdir()
        (folder / sqlite_database.FILE).write_bytes(whole_gallery)
        with sqlite3.connect(folder / sqlite_database.FILE) as database:
            for statement in statements:
                database.execute(statement, values)
        database.close()
        return folder

    return make


def use(gallery):
    """Everything that reads a gallery; yields what the errors say."""
    model = world.model()
    for attempt in (
        lambda: model.search(gallery, 'person 1', k=100),
        lambda: model.search(gallery, 'person 1', where={'person': 'person-*'}),
        lambda: store.remove_entries(gallery, {'entry': '3'}),
    ):
        try:
            attempt()
        except ValueError as error:
            yield str(error)


@pytest.mark.parametrize(
    ('column', 'value', 'why'),
    [(column, value, why) for column, cases in ROWS.items() for value, why in cases],
    ids=lambda value: str(value)[:20],
)
def test_a_damaged_gallery_is_refused_by_file_and_row(damaged, column, value, why):
    gallery = damaged(f'UPDATE entry SET {column} = ? WHERE id = 3', values=(value,))
    said = list(use(gallery))
    assert said
    for message in said:
        assert message.startswith(f'{gallery / sqlite_database.FILE}, entry 3 is damaged: ')
        assert why in message
        assert len(message) < 500


@pytest.mark.parametrize(
    ('statement', 'why'),
    [
        ('UPDATE entry SET feature = zeroblob(40000000) WHERE id = 3', 'after row 1 is damaged'),
        ('UPDATE entry SET feature = zeroblob(40000000) WHERE id = 1', 'too big'),
        ('UPDATE entry SET tags = CAST(zeroblob(40000000) AS TEXT) WHERE id = 2', 'too big'),
        ("UPDATE entry SET person = CAST(x'ff' AS TEXT)", 'UTF-8'),
        ("UPDATE file SET path = 'text' || rowid", 'not stored as bytes'),
        ('UPDATE file SET path = rowid', 'not stored as bytes'),
        ("UPDATE about SET value = '[' WHERE name = 'face_encoder'", 'face_encoder cannot be read'),
        (f"UPDATE about SET value = '{_DEEP}' WHERE name = 'state'", 'state cannot be read'),
        ("DELETE FROM about WHERE name = 'model'", 'another model'),
        ("DELETE FROM about WHERE name = 'face_encoder'", 'is empty'),
        ('DROP TABLE entry', 'no such table'),
        ('ALTER TABLE entry RENAME COLUMN feature TO vector', 'no such column'),
        ('CREATE VIEW faces AS SELECT 1', "'faces' is not of a gallery"),
        ('CREATE TRIGGER t AFTER DELETE ON entry BEGIN DELETE FROM photo; END', 'not of a gallery'),
        ('PRAGMA user_version = 99', 'version 99'),
        ('PRAGMA application_id = 7', 'not a gallery'),
    ],
)
def test_a_damaged_gallery_file_is_refused(damaged, statement, why):
    gallery = damaged(statement)
    said = list(use(gallery))
    assert said
    assert any(why in message for message in said)
    assert all(str(gallery) in message and len(message) < 500 for message in said)


@pytest.mark.parametrize('keep', [0.1, 0.5, 0.95])
def test_a_cut_or_flipped_gallery_file_is_refused(damaged, whole_gallery, keep):
    gallery = damaged()
    (gallery / sqlite_database.FILE).write_bytes(whole_gallery[: int(keep * len(whole_gallery))])
    said = list(use(gallery))
    assert said
    # Not every flip is noticed, and none is a traceback.
    for position in range(100, len(whole_gallery), 2999):
        flipped = bytearray(whole_gallery)
        flipped[position] ^= 0xFF
        (gallery / sqlite_database.FILE).write_bytes(flipped)
        said += use(gallery)
    assert not [message for message in said if str(gallery) not in message]


def test_embeddings_of_another_width_in_a_gallery_are_refused_on_refresh(damaged):
    gallery = damaged('UPDATE entry SET embedding = zeroblob(40) WHERE id = 3')
    other = world.model(world.Oracle('second'))
    with pytest.raises(ValueError, match=r'entry 3 is damaged: its embedding has 10 numbers'):
        other.refresh(gallery)


def test_a_gallery_of_features_of_another_model_width_is_refused(damaged):
    gallery = damaged(
        'UPDATE entry SET feature = ?', values=(np.eye(16, dtype=np.float32)[0].tobytes(),)
    )
    with pytest.raises(ValueError, match='features have 16 numbers, and those of this model 32'):
        world.model().search(gallery, 'person 1')


def test_a_damaged_picture_is_refused_by_row(damaged, tmp_path, command):
    gallery = damaged("UPDATE entry SET picture = 'text' WHERE id = 3")
    with pytest.raises(ValueError, match='entry 3 is damaged: its picture is not a JPEG'):
        world.model().picture(gallery, 3)
    with sqlite3.connect(gallery / sqlite_database.FILE) as database:
        database.execute("UPDATE entry SET wide_picture = x'ffd8ffe000' WHERE id = 3")
    database.close()
    sheet = f'--sheet={tmp_path / "sheet.png"}'
    code, said = command('search', f'--gallery={gallery}', '--text=person 1', sheet)
    assert code == 1
    assert 'the picture of entry 3 is damaged' in said


@pytest.mark.parametrize('number', [10**30, 1 << 63, -1, 0])
def test_numbers_of_pictures_that_cannot_be(damaged, number):
    assert world.model().picture(damaged(), number) is None


def test_asking_for_a_billion_results_gives_all_there_are(damaged):
    gallery = damaged()
    assert len(world.model().search(gallery, 'person 1', k=10**9).results) == 4
    assert len(world.model().identify(gallery, 'person 1', k=10**30).results) == 2
    for k in (1e9, '3', None, True):
        with pytest.raises(ValueError, match='whole number'):
            world.model().search(gallery, 'person 1', k=k)


# --- files of embeddings ---


def npy(array):
    data = io.BytesIO()
    np.save(data, array, allow_pickle=array.dtype.hasobject)
    return data.getvalue()


def npy_that_claims(shape, descr='<f4', more=b''):
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b'\x93NUMPY\x01\x00' + struct.pack('<H', len(header)) + header + more


def npz(compression=zipfile.ZIP_STORED, **members):
    """An archive of arrays, or of bytes as they are."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, 'w', compression) as archive:
        for name, member in members.items():
            archive.writestr(
                f'{name}.npy', member if isinstance(member, bytes) else npy(np.asarray(member))
            )
    return data.getvalue()


def flipped(data, position):
    return data[:position] + bytes([data[position] ^ 0xFF]) + data[position + 1 :]


def encrypted(data):
    """The archive with every member marked as encrypted."""
    for signature, offset in ((b'PK\x03\x04', 6), (b'PK\x01\x02', 8)):
        start = -1
        while (start := data.find(signature, start + 1)) >= 0:
            data = data[: start + offset] + b'\x01' + data[start + offset + 1 :]
    return data


def with_method(data, method):
    for signature, offset in ((b'PK\x03\x04', 8), (b'PK\x01\x02', 10)):
        start = -1
        while (start := data.find(signature, start + 1)) >= 0:
            data = data[: start + offset] + struct.pack('<H', method) + data[start + offset + 2 :]
    return data


def parquet_of(**columns):
    data = io.BytesIO()
    parquet.write_table(pyarrow.table(columns), data)
    return data.getvalue()


_IDS, _E = ['x', 'y'], np.stack([world.embedding(1), world.embedding(2)])
_LISTS = _E.tolist()


def broken_embeddings():
    """(file name, its bytes, what the message says)."""
    good, packed = npz(id=_IDS, embedding=_E), npz(zipfile.ZIP_DEFLATED, id=_IDS, embedding=_E)
    for percent in (0, 1, 20, 50, 80, 99):
        yield f'cut-{percent}.npz', packed[: len(packed) * percent // 100], ''
    yield 'flipped.npz', flipped(good, len(good) // 2), 'CRC'
    yield 'flipped-packed.npz', flipped(packed, len(packed) // 2), ''
    yield 'encrypted.npz', encrypted(good), 'encrypted'
    yield 'encrypted-packed.npz', encrypted(packed), 'encrypted'
    for method in (1, 6, 97, 99):
        yield f'method-{method}.npz', with_method(packed, method), 'compression'
    yield 'an-npy.npz', npy(_E), ''
    yield 'letter.npz', b'Dear all,' * 40, ''
    yield 'no-id.npz', npz(embedding=_E), "no array 'id'"
    yield 'no-embedding.npz', npz(id=_IDS), "no array 'embedding'"
    for name, shape in {
        'petabyte': '(1000000, 1000000000)',
        'overflow': f'({1 << 62}, {1 << 62})',
        'negative': '(-1, 32)',
        'gigabyte': '(1000, 250000)',
    }.items():
        yield f'{name}.npz', npz(id=_IDS, embedding=npy_that_claims(shape)), 'header asks for'
        yield f'{name}.npy', npy_that_claims(shape), 'header asks for'
    yield 'no-shape.npy', npy_that_claims('None'), ''
    yield 'deep.npy', npy_that_claims('(' * 5000 + ')' * 5000), ''
    yield 'long.npy', npy_that_claims('(2, 32)' + ' ' * 60_000), ''
    yield 'code.npy', npy_that_claims('__import__("os").getpid()'), ''
    yield 'no-numbers.npy', npy_that_claims('(2, 32)'), 'header asks for'
    yield 'strange.npy', npy_that_claims('(2, 32)', 'V16', bytes(2000)), 'real numbers'
    yield 'version.npy', b'\x93NUMPY\x09\x00' + npy(_E)[8:], 'format 9.0'
    yield 'cut.npy', npy(_E)[:-1], 'header asks for'
    for name, array in {
        'complex': _E.astype(complex),
        'text': _E.astype(str),
        'bytes': _E.astype('S8'),
        'bool': _E > 0,
        'dates': np.zeros((2, 32), 'M8[s]'),
        'spans': np.zeros((2, 32), 'm8[s]'),
        'object': _E.astype(object),
        'fields': np.zeros(2, [('a', 'f4'), ('b', 'f4')]),
    }.items():
        why = 'is not read' if name in ('object', 'fields') else 'real numbers'
        yield f'{name}.npy', npy(array), why
        yield f'{name}.npz', npz(id=_IDS, embedding=array), why
    for name, array, why in (
        ('scalar', np.float32(1), 'needs rows of 32'),
        ('flat', _E.ravel(), 'needs rows of 32'),
        ('wide', np.ones((2, 33)), 'needs rows of 32'),
        ('cube', np.ones((2, 32, 1)), 'needs rows of 32'),
        ('turned', np.ones((32, 2)), 'needs rows of 32'),
        ('short', _E[:1], '2 ids for 1'),
        ('none', _E[:0], '2 ids for 0'),
        ('nan', np.where([[False], [True]], np.nan, _E), r'rows [1]'),
        ('infinite', np.where([[False], [True]], np.inf, _E), r'rows [1]'),
        ('too-large', np.where([[True], [False]], 1e300, _E.astype(float)), r'rows [0]'),
        ('large', np.where([[True], [False]], 1e30, _E), r'rows [0]'),
        ('tiny', np.where([[True], [False]], 1e-300, _E.astype(float)), r'rows [0]'),
    ):
        yield f'{name}.npz', npz(id=_IDS, embedding=array), why
    for name, ids, why in (
        ('ids-of-numbers', np.array([1.5, 2.5]), 'list of strings'),
        ('ids-of-pairs', np.array([['a', 'b'], ['c', 'd']]), 'list of strings'),
        ('ids-alike', ['x', 'x'], "row 1 has 'x' again"),
        ('ids-empty', ['x', ''], 'row 1 has none'),
        ('ids-no-text', np.array([b'x', b'\xff']), 'utf-8'),
        ('ids-long', ['x', 'y' * 200_000], 'row 1 has 200,00'),
        ('ids-half', ['x', '\ud800'], 'row 1 has an id'),
    ):
        yield f'{name}.npz', npz(id=ids, embedding=_E), why
    yield 'people.npz', npz(id=_IDS, embedding=_E, person=['a']), '1 people for 2'
    whole = parquet_of(id=_IDS, embedding=_LISTS)
    yield 'cut.parquet', whole[:-20], ''
    yield 'flipped.parquet', flipped(whole, len(whole) - 6), ''
    yield 'letter.parquet', b'Dear all,' * 40, ''
    yield 'empty.parquet', b'', ''
    yield 'no-id.parquet', parquet_of(embedding=_LISTS), "no column 'id'"
    yield 'no-embedding.parquet', parquet_of(id=_IDS), "no column 'embedding'"
    yield 'null-id.parquet', parquet_of(id=['x', None], embedding=_LISTS), 'row 1 has no id'
    yield 'null.parquet', parquet_of(id=_IDS, embedding=[_LISTS[0], None]), 'row 1 of embedding'
    yield 'ragged.parquet', parquet_of(id=_IDS, embedding=[_LISTS[0], [1.0]]), 'row 1 of embedding'
    holed = [_LISTS[0], [None, *_LISTS[1][1:]]]
    yield 'holed.parquet', parquet_of(id=_IDS, embedding=holed), 'row 1 of embedding'
    yield 'text.parquet', parquet_of(id=_IDS, embedding=['a', 'b']), 'must be lists of numbers'
    yield 'texts.parquet', parquet_of(id=_IDS, embedding=[['a'], ['b']]), 'must be lists of numbers'
    yield 'deep.parquet', parquet_of(id=_IDS, embedding=[[[1.0]], [[2.0]]]), 'lists of numbers'
    not_finite = [_LISTS[0], [float('nan')] * 32]
    yield 'nan.parquet', parquet_of(id=_IDS, embedding=not_finite), 'rows [1]'


@pytest.mark.parametrize(
    ('name', 'data', 'why'), [pytest.param(*case, id=case[0]) for case in broken_embeddings()]
)
@pytest.mark.filterwarnings('error')
def test_a_damaged_file_of_embeddings_is_one_sentence(tmp_path, name, data, why):
    (tmp_path / name).write_bytes(data)
    (tmp_path / 'ids.txt').write_text('x\ny\n')
    with pytest.raises(ValueError, match='cannot be read') as refused:
        embedding_files.read_embeddings(tmp_path / name, tmp_path / 'ids.txt', world.WIDTH)
    said = str(refused.value)
    assert said.startswith(f'{tmp_path / name} cannot be read: ')
    assert why in said
    assert '\n' not in said
    assert len(said) < 500


def test_there_are_more_than_eighty_damaged_files():
    assert len(list(broken_embeddings())) + sum(map(len, ROWS.values())) > 120


def test_good_embeddings_of_every_real_kind_are_read(tmp_path):
    for number, kind in enumerate(('<f4', '>f4', '<f8', '<f2', '<i4')):
        path = tmp_path / f'{number}.npz'
        path.write_bytes(npz(zipfile.ZIP_DEFLATED, id=[7, 8], embedding=(9 * _E).astype(kind)))
        found = embedding_files.read_embeddings(path, None, world.WIDTH)
        assert found.names == ['7', '8']
        np.testing.assert_array_equal(found.embedding_NxD, (9 * _E).astype(kind).astype(np.float32))
    (tmp_path / 'bytes.npz').write_bytes(npz(id=np.array([b'a', b'b']), embedding=_E))
    assert embedding_files.read_embeddings(tmp_path / 'bytes.npz', None, world.WIDTH).names == [
        'a',
        'b',
    ]
    (tmp_path / 'a.parquet').write_bytes(
        parquet_of(id=_IDS, embedding=_LISTS, place=['Rome', None])
    )
    found = embedding_files.read_embeddings(tmp_path / 'a.parquet', None, world.WIDTH)
    assert found.labels == [PhotoLabel(None, {'place': 'Rome'}), PhotoLabel(None, {})]
    np.testing.assert_array_equal(found.embedding_NxD, _E)
