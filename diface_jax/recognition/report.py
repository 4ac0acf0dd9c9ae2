"""The results as a table to read."""

import math
from collections.abc import Sequence

from diface_jax.recognition.protocols import Row

# (metric, gallery, heading); the largest gallery measured stands for 'all'.
_COLUMNS = (('accuracy', 'accuracy'), ('auc', 'AUC'), ('eer', 'EER'), ('tar@far=0.01', 'TAR@1%'))
_RANKS = (('rank@1', 'R@1'), ('rank@10', 'R@10'))


def table(results: Sequence[Row]) -> str:
    """The main numbers, in %, a block for each track, protocol and kind of impostor.

    Args:
      results: rows of `evaluation.json`.

    Returns:
      Lines; accuracy and AUC with their 95% interval. Ranks are in the largest gallery.
    """
    values = {
        (r['track'], r['protocol'], r['impostors'], r['method'], r['metric'], r['gallery']): r
        for r in results
    }
    blocks = dict.fromkeys((r['track'], r['protocol'], r['impostors']) for r in results)
    methods = list(dict.fromkeys(r['method'] for r in results))
    people = {
        track: max((r['gallery'] or 0 for r in results if r['track'] == track), default=0)
        for track, *_ in blocks
    }
    lines = []
    for block in blocks:
        size = people[block[0]]
        heading = [label for _, label in _COLUMNS] + [f'{label}/{size}' for _, label in _RANKS]
        lines += [
            '',
            f'{block[0]} sentences, {block[1]} photo, {block[2].replace("_", " ")} impostors',
        ]
        lines.append(_line('', heading))
        for method in methods:
            cells = [_cell(values.get((*block, method, name, None))) for name, _ in _COLUMNS]
            cells += [_cell(values.get((*block, method, name, size))) for name, _ in _RANKS]
            lines.append(_line(method, cells))
    return '\n'.join(lines).lstrip('\n')


def _cell(row: Row | None) -> str:
    if row is None or math.isnan(row['value']):
        return '-'
    low, high = row['ci95']
    return f'{100 * row["value"]:.1f} ({100 * low:.1f}-{100 * high:.1f})'


def _line(name: str, cells: Sequence[str]) -> str:
    return f'{name:<9}' + ''.join(f'{cell:>18}' for cell in cells)
