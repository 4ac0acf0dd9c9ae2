"""One figure as inline SVG for the page, and as PNG and CSV beside it."""

import csv
import html
import io
import pathlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

WIDTH = 4.6  # inches: at 72 units an inch, text is as large on a phone as it says here
# Text and axes are drawn in this colour, which becomes that of the page's text, light or dark.
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
    # An attribute may have a dollar in its name.
    'text.parse_math': False,
    'xtick.color': INK,
    'xtick.labelsize': 9,
    'ytick.color': INK,
    'ytick.labelsize': 9,
}
# Nothing in the file tells when or by which version it was made.
_NO_METADATA = dict.fromkeys(('Date', 'Creator', 'Format', 'Type'))


class Plot(NamedTuple):
    """A figure to be drawn.

    Attributes:
      name: of its files.
      title: above it.
      note: below it: how to read it.
      rows: its data; all have the same keys, the columns of the CSV.
      draw: draws them.
      height: in inches.
      is_main: whether it is shown at once, or with the rest on request.
    """

    name: str
    title: str
    note: str
    rows: Sequence[Mapping[str, Any]]
    draw: Callable[[Axes, Sequence[Mapping[str, Any]]], None]
    height: float = 3.9
    is_main: bool = True


class RenderedPlot(NamedTuple):
    """A figure that was drawn: its SVG is safe to put into a page."""

    plot: Plot
    svg: str


def render(plot: Plot, folder: pathlib.Path) -> RenderedPlot:
    """Draws a figure and writes NAME.png and NAME.csv into a folder that is there."""
    # The salt makes ids of parts of a figure the same in every run, and differ between figures.
    with matplotlib.rc_context({**_STYLE, 'svg.hashsalt': plot.name}):
        figure = Figure(figsize=(WIDTH, plot.height), layout='constrained')
        figure.suptitle(plot.title, x=0.01, ha='left', fontsize=10, fontweight='bold')
        plot.draw(figure.subplots(), plot.rows)
        figure.savefig(
            folder / f'{plot.name}.png', dpi=160, facecolor='white', metadata={'Software': None}
        )
        # Laid out once, so that both are alike.
        figure.set_layout_engine('none')
        svg = io.StringIO()
        figure.savefig(svg, format='svg', transparent=True, metadata=_NO_METADATA)
    _write_csv(folder / f'{plot.name}.csv', plot.rows)
    return RenderedPlot(plot, _inline(svg.getvalue(), f'{plot.title}. {plot.note}'))


def _inline(svg: str, alt: str) -> str:
    """An SVG file as a part of a page: without head, style, size and names of its own."""
    svg = svg[svg.index('<svg') :]
    svg = re.sub(r'<style.*?</style>', '', svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*"', '<g', svg)
    box = re.search(r'viewBox="([^"]*)"', svg).group(1)
    inside = svg[svg.index('>') + 1 :].replace(INK, 'currentColor')
    return f'<svg viewBox="{box}" role="img" aria-label="{html.escape(alt)}">{inside}'


def _write_csv(path: pathlib.Path, rows: Sequence[Mapping[str, Any]]) -> None:
    with path.open('w', newline='', encoding='utf-8') as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator='\n')
        writer.writeheader()
        writer.writerows(rows)


def with_interval(row: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Some values of a row and the ends of its interval as `low` and `high`."""
    low, high = row['ci95']
    return {name: row[name] for name in names} | {'low': low, 'high': high}
