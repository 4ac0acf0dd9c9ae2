"""Differences between DiFace and each other method, with confidence intervals.

A paired bootstrap: both methods are measured on the same draws and in the same resamples of people,
and the interval is that of the difference (Efron & Tibshirani 1993, chapter 8). What is hard about
the people who happen to be tested is hard for both, and cancels; two intervals that overlap can
still have a difference that is surely not 0.
"""

from collections.abc import Iterator, Sequence

from diface_jax.evaluation import protocols
from diface_jax.evaluation.protocols import Estimate, ResultRow

OURS = 'diface'
METRICS = ('accuracy', 'auc', 'rank@10')


def paired_differences(estimates: Sequence[Estimate]) -> Iterator[ResultRow]:
    """DiFace's number less another method's, in every condition.

    Args:
      estimates: of all methods, with the same draws and resamples; accuracy at each one's own
        threshold. Of identification, the largest gallery counts, with one photo a person.

    Yields:
      A row a number of METRICS, as in the results, whose method is the other one.
    """
    largest = max((e.row['gallery'] or 0 for e in estimates), default=0)
    compared = [e for e in estimates if _is_compared(e.row, largest)]
    ours = {_where(e.row): e for e in compared if e.row['method'] == OURS}
    for other in compared:
        mine = ours.get(_where(other.row))
        if mine is None or other is mine:
            continue
        about = {key: other.row[key] for key in ('method', *_WHERE)}
        draws_S, spread_R = mine.draws_S - other.draws_S, mine.spread_R - other.spread_R
        yield protocols.make_estimate(about, other.row['metric'], draws_S, spread_R).row


_WHERE = ('track', 'protocol', 'impostors', 'gallery', 'photos', 'level')


def _where(row: ResultRow) -> tuple:
    return tuple(row[key] for key in (*_WHERE, 'metric'))


def _is_compared(row: ResultRow, largest: int) -> bool:
    place = (row['gallery'], row['photos'], row['level'])
    return row['metric'] in METRICS and place in ((None,) * 3, (largest, 'one', 'identity'))
