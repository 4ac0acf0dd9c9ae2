"""A photo is known by its content, and read again only when its file has changed."""

import hashlib
import os

import pytest

from diface_jax.data.photo_hashes import photo_hashes
from diface_jax.data.readers.records import DataSet, Photo


@pytest.fixture
def root(tmp_path):
    root = tmp_path / 'photos'
    root.mkdir()
    for i in range(4):
        (root / f'{i}.jpg').write_bytes(bytes([i]) * 9)
    return root


def hashes(root, cache, read):
    def read_one(file):
        read.append(file)
        return (root / file).read_bytes()

    photos = tuple(Photo(f'{i}.jpg', 'somebody', 'train', None) for i in range(4))
    return photo_hashes(DataSet('x', photos, (), read_one), root, cache)


def test_only_photos_that_changed_are_read_again(root, tmp_path):
    first, second, third = [], [], []
    before = hashes(root, tmp_path / 'cache', first)
    assert before[2] == hashlib.sha256(b'\2' * 9).hexdigest()[:32]
    assert sorted(first) == [f'{i}.jpg' for i in range(4)]
    assert hashes(root, tmp_path / 'cache', second) == before
    assert second == []
    # The same name, the same size and the same time of modification.
    times = (root / '2.jpg').stat()
    (root / '2.jpg').write_bytes(b'\1' * 9)
    os.utime(root / '2.jpg', ns=(times.st_atime_ns, times.st_mtime_ns))
    assert hashes(root, tmp_path / 'cache', third) == [before[0], before[1], before[1], before[3]]
    assert third == ['2.jpg']


def test_a_photo_that_comes_back_is_hashed(root, tmp_path):
    (root / '3.jpg').rename(tmp_path / 'away')
    assert hashes(root, tmp_path / 'cache', [])[3] == ''
    (tmp_path / 'away').rename(root / '3.jpg')
    assert hashes(root, tmp_path / 'cache', [])[3] != ''


def test_photos_in_archives_are_hashed_again_when_an_archive_changes(root, tmp_path):
    photos = (Photo('train/0', 'somebody', 'train', None),)
    archive, cache, read = root / '0.jpg', tmp_path / 'cache', []

    def read_one(file):
        read.append(file)
        return archive.read_bytes()

    source = DataSet('x', photos, (), read_one)
    for _ in range(2):
        (before,) = photo_hashes(source, root, cache)
    assert len(read) == 1
    archive.write_bytes(b'another')
    assert photo_hashes(source, root, cache) != [before]
