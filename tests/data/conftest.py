"""Fixtures for tests of readers."""

import io

import PIL.Image
import pytest


@pytest.fixture(scope='session')
def jpeg() -> bytes:
    """A small photograph of nothing, encoded."""
    encoded = io.BytesIO()
    PIL.Image.new('RGB', (178, 218), (200, 160, 140)).save(encoded, 'JPEG')
    return encoded.getvalue()


@pytest.fixture
def put(tmp_path):
    """Writes a file (text or bytes) below `tmp_path`, with the folders it needs."""

    def write(file, content):
        path = tmp_path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

    return write
