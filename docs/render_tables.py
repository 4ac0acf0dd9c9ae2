"""Writes the figures of docs/results.json into README.md, docs/*.md and the data cards.

    python docs/render_tables.py                        renders every page again
    python docs/render_tables.py --check                exits with 1 if a page differs
    python docs/render_tables.py --quickstart=FILE      first takes the quickstart's figures from
                                                        its evaluation.json
    python docs/render_tables.py --pack CELEBA LFW      first takes the figures of the model that
                                                        ships from two evaluation.json
    python docs/render_tables.py --closing=FILE         prints the table that ends the quickstart

A page holds `<!-- table NAME -->` or `<!-- time NAME -->`, the rendered text, and `<!-- end -->`.
A time must not begin a line: Markdown would take it for a block of HTML.
Tables come from docs/results.json; times from its `durations`, or from docs/recordings/NAME.log.
It needs no package, so that the quickstart can call it.
"""

import argparse
import json
import pathlib
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parents[1]
DATA = ROOT / 'docs' / 'results.json'
MARKER = re.compile(r'(<!-- (table|time) ([\w-]+) -->)(.*?)(<!-- end -->)', re.DOTALL)

Results = Mapping[str, Any]
Row = Mapping[str, Any]

METHODS = {
    'diface': '**DiFace**',
    'paper': 'DiFace with `configs/celeba_paper.py`',
    'literal': "the paper's literal method: one DDIM sample, no R",
    'towers': 'two MLP towers, no diffusion',
    'cca': 'CCA',
    'ridge': 'ridge regression',
    'oracle': 'attribute oracle (true labels)',
    'gender': 'gender label only',
}
SHORT = {'diface': '**DiFace**', 'towers': 'two towers'}
TRACKS = {'grammar-100': 'grammar', 'human': 'free-hand'}
PROTOCOLS = ('cross', 'same')
SUMMARY = ('diface', 'literal', 'towers', 'cca', 'oracle')
CONFIGS = {'quickstart': 'configs/quickstart.py', 'pack': 'configs/celeba_lfw.py'}
SMALL = ('diface', 'towers', 'cca', 'oracle', 'gender')


def pages() -> list[pathlib.Path]:
    """Every page that may hold a rendered figure."""
    cards = ROOT.glob('diface_jax/**/DATA_CARD.md')
    return [ROOT / 'README.md', *sorted(ROOT.glob('docs/*.md')), *sorted(cards)]


def render(text: str, results: Results) -> str:
    """A page with every marked table and time rendered again; KeyError for an unknown name."""

    def fill(match: re.Match[str]) -> str:
        start, kind, name, _, end = match.groups()
        if kind == 'time':
            return f'{start}{_time(name, results)}{end}'
        return f'{start}\n\n{TABLES[name](results)}\n\n{end}'

    return MARKER.sub(fill, text)


# --- tables ---


