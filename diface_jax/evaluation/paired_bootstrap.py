"""Differences between DiFace and each other method, with confidence intervals.

A paired bootstrap: both methods are measured on the same draws and in the same resamples of people,
and the interval is that of the difference (Efron & Tibshirani 1993, chapter 8). People who are hard
to recognise are hard for both methods, and their effect cancels: two methods whose own intervals
overlap can still differ significantly.
"""

from collections.abc import Iterator, Sequence

from diface_jax.evaluation import protocols
from diface_jax.evaluation.protocols import Estimate, ResultRow

DIFACE = 'diface'
METRICS = ('accuracy', 'auc', 'rank@10')


def paired_differences(estimates: Sequence[Estimate]) -> Iterator[ResultRow]:
    """DiFace's number minus that of each other method, in every condition.

    Args:
      estimates: of all methods, on the same draws and resamples; accuracy is at each method's own
        threshold. Of identification, only the largest gallery with one photo a person is compared.

    Yields:
      A row for each of METRICS, as in the results; `method` is the method DiFace is compared with.
    """
    largest = max((e.row['gallery'] or 0 for e in estimates), default=0)
    compared = [e for e in estimates if _is_compared(e.row, largest)]
    of_diface = {_condition(e.row): e for e in compared if e.row['method'] == DIFACE}
    for baseline in compared:
        diface = of_diface.get(_condition(baseline.row))
        if diface is None or baseline is diface:
            continue
        labels = {key: baseline.row[key] for key in ('method', *_CONDITION)}
        draws_S = diface.draws_S - baseline.draws_S
        spread_R = diface.spread_R - baseline.spread_R
        yield protocols.make_estimate(labels, baseline.row['metric'], draws_S, spread_R).row


_CONDITION = ('track', 'protocol', 'impostors', 'gallery', 'photos', 'level')


def _condition(row: ResultRow) -> tuple:
    return tuple(row[key] for key in (*_CONDITION, 'metric'))


def _is_compared(row: ResultRow, largest: int) -> bool:
    gallery = (row['gallery'], row['photos'], row['level'])
    is_verification = gallery == (None, None, None)
    return row['metric'] in METRICS and (is_verification or gallery == (largest, 'one', 'identity'))
