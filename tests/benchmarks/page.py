"""Writes measurements into docs/performance.md: tables, and the plot of growth (an SVG).

python -m tests.benchmarks.page

Measurements are lines of JSON in docs/performance.jsonl, as the scripts print them, each with the
script that printed it and the load of the machine.
"""

import json
import pathlib
import re
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib
from matplotlib import pyplot

Line = dict[str, Any]

DOCS = pathlib.Path(__file__).resolve().parents[2] / 'docs'
MEASURED, PAGE, PLOT = DOCS / 'performance.jsonl', DOCS / 'performance.md', DOCS / 'growth.svg'

# By comparison and peer: the ratio aimed at, and what bounds ours. A comparison that is not listed
# has no aim.
AIMS: dict[tuple[str, str], tuple[float, str]] = {
    ('500 face crops to embeddings', 'dlib C++'): (15.0, 'matrix products'),
    ('500 face crops to embeddings', 'PyTorch, same weights'): (1.0, 'matrix products'),
    ('400 captions to vectors', 'sentence-transformers'): (1.5, 'matrix products'),
    ('a search of 1,000 faces, warm', 'sentence-transformers + FAISS'): (1.0, 'the text encoder'),
    ('5 joint training steps, batch 512', 'PyTorch, eager'): (1.4, 'matrix products'),
    ('DDIM of 256 texts, 10 steps, 16 samples', 'diffusers, PyTorch'): (2.0, 'matrix products'),
    ('top 10 of 1,000 x 384, 1 probes', 'FAISS IndexFlatIP'): (1.0, 'one dispatch'),
    ('top 10 of 1,000 x 384, 1 probes', 'numpy'): (1.0, 'one dispatch'),
    ('top 10 of 10,000 x 384, 1 probes', 'FAISS IndexFlatIP'): (1.0, 'one dispatch'),
    ('top 10 of 10,000 x 384, 1 probes', 'numpy'): (1.0, 'one dispatch'),
    ('top 10 of 100,000 x 384, 1 probes', 'FAISS IndexFlatIP'): (1.0, 'memory'),
    ('top 10 of 100,000 x 384, 1 probes', 'numpy'): (1.0, 'memory'),
    ('top 10 of 1,000,000 x 384, 1 probes', 'FAISS IndexFlatIP'): (2.0, 'memory'),
    ('top 10 of 1,000,000 x 384, 1 probes', 'numpy'): (1.2, 'memory'),
    ('top 10 of 1,000,000 x 384, 64 probes', 'FAISS IndexFlatIP'): (5.0, 'matrix products'),
    ('top 10 of 1,000,000 x 384, 64 probes', 'numpy'): (3.0, 'matrix products'),
    ('verification of 5,000 x 5,000 scores', 'scikit-learn'): (15.0, 'sorting'),
    ('identification of 5,000 x 5,000', 'numpy, counts'): (1.5, 'matrix products'),
    ('identification of 5,000 x 5,000', 'numpy, argsort'): (5.0, 'matrix products'),
}


def read() -> list[Line]:
    """The measurements."""
    return [json.loads(line) for line in MEASURED.read_text().splitlines()]


def write(lines: Sequence[Line]) -> None:
    """Replaces the measurements."""
    MEASURED.write_text(''.join(json.dumps(line) + '\n' for line in lines))


def comparisons(lines: Sequence[Line]) -> str:
    """A row for each comparison on CPUs and peer; then the scripts that could not run."""
    rows = []
    for line in lines:
        if 'card' in line:
            continue
        for peer, ratio in line.get('ratio', {}).items():
            aim, bound = AIMS.get((line['benchmark'], peer), ('', ''))
            times = line['milliseconds']
            cells = line['benchmark'], peer, _short(times['ours']), _short(times[peer])
            rows.append((*cells, _short(ratio), aim, bound, line['load']))
    head = 'work', 'peer', 'ours, ms', 'peer, ms', 'ratio', 'aim', 'bound by', 'load'
    missing = [f'`{line["script"]}`: {line["missing"]}.' for line in lines if 'missing' in line]
    return '\n'.join(
        [_table(head, rows), *(['', 'Not measured:', '', *missing] if missing else [])]
    )


def gpu(lines: Sequence[Line]) -> str:
    """A row for each comparison on a GPU and peer."""
    rows = [
        (
            *(line['benchmark'], peer, _short(line['milliseconds']['ours'])),
            *(_short(line['milliseconds'][peer]), _short(ratio), line['card']),
        )
        for line in lines
        if 'card' in line
        for peer, ratio in line.get('ratio', {}).items()
    ]
    return _table(('work', 'peer', 'ours, ms', 'peer, ms', 'ratio', 'card'), rows)


