"""Styles of lines and points, which differ in colour, dash and marker."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from matplotlib.axes import Axes

from diface_jax.report import labels
from diface_jax.report.content import Content, Row


class LineStyle(NamedTuple):
    """The style of a line and its points, in the terms of matplotlib."""

    colour: str
    dash: Any
    marker: str

    @property
    def line(self) -> dict[str, Any]:
        """Keyword arguments of matplotlib's `plot`."""
        return {'color': self.colour, 'linestyle': self.dash, 'marker': self.marker}


# Based on the colours of Okabe and Ito, which are safe for colour-blind readers, at a brightness
# that contrasts with a white and with a dark page.
LINE_STYLES = (
    LineStyle('#2a7fd4', '-', 'o'),
    LineStyle('#d55e00', (0, (5, 2)), 's'),
    LineStyle('#12906a', (0, (1, 1.2)), '^'),
    LineStyle('#b9579b', (0, (6, 2, 1, 2)), 'D'),
    LineStyle('#a67c00', (0, (3, 1.5, 1, 1.5, 1, 1.5)), 'v'),
    LineStyle('#7f8388', (0, (2, 2)), 'X'),
    LineStyle('#2693a6', (0, (8, 3)), 'P'),
)


def line_styles(names: Iterable[str]) -> dict[str, LineStyle]:
    """A style for each name, in order; the eighth is the same as the first."""
    return dict(zip(names, itertools.cycle(LINE_STYLES), strict=False))


def method_styles(content: Content) -> dict[str, LineStyle]:
    """The style of each method, the same in all figures; DiFace has the first."""
    return line_styles(dict.fromkeys(row['method'] for row in content['results']))


def draw_lines(
    ax: Axes,
    rows: Sequence[Row],
    key: str,
    x: str,
    y: str,
    styles: Mapping[str, LineStyle],
) -> None:
    """A line of `y` against `x` for each value of `key`, with about six markers, and a legend."""
    for name, style in styles.items():
        points = [row for row in rows if row[key] == name]
        if points:
            ax.plot(
                [row[x] for row in points],
                [row[y] for row in points],
                **style.line,
                markersize=4.5,
                markevery=max(1, len(points) // 6),
                linewidth=2 if style is next(iter(styles.values())) else 1.4,
                label=labels.short_method_name(name),
            )
    ax.figure.legend(loc='outside lower center', ncols=4, handlelength=2.6, columnspacing=1.2)


def percent_tick(share: float, _: int) -> str:
    """A tick of an axis in percent, as a matplotlib formatter."""
    return f'{100 * share:g}%'
