"""How the documentation is built: pip install '.[docs]', and `sphinx-build -W docs docs/_build`."""

import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
# Documentation is made of what is imported; no accelerator is needed for that.
os.environ.setdefault('JAX_PLATFORMS', 'cpu')

project = 'DiFace in JAX'
copyright = 'the authors of diface_jax'
extensions = [
    'myst_parser',
    'sphinx.ext.apidoc',
    'sphinx.ext.autodoc',
    'sphinx.ext.mathjax',
    'sphinx.ext.napoleon',
]
myst_enable_extensions = ['dollarmath']
myst_heading_anchors = 2
apidoc_modules = [
    {
        'path': '../diface_jax',
        'destination': 'api',
        'separate_modules': True,
        'module_first': True,
    }
]
autodoc_default_options = {'members': True}
autodoc_member_order = 'bysource'
autodoc_typehints = 'signature'
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
default_role = 'literal'  # `code`, as in the docstrings
html_theme = 'furo'
html_title = 'DiFace in JAX'
exclude_patterns = ['_build']