def roofline(lines: Sequence[Line]) -> str:
    """A row for each program: its work, its time, and the share of the bound that it reaches."""
    rows = [
        (
            *(line['roofline'], _short(line['gflop']), _short(line['mbytes'])),
            *(_short(line['milliseconds']), _short(line['gflop'] / line['milliseconds'] * 1e3)),
            *(line['bound'], f'{100 * line["share"]:.0f}%', line['load']),
        )
        for line in lines
        if 'roofline' in line
    ]
    head = 'work', 'GFLOP', 'MB moved', 'ms', 'GFLOP/s', 'bound by', 'share of the bound', 'load'
    peaks = [
        f'Peaks in the same run: {line["gflops"]:.0f} GFLOP/s of a matrix product, '
        f'{line["gbytes"]:.1f} GB/s of a copy.'
        for line in lines
        if 'gbytes' in line
    ]
    return '\n'.join([*peaks, *([''] if peaks else []), _table(head, rows)])


def paper(lines: Sequence[Line]) -> str:
    """A row for each program and machine that was not at hand."""
    rows = [
        (line['paper'], line['machine'], *(_short(part) for part in line['milliseconds'].values()))
        for line in lines
        if 'paper' in line
    ]
    return _table(('work', 'machine', 'products, ms', 'memory, ms', 'links, ms'), rows)


def stages(lines: Sequence[Line]) -> str:
    """A row for each stage of each work, and one for its matrix products alone."""
    rows = [
        (line['stages'], line['stage'], _short(line['milliseconds']), f'{100 * line["share"]:.0f}%')
        for line in lines
        if 'stages' in line
    ]
    peaks = [
        f'A product of 2,048 x 2,048 matrices on this core in the same run: '
        f'{line["core_gflops"]:.0f} GFLOP/s.'
        for line in lines
        if 'core_gflops' in line
    ]
    return '\n'.join(
        [*peaks, *([''] if peaks else []), _table(('work', 'stage', 'ms', 'share'), rows)]
    )


def growth(lines: Sequence[Line]) -> str:
    """A row for each quantity that was varied."""
    rows = [
        (
            *(line['growth'], line['of'], ', '.join(f'{x:,}' for x in line['x'])),
            *(_exponent(line, measure) for measure in ('milliseconds', 'megabytes')),
            line['load'],
        )
        for line in lines
        if 'growth' in line
    ]
    table = _table(('work', 'against', 'from', 'exponent of time', 'of memory', 'load'), rows)
    return f'{table}\n\n![Time and memory against size](growth.svg)' if rows else table


def _exponent(line: Line, measure: str) -> str:
    return f'{line["exponent"][measure]:.2f}' if measure in line['exponent'] else ''


def plot(lines: Sequence[Line], path: pathlib.Path) -> None:
    """Time and memory against what grows, both relative to the first point, as an SVG."""
    with matplotlib.rc_context({'svg.hashsalt': 'growth', 'font.size': 9}):
        figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.6), layout='constrained')
        for axis, measure, title in zip(
            axes, ('milliseconds', 'megabytes'), ('time', 'memory'), strict=True
        ):
            for line in lines:
                if measure in line.get('exponent', {}):
                    x, y = line['x'], line[measure]
                    label = f'{line["growth"]}, {line["of"]}'
                    axis.loglog(
                        [at / x[0] for at in x], [at / y[0] for at in y], marker='.', label=label
                    )
            axis.axline((1, 1), (10, 10), color='grey', linestyle=':', label='linear')
            axis.set(xlabel='times as much', ylabel=f'times the {title}')
        axes[0].legend(fontsize=7)
        figure.savefig(path, metadata={'Date': None})
        pyplot.close(figure)


PARTS: dict[str, Callable[[Sequence[Line]], str]] = {
    'comparisons': comparisons,
    'gpu': gpu,
    'roofline': roofline,
    'stages': stages,
    'paper': paper,
    'growth': growth,
}


def render(page: str, lines: Sequence[Line]) -> str:
    """The page with the tables of these measurements."""

    def part(match: re.Match[str]) -> str:
        name = match['name']
        return f'<!-- measured {name} -->\n\n{PARTS[name](lines)}\n\n<!-- end measured -->'

    return re.sub(
        r'<!-- measured (?P<name>\w+) -->.*?<!-- end measured -->', part, page, flags=re.DOTALL
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    if not rows:
        return 'Not measured yet.'
    lines = [head, ['---'] * len(head), *rows]
    return '\n'.join(f'| {" | ".join(map(str, line))} |' for line in lines)


def _short(value: float) -> str:
    """Three digits, or all of a larger number."""
    return f'{value:,.0f}' if value >= 100 else f'{value:.3g}'


def main() -> None:
    """Renders the page and the plot again."""
    lines = read()
    PAGE.write_text(render(PAGE.read_text(), lines))
    if any('growth' in line for line in lines):
        plot(lines, PLOT)


if __name__ == '__main__':
    main()
