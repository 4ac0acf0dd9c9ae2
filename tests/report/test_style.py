"""Lines can be distinguished on a light and on a dark page, with colours or without."""

import pathlib
import re

import pytest
from matplotlib.colors import to_rgb

from diface_jax import report
from diface_jax.report.style import LINE_STYLES, line_styles

CSS = (pathlib.Path(report.__path__[0]) / 'page.css').read_text()
PAGES = re.findall(r'--page: (#\w+)', CSS)


def luminance(colour):
    """WCAG 2.2, relative luminance."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(colour_a, colour_b):
    low, high = sorted(map(luminance, (colour_a, colour_b)))
    return (high + 0.05) / (low + 0.05)


def test_there_is_a_light_and_a_dark_page():
    light, dark = PAGES
    assert contrast(light, dark) > 12


@pytest.mark.parametrize('style', LINE_STYLES, ids=lambda style: style.colour)
def test_a_line_contrasts_with_both_pages(style):
    # WCAG 2.2, 1.4.11: 3 to 1 for parts of graphics.
    assert min(contrast(style.colour, page) for page in PAGES) >= 3


def test_no_two_have_the_same_dash_or_marker():
    assert len({str(style.dash) for style in LINE_STYLES}) == len(LINE_STYLES)
    assert len({style.marker for style in LINE_STYLES}) == len(LINE_STYLES)


def test_styles_repeat_when_there_are_more_names():
    assert line_styles(range(8))[7] == LINE_STYLES[0]
