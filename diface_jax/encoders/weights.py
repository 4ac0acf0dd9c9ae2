"""Locates the weights of the frozen encoders and checks their hashes."""

import hashlib
import importlib.util
import pathlib

_PIP = {
    'face_recognition_models': "pip install 'diface_jax[faces]'",
    'mtcnn': "pip install 'diface_jax[faces]'",
}


def find_in_package(package: str, relative: str) -> pathlib.Path:
    """The path of a file in an installed package; the package is not imported.

    Args:
      package: the top-level import name, such as 'face_recognition_models'.
      relative: the file's path inside the package, with forward slashes.

    Raises:
      FileNotFoundError: the package or the file is missing; says which pip command to run.
    """
    install = _PIP.get(package, f'pip install {package}')
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(f'the package {package} is not installed: {install}')
    for folder in spec.submodule_search_locations:
        path = pathlib.Path(folder) / relative
        if path.is_file():
            return path
    reinstall = install.replace('pip install', 'pip install --force-reinstall', 1)
    raise FileNotFoundError(f'the package {package} has no file {relative}: {reinstall}')


def sha256_of_file(path: pathlib.Path | str) -> str:
    """The SHA-256 of a file, as 64 hexadecimal digits. Raises OSError if it cannot be read."""
    with open(path, 'rb') as file:
        return hashlib.file_digest(file, 'sha256').hexdigest()


def check_sha256(path: pathlib.Path | str, expected: str) -> None:
    """Raises ValueError unless the file's SHA-256 is `expected` (64 hexadecimal digits)."""
    actual = sha256_of_file(path)
    if actual != expected.lower():
        raise ValueError(
            f'{path} is not the expected file: its SHA-256 is {actual}, not {expected}. '
            'Remove it and install it again.'
        )
