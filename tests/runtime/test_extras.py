"""Optional modules are imported, or the error says what to install."""

import pathlib

import pytest

from diface_jax.runtime.extras import import_extra


def test_a_module_that_is_installed_is_returned() -> None:
    assert import_extra('pathlib', 'faces', 'photographs') is pathlib


def test_the_error_names_the_package_and_its_extra() -> None:
    with pytest.raises(
        ImportError, match=r"photographs need no_such: pip install 'diface_jax\[faces\]'"
    ):
        import_extra('no_such.module', 'faces', 'photographs')
