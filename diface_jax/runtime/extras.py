"""Modules of optional dependencies, imported where they are used."""

import importlib
from types import ModuleType


def import_extra(name: str, extra: str, what: str) -> ModuleType:
    """Imports a module that comes with one of the package's extras.

    Args:
      name: of the module, such as 'pgvector.psycopg'.
      extra: that installs it, such as 'postgres'.
      what: needs it, in the plural: the start of the message.

    Raises:
      ImportError: it cannot be imported; says what to install.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.partition('.')[0]
        raise ImportError(f"{what} need {package}: pip install 'diface_jax[{extra}]'") from error
