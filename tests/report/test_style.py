"""Lines are told apart on a light and on a dark page, with colours or without."""

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


def contrast(one, other):
    low, high = sorted(map(luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)


def test_there_is_a_light_and_a_dark_page():
    light, dark = PAGES
    assert contrast(light, dark) > 12


@pytest.mark.parametrize('look', LINE_STYLES, ids=lambda look: look.colour)
def test_a_line_stands_out_from_both_pages(look):
    # WCAG 2.2, 1.4.11: 3 to 1 for parts of graphics.
    assert min(contrast(look.colour, page) for page in PAGES) >= 3


def test_no_two_have_the_same_dash_or_marker():
    assert len({str(look.dash) for look in LINE_STYLES}) == len(LINE_STYLES)
    assert len({look.marker for look in LINE_STYLES}) == len(LINE_STYLES)


def test_more_names_than_looks_go_round():
    assert line_styles(range(8))[7] == LINE_STYLES[0]
