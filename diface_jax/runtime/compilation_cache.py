"""Keeps the programs that XLA compiles for the next command, in the user's cache folder."""

import hashlib
import os
import pathlib
import platform
import sys

_FOLDER = 'diface/compiled'


def cache_folder() -> pathlib.Path:
    """Where compiled programs of this processor are kept, for this user."""
    if xdg := os.environ.get('XDG_CACHE_HOME'):
        caches = pathlib.Path(xdg)
    elif sys.platform == 'darwin':
        caches = pathlib.Path.home() / 'Library/Caches'
    elif local := os.environ.get('LOCALAPPDATA'):  # Windows
        caches = pathlib.Path(local)
    else:
        caches = pathlib.Path.home() / '.cache'
    return caches / _FOLDER / _processor()


def keep_compiled_programs() -> None:
    """Turns JAX's compilation cache on. Nothing is done where it cannot be kept, or is set already.

    JAX_COMPILATION_CACHE_DIR names another folder, and JAX_ENABLE_COMPILATION_CACHE=false turns it
    off.
    """
    import jax

    if jax.config.jax_compilation_cache_dir or not jax.config.jax_enable_compilation_cache:
        return
    try:
        folder = cache_folder()
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # a read-only or missing home folder
        return
    if not os.access(folder, os.W_OK):
        return
    jax.config.update('jax_compilation_cache_dir', str(folder))
    # A search runs many small programs, each quick to compile.
    jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)


def _processor() -> str:
    """A name of the processor: a home folder may be shared by machines with other instructions."""
    try:
        lines = pathlib.Path('/proc/cpuinfo').read_text().splitlines()
        features = next(line for line in lines if line.startswith(('flags', 'Features')))
    except (OSError, StopIteration):
        features = platform.processor()
    return f'{platform.machine()}-{hashlib.sha256(features.encode()).hexdigest()[:8]}'
