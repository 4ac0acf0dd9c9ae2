"""Renders a figure as inline SVG for the page, and as PNG and CSV files next to the page."""

import csv
import html
import io
import pathlib
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from diface_jax.report.content import Row

WIDTH = 4.6  # inches: at 72 units an inch, font sizes on a phone are those given below
PNG_DPI = 160  # of the files beside the page
# Text and axes are drawn in this colour, which the SVG replaces by the page's text colour.
INK = '#010203'
_STYLE = {
    'axes.edgecolor': INK,
    'axes.facecolor': 'none',
    'axes.grid': True,
    'axes.labelcolor': INK,
    'axes.spines.right': False,
    'axes.spines.top': False,
    'font.size': 10,
    'grid.alpha': 0.15,
    'grid.color': INK,
    'legend.fontsize': 9,
    'legend.frameon': False,
    'svg.fonttype': 'none',
    'text.color': INK,
    # The name of an attribute may contain a dollar sign.
    'text.parse_math': False,
    'xtick.color': INK,
    'xtick.labelsize': 9,
    'ytick.color': INK,
    'ytick.labelsize': 9,
}
# No dates or versions, so that the same content gives the same bytes.
_NO_METADATA = dict.fromkeys(('Date', 'Creator', 'Format', 'Type'))


class Plot(NamedTuple):
    """A figure to be drawn.

    Attributes:
      name: name of its files, without suffix.
      title: shown above the figure.
      note: shown below it: how to read the figure.
      rows: the data; all rows have the same keys, the columns of the CSV.
      draw: draws the rows into axes.
      height: inches.
      is_main: whether the page shows it at once, or folded away with the others.
    """

    name: str
    title: str
    note: str
    rows: Sequence[Row]
    draw: Callable[[Axes, Sequence[Row]], None]
    height: float = 3.9
    is_main: bool = True


class RenderedPlot(NamedTuple):
    """A rendered figure; its SVG is safe to insert into a page."""

    plot: Plot
    svg: str


def render(plot: Plot, folder: pathlib.Path) -> RenderedPlot:
    """Draws a figure and writes NAME.png and NAME.csv into an existing folder.

    Raises:
      OSError: a file cannot be written.
    """
    # The salt makes ids in the SVG the same in every run, and different between figures.
    with matplotlib.rc_context({**_STYLE, 'svg.hashsalt': plot.name}):
        figure = Figure(figsize=(WIDTH, plot.height), dpi=PNG_DPI, layout='constrained')
        figure.suptitle(plot.title, x=0.01, ha='left', fontsize=10, fontweight='bold')
        plot.draw(figure.subplots(), plot.rows)
        # Laid out once for both files: a figure with an engine is drawn twice for each.
        figure.get_layout_engine().execute(figure)
        figure.set_layout_engine(None)
        figure.savefig(
            folder / f'{plot.name}.png', dpi=PNG_DPI, facecolor='white', metadata={'Software': None}
        )
        svg = io.StringIO()
        figure.savefig(svg, format='svg', transparent=True, metadata=_NO_METADATA)
    _write_csv(folder / f'{plot.name}.csv', plot.rows)
    return RenderedPlot(plot, _inline(svg.getvalue(), f'{plot.title}. {plot.note}'))


def _inline(svg: str, alt: str) -> str:
    """An SVG file as part of a page: without its own header, style, size and group ids."""
    svg = svg[svg.index('<svg') :]
    svg = re.sub(r'<style.*?</style>', '', svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*"', '<g', svg)
    view_box = re.search(r'viewBox="([^"]*)"', svg).group(1)
    inner = svg[svg.index('>') + 1 :].replace(INK, 'currentColor')
    return f'<svg viewBox="{view_box}" role="img" aria-label="{html.escape(alt)}">{inner}'


def _write_csv(path: pathlib.Path, rows: Sequence[Row]) -> None:
    with path.open('w', newline='', encoding='utf-8') as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator='\n')
        writer.writeheader()
        writer.writerows(rows)


def with_interval(row: Row, names: Sequence[str]) -> dict[str, Any]:
    """The named values of a row, and the ends of its `ci95` as `low` and `high`."""
    low, high = row['ci95']
    return {name: row[name] for name in names} | {'low': low, 'high': high}
