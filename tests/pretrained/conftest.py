"""A pack written by hand: numbers that no network has."""

import hashlib
import json

import numpy as np
import pytest
import safetensors.numpy

from diface_jax.pretrained import pack_files

TENSORS = {
    'normalisation/mean_D': np.arange(4, dtype=np.float32),
    'refine/kernel': np.ones((3, 2), np.float16),
}


def write(folder, tensors=TENSORS, **changed):
    """Writes a pack of these tensors, whose description has other values."""
    folder.mkdir(exist_ok=True)
    weights = safetensors.numpy.save(tensors)
    description = {
        **dict.fromkeys(pack_files._KEYS),
        'format': pack_files.FORMAT,
        'version': pack_files.VERSION,
        'name': 'by hand',
        'weights_sha256': hashlib.sha256(weights).hexdigest(),
        'tensors': {name: list(array.shape) for name, array in TENSORS.items()},
        **changed,
    }
    description['sha256'] = pack_files.description_sha256(description)
    (folder / pack_files.WEIGHTS).write_bytes(weights)
    (folder / pack_files.DESCRIPTION).write_text(json.dumps(description))
    return folder


@pytest.fixture
def pack(tmp_path):
    return write(tmp_path / 'pack')
