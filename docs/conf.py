"""The Sphinx build: pip install '.[docs]', then `sphinx-build -W docs docs/_build`."""

import io
import os
import pathlib
import sys
from xml.etree import ElementTree

from docutils import nodes
from matplotlib import mathtext
from matplotlib.font_manager import FontProperties
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
# Of the extra `export`, so that the extra `docs` is enough.
autodoc_mock_imports = ['onnxruntime']
napoleon_numpy_docstring = False
napoleon_use_ivar = True
default_role = 'literal'  # `code`, as in the docstrings
html_theme = 'furo'
html_title = 'DiFace in JAX'
html_static_path = ['_static']
html_css_files = ['wide.css']
html_math_renderer = 'svg'
exclude_patterns = ['_build']

SIZE = 100  # of formulas as they are drawn, in points
EM = 90  # points that become the text's em: a bit larger, since STIX is a small type
SVG = 'http://www.w3.org/2000/svg'
ElementTree.register_namespace('', SVG)
ElementTree.register_namespace('xlink', 'http://www.w3.org/1999/xlink')


def _svg(formula: str) -> str:
    """A formula drawn by matplotlib, in the colour and size of the text round it."""
    image = io.BytesIO()
    font = FontProperties(size=SIZE, math_fontfamily='stix')
    depth = mathtext.math_to_image(f'${formula}$', image, font, format='svg')
    svg = ElementTree.fromstring(image.getvalue())
    for metadata in svg.findall(f'{{{SVG}}}metadata'):
        svg.remove(metadata)
    figure = svg.find(f'{{{SVG}}}g')
    figure.remove(figure[0])  # the white background
    height, width = (float(svg.get(side).removesuffix('pt')) for side in ('height', 'width'))
    svg.attrib |= {'height': f'{height / EM:.3f}em', 'width': f'{width / EM:.3f}em'}
    svg.attrib |= {'fill': 'currentColor', 'style': f'vertical-align: {-depth / EM:.3f}em'}
    svg.attrib |= {'role': 'img', 'aria-label': formula}
    return ElementTree.tostring(svg, encoding='unicode')


def _inline(self: HTML5Translator, node: nodes.math) -> None:
    self.body.append(_svg(node.astext()))
    raise nodes.SkipNode


def _block(self: HTML5Translator, node: nodes.math_block) -> None:
    formula = ' '.join(node.astext().split())
    self.body.append(f'<div class="formula">{_svg(formula)}</div>')
    raise nodes.SkipNode


def setup(app: Sphinx) -> None:
    """Registers the renderer of formulas, which needs neither LaTeX nor a network."""
    app.add_html_math_renderer(
        'svg', inline_renderers=(_inline, None), block_renderers=(_block, None)
    )
