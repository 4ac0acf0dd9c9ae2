"""Times of our work and of peers', in turn, as a line of JSON."""

import json
import statistics
import time
from collections.abc import Callable, Mapping

import jax


def compare(
    name: str, work: Mapping[str, Callable[[], object]], repeats: int, pause: float = 0.0
) -> None:
    """Prints medians and quartiles in milliseconds, and ratios (peer / ours, above 1 is faster).

    Args:
      name: of the comparison.
      work: what to time by name, ours as 'ours'; each runs once before, for warm-up.
      repeats: how often each is timed, at least 2.
      pause: seconds before each run, for short work: threads of a peer that wait actively for more
        work would take the cores from what is timed next.
    """
    for run in work.values():
        run()
    times = {peer: [] for peer in work}
    for _ in range(repeats):
        for peer, run in work.items():
            time.sleep(pause)
            start = time.perf_counter()
            run()
            times[peer].append(1e3 * (time.perf_counter() - start))
    median = {peer: statistics.median(values) for peer, values in times.items()}
    line = {
        'benchmark': name,
        'milliseconds': {peer: round(value, 3) for peer, value in median.items()},
        'quartiles': {
            peer: [round(q, 3) for q in statistics.quantiles(values, n=4)[::2]]
            for peer, values in times.items()
        },
        'ratio': {
            peer: round(value / median['ours'], 2)
            for peer, value in median.items()
            if peer != 'ours'
        },
        'repeats': repeats,
    }
    if jax.default_backend() != 'cpu':
        line['card'] = jax.devices()[0].device_kind
    print(json.dumps(line), flush=True)
