"""SVG, PNG and CSV of a figure hold what was drawn."""

import csv
import re
import xml.etree.ElementTree

import pytest
from PIL import Image

from diface_jax.report import figures, interval_plots, rate_plots
from tests.report import made_up

METHODS = ('diface', 'cca')


@pytest.fixture(scope='module')
def content():
    return made_up.content(METHODS)


def read_csv(path):
    with path.open(newline='') as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope='module')
def drawn(content, tmp_path_factory):
    """A ROC and a DET curve of the same pairs, and the folder of their files."""
    folder = tmp_path_factory.mktemp('figures')
    plots = [*rate_plots.roc_plots(content), *rate_plots.det_plots(content)]
    return [figures.render(plot, folder) for plot in plots], folder


def test_svg_is_well_formed_and_takes_the_page_s_colour(drawn):
    svg = drawn[0][0].svg
    root = xml.etree.ElementTree.fromstring(svg.replace('<svg ', '<svg xmlns:xlink="x" ', 1))
    assert root.get('aria-label').startswith('ROC: grammar, 100% coverage, cross')
    assert 'currentColor' in svg
    assert figures.INK not in svg
    assert 'http' not in svg
    # Text stays text, so that it can be searched.
    assert {'DiFace', 'CCA', 'false accept rate'} <= {text.strip() for text in root.itertext()}


def test_ids_of_two_figures_differ(drawn):
    roc, det = (set(re.findall(r' id="([^"]*)"', rendered.svg)) for rendered in drawn[0])
    assert roc
    assert det
    assert not roc & det


def test_png_has_the_size_it_says(drawn):
    (roc, _), folder = drawn
    with Image.open(folder / f'{roc.plot.name}.png') as image:
        assert image.format == 'PNG'
        assert image.width == pytest.approx(figures.PNG_DPI * figures.WIDTH, abs=1)
        # Opaque: the page does not show through.
        assert image.convert('RGBA').getpixel((0, 0)) == (255, 255, 255, 255)


def test_csv_holds_the_numbers_of_the_content(content, drawn):
    rows, errors = (read_csv(drawn[1] / f'{rendered.plot.name}.csv') for rendered in drawn[0])
    for method in METHODS:
        (curve,) = (c for c in content['curves'] if (c['kind'], c['method']) == ('roc', method))
        points = [row for row in rows if row['method'] == method]
        assert [float(row['far']) for row in points] == curve['far']
        assert [float(row['tar']) for row in points] == curve['tar']
        assert [[float(row['low']), float(row['high'])] for row in points] == curve['ci95']
    assert [float(row['frr']) for row in errors] == [1 - float(row['tar']) for row in rows]


def test_a_failed_row_of_the_ablation_is_named_and_has_no_number(content):
    auc, _ = interval_plots.ablation_plots(content)
    (failed,) = (row for row in auc.rows if row['value'] is None)
    assert failed['row'] == 'likelihood (failed)'


def test_the_largest_drops_are_first(content):
    (plot,) = interval_plots.attribute_plots(content)
    falls = [row['drop_in_sd'] for row in plot.rows]
    assert falls == sorted(falls, reverse=True)
    assert set(falls) == {row['drop_in_sd'] for row in content['attributes']}
