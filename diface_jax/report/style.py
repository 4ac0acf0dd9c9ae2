"""Styles of lines and points; they differ in dash and marker too, not by colour alone."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from matplotlib.axes import Axes

from diface_jax.report import labels


class LineStyle(NamedTuple):
    """The style of a line or a kind of point."""

    colour: str
    dash: Any
    marker: str

    @property
    def line(self) -> dict[str, Any]:
        """As matplotlib's arguments."""
        return {'color': self.colour, 'linestyle': self.dash, 'marker': self.marker}


# After Okabe and Ito's colours for the colour-blind, made as bright as stands out from a white page
# and from a dark one.
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
    """A look for each name, in order; the eighth looks like the first."""
    return dict(zip(names, itertools.cycle(LINE_STYLES), strict=False))


def method_styles(content: Mapping[str, Any]) -> dict[str, LineStyle]:
    """The look of each method, the same in all figures; DiFace's is the first."""
    return line_styles(dict.fromkeys(row['method'] for row in content['results']))


def draw_lines(
    ax: Axes,
    rows: Sequence[Mapping[str, Any]],
    key: str,
    x: str,
    y: str,
    looks: Mapping[str, LineStyle],
) -> None:
    """A line for each value of a key, about six markers on it."""
    for name, look in looks.items():
        some = [row for row in rows if row[key] == name]
        if some:
            ax.plot(
                [row[x] for row in some],
                [row[y] for row in some],
                **look.line,
                markersize=4.5,
                markevery=max(1, len(some) // 6),
                linewidth=2 if look is next(iter(looks.values())) else 1.4,
                label=labels.short_method_name(name),
            )
    ax.figure.legend(loc='outside lower center', ncols=4, handlelength=2.6, columnspacing=1.2)


def percent_tick(share: float, _: int) -> str:
    """Formats an axis in percent."""
    return f'{100 * share:g}%'