def _table(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rows = [header, ['---'] * len(header), *lines]
    return '\n'.join(f'| {" | ".join(row)} |' for row in rows)


def _find(results: Results, **where: object) -> Row | None:
    """The row that has all these values, of seed 0 unless another is asked for."""
    where = {'seed': 0, **where}
    rows = [r for r in results['results'] if all(r.get(k) == v for k, v in where.items())]
    if len(rows) > 1:
        raise ValueError(f'docs/results.json has {len(rows)} rows of {where}')
    return rows[0] if rows else None


def _accuracy(row: Row) -> str:
    low, high = row['ci95']
    return f'{row["accuracy"]:.1f} ({low:.1f}-{high:.1f})'


def _number(value: float | None) -> str:
    return '-' if value is None else f'{value:.1f}'


def _by_protocol(results: Results, method: str, run: str, tested_on: str, track: str) -> list[Row]:
    if method == 'paper':
        method, run = 'diface', f'{run}_paper'
    where = {'method': method, 'run': run, 'tested_on': tested_on, 'track': track}
    rows = [_find(results, **where, protocol=protocol) for protocol in PROTOCOLS]
    return [row for row in rows if row]


def _summary(results: Results) -> str:
    header = ['method', *(f'{t}: {p}' for t in TRACKS.values() for p in PROTOCOLS)]
    return _table(
        header,
        [
            [
                METHODS[method],
                *(
                    _accuracy(row)
                    for track in TRACKS
                    for row in _by_protocol(results, method, 'pack', 'CelebA', track)
                ),
            ]
            for method in SUMMARY
        ],
    )


def _full(run: str, tested_on: str, track: str) -> Callable[[Results], str]:
    """A table for each protocol, since one for both is too wide for a page."""

    def table(results: Results) -> str:
        lines: dict[str, list[list[str]]] = {protocol: [] for protocol in PROTOCOLS}
        for method, name in METHODS.items():
            for row in _by_protocol(results, method, run, tested_on, track):
                rest = [_number(row[key]) for key in ('auc', 'same_gender', 'rank@10')]
                lines[row['protocol']].append([name, _accuracy(row), *rest])
        return _of_protocols(['method', 'accuracy', 'AUC', 'same gender', 'R@10'], lines)

    return table


def _of_protocols(header: Sequence[str], lines: Mapping[str, Iterable[Sequence[str]]]) -> str:
    """A table for each protocol, named in the first cell of its header."""
    first, *rest = header
    tables = [_table([f'{name}: {first}', *rest], mine) for name, mine in lines.items()]
    return '\n\n'.join(tables)


def _seeds(run: str, places: Sequence[tuple[str, str]]) -> Callable[[Results], str]:
    header = ['method', 'tested on', 'accuracy', 'AUC', 'R@10']

    def table(results: Results) -> str:
        lines = []
        for method in ('diface', 'towers'):
            for tested_on, track in places:
                for protocol in PROTOCOLS:
                    where = {'method': method, 'run': run, 'tested_on': tested_on}
                    where |= {'track': track, 'protocol': protocol}
                    rows = [_find(results, **where, seed=seed) for seed in range(3)]
                    numbers = [
                        ' / '.join(_number(row[key]) for row in rows if row)
                        for key in ('accuracy', 'auc', 'rank@10')
                    ]
                    where_shown = f'{tested_on}, {TRACKS[track]}, {protocol}'
                    lines.append([SHORT[method], where_shown, *numbers])
        return _table(header, lines)

    return table


def _ablation(results: Results) -> str:
    lines = {
        protocol: [
            [
                line['row'],
                _accuracy(line[protocol]),
                *(_number(line[protocol][key]) for key in ('auc', 'rank@10')),
            ]
            for line in results['ablation']
        ]
        for protocol in PROTOCOLS
    }
    return _of_protocols(['row', 'accuracy', 'AUC', 'R@10'], lines)


def _sizes(results: Results) -> str:
    """The same baselines on CelebA, on CelebA cut to the quickstart's size, and simulated."""
    runs = {
        'celeba': ('CelebA', 'CelebA'),
        'celeba_cut': ('CelebA, cut', 'CelebA'),
        'simulated_large': ('simulated', 'simulated people'),
    }
    lines = []
    for method in SMALL:
        rows = [
            _find(
                results,
                method=method,
                run=run,
                tested_on=on,
                track='grammar-100',
                protocol=protocol,
            )
            for protocol in PROTOCOLS
            for run, (_, on) in runs.items()
        ]
        lines.append([METHODS[method], *(_number(row['accuracy']) for row in rows if row)])
    header = ['method', *(f'{p}: {name}' for p in PROTOCOLS for name, _ in runs.values())]
    return _table(header, lines)


TABLES: dict[str, Callable[[Results], str]] = {
    'summary': _summary,
    'celeba-grammar': _full('celeba', 'CelebA', 'grammar-100'),
    'celeba-free-hand': _full('celeba', 'CelebA', 'human'),
    'celeba-seeds': _seeds('celeba', [('CelebA', 'grammar-100'), ('CelebA', 'human')]),
    'lfw-grammar': _full('celeba_lfw', 'LFW', 'grammar-100'),
    'lfw-seeds': _seeds(
        'celeba_lfw',
        [('LFW', 'grammar-100'), ('CelebA', 'grammar-100'), ('CelebA', 'human')],
    ),
    'pack-grammar': _full('pack', 'CelebA', 'grammar-100'),
    'pack-free-hand': _full('pack', 'CelebA', 'human'),
    'pack-held-out-voices': _full('pack', 'CelebA', 'style'),
    'pack-lfw': _full('pack', 'LFW', 'grammar-100'),
    'ablation': _ablation,
    'sizes': _sizes,
    'quickstart': _full('quickstart', 'simulated people', 'grammar-100'),
}


# --- times ---


# What a recording says when it ends, in seconds.
RECORDED = {
    'quickstart': r'== done in (\d+) s',
    'search': r'== done in (\d+) s',
    'tests': r'passed.* in ([\d.]+)s',
}


def _time(name: str, results: Results) -> str:
    """How long something took, from the results or from the recording of that name."""
    if name in results['durations']:
        return results['durations'][name]
    log = (ROOT / 'docs' / 'recordings' / f'{name}.log').read_text(encoding='utf-8')
    match = re.search(RECORDED[name], log)
    if match is None:
        raise ValueError(f'docs/recordings/{name}.log does not say how long it took')
    minutes, seconds = divmod(round(float(match[1])), 60)
    return f'{minutes} min {seconds} s'


# --- figures of a run ---


def rows_of(
    evaluation: Mapping[str, Any], run: str, tested_on: str, tracks: Sequence[str]
) -> list[dict[str, Any]]:
    """Rows of docs/results.json from an `evaluation.json`.

    Args:
      evaluation: content of that file; shares become per cent with one decimal.
      run: name of the run in docs/results.json.
      tested_on: name of the test data.
      tracks: those to take.
    """
    rows: dict[tuple[str, str, str], dict[str, Any]] = {}
    people = max(row['gallery'] or 0 for row in evaluation['results'])
    for row in evaluation['results']:
        if row['track'] not in tracks:
            continue
        where = {key: row[key] for key in ('track', 'protocol', 'method')}
        first = {'run': run, 'tested_on': tested_on, 'seed': 0, **where}
        rows.setdefault(tuple(where.values()), first).update(_figures(row, people))
    return list(rows.values())


def quickstart_rows(evaluation: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of docs/results.json from the `evaluation.json` of a quickstart."""
    return rows_of(evaluation, 'quickstart', 'simulated people', ('grammar-100',))


def _figures(row: Row, people: int) -> dict[str, Any]:
    """What a row of `evaluation.json` gives to a row of docs/results.json; often nothing."""
    kind = (row['metric'], row['impostors'])
    if kind == ('accuracy', 'random'):
        return {'accuracy': _percent(row['value']), 'ci95': [*map(_percent, row['ci95'])]}
    if kind == ('auc', 'random'):
        return {'auc': _percent(row['value'])}
    if kind == ('accuracy', 'same_gender'):
        return {'same_gender': _percent(row['value'])}
    place = (row['metric'], row['gallery'], row['photos'], row['level'])
    if place == ('rank@10', people, 'one', 'identity'):
        return {'rank@10': _percent(row['value'])}
    return {}


def _percent(share: float) -> float:
    return round(100 * share, 1)


def take_quickstart(results: Results, evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """The results with the quickstart's rows and sizes replaced by those of a run."""
    return _with_run(results, 'quickstart', evaluation, quickstart_rows(evaluation))


def take_pack(
    results: Results, on_celeba: Mapping[str, Any], on_lfw: Mapping[str, Any]
) -> dict[str, Any]:
    """The results with the rows and sizes of the model that ships replaced."""
    rows = rows_of(on_celeba, 'pack', 'CelebA', (*TRACKS, 'style'))
    rows += rows_of(on_lfw, 'pack', 'LFW', ('grammar-100',))
    return _with_run(results, 'pack', on_celeba, rows)


def _with_run(
    results: Results, run: str, evaluation: Mapping[str, Any], rows: list[dict[str, Any]]
) -> dict[str, Any]:
    splits = evaluation['data_card']['splits']
    sizes = {
        'config': CONFIGS[run],
        'training_photos': splits['train']['photos'],
        'test_photos': splits['test']['photos'],
        'test_people': splits['test']['identities'],
    }
    others = [row for row in results['results'] if row['run'] != run]
    return {**results, 'runs': {**results['runs'], run: sizes}, 'results': others + rows}


def closing(results: Results, evaluation: Mapping[str, Any]) -> str:
    """The table that ends the quickstart: accuracy of this run beside that on CelebA, in %."""
    people = evaluation['data_card']['splits']['test']['identities']
    celeba = results['runs']['celeba']
    rows = quickstart_rows(evaluation)
    lines = [
        'Verification accuracy in %, grammar sentences with nothing left unsaid.',
        f'This run: tested on {people} simulated people, so expect a few points up or down.',
        f'CelebA: trained on {celeba["training_photos"]:,} photos, tested on '
        f'{celeba["test_people"]} people.',
        '',
        f'{"":<32}' + ''.join(f'{f"{p}: this run":>17}{"CelebA":>9}' for p in PROTOCOLS),
    ]
    for method in SMALL:
        cells = ''
        for protocol in PROTOCOLS:
            where = {'method': method, 'protocol': protocol}
            mine = next(row for row in rows if where.items() <= row.items())
            where |= {'run': 'celeba', 'tested_on': 'CelebA', 'track': 'grammar-100'}
            theirs = _find(results, **where) or {}
            cells += f'{mine["accuracy"]:>17.1f}{theirs["accuracy"]:>9.1f}'
        lines.append(f'{METHODS[method].strip("*"):<32}{cells}')
    return '\n'.join(lines)


# --- command line ---


def read(path: pathlib.Path = DATA) -> dict[str, Any]:
    """A JSON file of results."""
    return json.loads(path.read_text(encoding='utf-8'))


def write(results: Results, path: pathlib.Path = DATA) -> None:
    """Writes results with a row a line, so that a change is read in a diff."""
    sections = []
    for name in ('runs', 'durations'):
        lines = [f'    {json.dumps(key)}: {json.dumps(v)}' for key, v in results[name].items()]
        sections.append(f'  "{name}": {{\n' + ',\n'.join(lines) + '\n  }')
    for name in ('results', 'ablation'):
        rows = [f'    {json.dumps(row, ensure_ascii=False)}' for row in results[name]]
        sections.append(f'  "{name}": [\n' + ',\n'.join(rows) + '\n  ]')
    path.write_text('{\n' + ',\n'.join(sections) + '\n}\n', encoding='utf-8')


def outdated(results: Results) -> dict[pathlib.Path, str]:
    """The new text of each page that does not say what the results say."""
    texts = {page: page.read_text(encoding='utf-8') for page in pages()}
    rendered = {page: render(text, results) for page, text in texts.items()}
    return {page: text for page, text in rendered.items() if text != texts[page]}


def main() -> int:
    """Renders, or does what the flags say; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--check', action='store_true')
    parser.add_argument('--quickstart', type=pathlib.Path, metavar='FILE')
    parser.add_argument('--pack', type=pathlib.Path, nargs=2, metavar='FILE')
    parser.add_argument('--closing', type=pathlib.Path, metavar='FILE')
    given = parser.parse_args()
    results = read()
    if given.closing:
        print(closing(results, read(given.closing)))
        return 0
    if given.quickstart:
        results = take_quickstart(results, read(given.quickstart))
    if given.pack:
        results = take_pack(results, *map(read, given.pack))
    if given.quickstart or given.pack:
        write(results)
    changed = outdated(results)
    for page, text in changed.items():
        if not given.check:
            page.write_text(text, encoding='utf-8')
        print(f'{page.relative_to(ROOT)} {"differs" if given.check else "rendered"}')
    return int(given.check and bool(changed))


if __name__ == '__main__':
    sys.exit(main())
