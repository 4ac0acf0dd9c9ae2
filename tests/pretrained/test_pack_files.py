"""A pack is read as it was written, or refused with a reason that names it."""

import hashlib
import json
import pickle

import numpy as np
import pytest

from diface_jax.pretrained import pack_files
from diface_jax.pretrained.pack_files import PackError
from tests.pretrained import conftest


def change_bytes(path, change):
    path.write_bytes(change(path.read_bytes()))


def change_description(folder, **changed):
    path = folder / pack_files.DESCRIPTION
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))


def test_it_reads_what_was_written_and_writes_nothing(pack):
    before = {path: path.stat().st_mtime_ns for path in pack.iterdir()}
    pack.chmod(0o555)
    content = pack_files.read_pack(pack)
    assert content.name == 'by hand'
    assert content.tensors.keys() == conftest.TENSORS.keys()
    for name, array in content.tensors.items():
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, conftest.TENSORS[name])
    np.testing.assert_array_equal(content.group('normalisation')['mean_D'], np.arange(4))
    assert {path: path.stat().st_mtime_ns for path in pack.iterdir()} == before


@pytest.mark.parametrize(
    ('damage', 'why'),
    [
        (lambda pack: (pack / pack_files.WEIGHTS).unlink(), 'has no model.safetensors'),
        (lambda pack: (pack / pack_files.DESCRIPTION).unlink(), 'has no model.json'),
        (
            lambda pack: change_bytes(pack / pack_files.WEIGHTS, lambda data: data[:-1]),
            'model.safetensors is damaged: its hash',
        ),
        (
            lambda pack: change_bytes(pack / pack_files.WEIGHTS, lambda data: data[:-1] + b'!'),
            'model.safetensors is damaged: its hash',
        ),
        (
            lambda pack: change_bytes(pack / pack_files.WEIGHTS, lambda _: pickle.dumps(print)),
            'model.safetensors is damaged: its hash',
        ),
        (
            lambda pack: change_bytes(pack / pack_files.DESCRIPTION, lambda data: data[:-9]),
            'model.json is damaged',
        ),
        (
            lambda pack: change_bytes(pack / pack_files.DESCRIPTION, lambda _: b'\xff\x00'),
            'model.json is damaged',
        ),
        (
            lambda pack: (pack / pack_files.DESCRIPTION).write_text('[' * 100_000),
            'model.json is damaged',
        ),
        (lambda pack: change_description(pack, name='other'), 'not what was written'),
        (
            lambda pack: change_bytes(
                pack / pack_files.DESCRIPTION, lambda data: data.replace(b'"terms"', b'"term"')
            ),
            "has no 'terms'",
        ),
        (lambda pack: change_description(pack, format='bert'), 'another application'),
        (lambda pack: (pack / pack_files.DESCRIPTION).write_text('[]'), 'another application'),
        (lambda pack: change_description(pack, version=2), 'version 2.*update diface_jax'),
    ],
)
def test_a_damaged_foreign_or_newer_pack_is_refused_by_name(pack, damage, why):
    damage(pack)
    with pytest.raises(PackError, match=why) as refused:
        pack_files.read_pack(pack)
    assert str(pack) in str(refused.value)
    assert '\n' not in str(refused.value)


@pytest.mark.parametrize(
    ('tensors', 'why'),
    [
        ({'refine/kernel': np.ones((3, 2), np.float16)}, 'normalisation/mean_D is missing'),
        (conftest.TENSORS | {'more': np.ones(2, np.float32)}, 'more is missing, or is not of'),
        (conftest.TENSORS | {'refine/kernel': np.full((3, 2), np.nan, np.float16)}, 'not finite'),
        (
            conftest.TENSORS | {'refine/kernel': np.ones((3, 3), np.float16)},
            'another type or shape',
        ),
        (conftest.TENSORS | {'refine/kernel': np.ones((3, 2), np.int32)}, 'another type or shape'),
    ],
)
def test_tensors_that_are_not_of_the_model_are_refused(tmp_path, tensors, why):
    with pytest.raises(PackError, match=why):
        pack_files.read_pack(conftest.write(tmp_path / 'pack', tensors))


def test_numbers_that_are_no_safetensors_are_refused(tmp_path, pack):
    (pack / pack_files.WEIGHTS).write_bytes(b'GIF89a')
    digest = hashlib.sha256(b'GIF89a').hexdigest()
    content = json.loads((pack / pack_files.DESCRIPTION).read_text()) | {'weights_sha256': digest}
    content['sha256'] = pack_files.description_sha256(content)
    (pack / pack_files.DESCRIPTION).write_text(json.dumps(content))
    with pytest.raises(PackError, match=r'model\.safetensors is damaged'):
        pack_files.read_pack(pack)
