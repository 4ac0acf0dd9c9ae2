"""The main results as a text table for the terminal."""

from collections.abc import Sequence

from diface_jax.report import labels
from diface_jax.report.content import Row

_COLUMNS = {'accuracy': 'accuracy', 'auc': 'AUC', 'eer': 'EER', 'tar@far=0.01': 'TAR@1%'}
_RANKS = {'rank@1': 'R@1', 'rank@10': 'R@10'}


def text_table(results: Sequence[Row]) -> str:
    """The main numbers, in %, with a block for each track, protocol and kind of impostor.

    Args:
      results: the `results` of `evaluation.json`.

    Returns:
      Lines, with a 95% interval for each number. Ranks are of identities, in the largest gallery
      with one photo per person.
    """
    verification = [row for row in results if row['gallery'] is None]
    blocks = dict.fromkeys(
        (row['track'], row['protocol'], row['impostors']) for row in verification
    )
    return '\n\n'.join(_block(results, *block) for block in blocks)


def _block(results: Sequence[Row], track: str, protocol: str, impostors: str) -> str:
    rows = [
        row
        for row in results
        if (row['track'], row['protocol'], row['impostors']) == (track, protocol, impostors)
        and row['photos'] in (None, 'one')
    ]
    people = max((row['gallery'] or 0 for row in rows), default=0)
    # Verification rows have no gallery; of identification, take the largest gallery.
    row_of = {(r['method'], r['metric']): r for r in rows if r['gallery'] in (None, people)}
    columns = _COLUMNS | ({name: f'{r}/{people}' for name, r in _RANKS.items()} if people else {})
    methods = list(dict.fromkeys(row['method'] for row in rows))
    width = max(map(len, methods), default=0) + 1
    lines = [
        f'{labels.track_name(track)}; {labels.protocol_name(protocol)}; '
        f'{labels.impostor_name(impostors)}',
        _line('', list(columns.values()), width),
    ]
    for method in methods:
        lines.append(_line(method, [_cell(row_of.get((method, name))) for name in columns], width))
    return '\n'.join(lines)


def _cell(row: Row | None) -> str:
    if row is None:
        return '-'
    return f'{labels.percent(row["value"])} ({labels.percent_interval(row["ci95"])})'


def _line(name: str, cells: Sequence[str], width: int) -> str:
    return name.ljust(width) + ''.join(f'{cell:>21}' for cell in cells)
