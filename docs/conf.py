"""The Sphinx build: pip install '.[docs,faces,web]', then `sphinx-build -W docs docs/_build`."""

import os
import pathlib
import sys
from collections.abc import Callable

import latex2mathml.converter
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
# autodoc imports the package; that needs no accelerator.
os.environ.setdefault('JAX_PLATFORMS', 'cpu')

project = 'DiFace in JAX'
copyright = 'the authors of diface_jax'
extensions = [
    'myst_parser',
    'sphinx.ext.apidoc',
    'sphinx.ext.autodoc',
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
html_math_renderer = 'mathml'
exclude_patterns = ['_build']


def _mathml(display: str) -> Callable[[HTML5Translator, nodes.Element], None]:
    """A visitor that writes a formula as MathML, which browsers show without a network."""

    def visit(self: HTML5Translator, node: nodes.Element) -> None:
        self.body.append(latex2mathml.converter.convert(node.astext(), display=display))
        raise nodes.SkipNode

    return visit


def setup(app: Sphinx) -> None:
    """Registers the renderer of formulas."""
    app.add_html_math_renderer(
        'mathml',
        inline_renderers=(_mathml('inline'), None),
        block_renderers=(_mathml('block'), None),
    )
