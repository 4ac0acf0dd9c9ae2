"""Where the time of five works goes, and how long their matrix products take alone.

python -m tests.benchmarks.stages

All is of one core, where operations run one after the other, so that their times add up, and of the
fastest of several runs. Compiled programs are taken apart by a trace, the steps of a search by
timing its functions. The last line of each work is its bound: its matrix products alone, in their
own shapes. Prints lines of JSON.
"""

import collections
import functools
import json
import os
import pathlib
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import jax
import numpy as np

import diface_jax
from diface_jax.encoders.text.encoder import TextEncoder
from diface_jax.evaluation import ranking
from diface_jax.gallery import vocabulary
from diface_jax.gallery.exact_search import ExactIndex
from diface_jax.gallery.inference import InferenceModel
from diface_jax.gallery.search import LoadedGallery
from diface_jax.gallery.store import Store
from diface_jax.model import Model
from diface_jax.runtime import mesh as meshes
from tests.benchmarks import programs
from tests.benchmarks.operations import (
    Dot,
    dots,
    fastest_milliseconds,
    milliseconds_by_kind,
    milliseconds_of,
)

REST = 'dispatch, and the rest'


class Bound(NamedTuple):
    """Matrix products alone: how long they take, and their FLOPs."""

    milliseconds: float
    flops: float


def report(work: str, total: float, stages: Mapping[str, float], bound: Bound) -> None:
    """Prints a line for the work, its stages, what they leave, and its bound; in milliseconds."""
    rate = bound.flops / bound.milliseconds / 1e6
    alone = f'its matrix products alone ({rate:.0f} GFLOP/s)'
    rest = total - sum(stages.values())
    parts = {'all': total, **stages, REST: rest, alone: bound.milliseconds}
    for stage, milliseconds in parts.items():
        share = milliseconds / total
        line = {'stages': work, 'stage': stage, 'milliseconds': milliseconds, 'share': share}
        print(json.dumps(line), flush=True)


def products_alone(*products: tuple[Dot, int]) -> Bound:
    """Matrix products and how often each runs, each timed alone."""
    times = [count * milliseconds_of(dot) for dot, count in products]
    return Bound(sum(times), sum(count * dot.flops for dot, count in products))


def training_step() -> None:
    """The joint step of the main config."""
    step = programs.training_step(512)
    by_kind = milliseconds_by_kind(step, has_optimiser=True)
    total = fastest_milliseconds(step.run)
    report('training step, batch 512', total, by_kind, products_alone(*dots(step.hlo).items()))


def captions() -> None:
    """A batch of captions: 6 of 80 tokens."""
    batch = programs.text_encoder(6, 80)
    by_kind = milliseconds_by_kind(batch)
    report(
        '6 captions of 80 tokens',
        fastest_milliseconds(batch.run),
        by_kind,
        products_alone(*dots(batch.hlo).items()),
    )


def identification(side: int = 5000) -> None:
    """Ranks of all probes' mates."""
    rng = np.random.default_rng(0)
    f_PxF, f_GxF = (rng.standard_normal((side, 384)).astype(np.float32) for _ in range(2))
    people, nobody = np.arange(side), np.full(side, -1)
    probes = ranking.Probes(f_PxF, people, nobody, nobody)
    gallery = ranking.GalleryPartitions(
        f_GxF, people, np.zeros((1, side), int), np.ones(side, bool)
    )
    run = functools.partial(ranking.rank_mates, probes, gallery, meshes.make_mesh())
    with calls_of(ranking, '_rank_block') as calls:
        run()
    (arrays, options), count = calls[0], len(calls)
    traced = ranking._rank_block.trace(*arrays, **options)
    compiled = traced.lower().compile()
    block = programs.of_compiled(lambda: jax.block_until_ready(compiled(*arrays)), traced, compiled)
    by_kind = {kind: count * part for kind, part in milliseconds_by_kind(block).items()}
    bound = products_alone(*((dot, count * times) for dot, times in dots(block.hlo).items()))
    report(f'identification of {side:,} x {side:,}', fastest_milliseconds(run, 3), by_kind, bound)


@contextmanager
def calls_of(owner: Any, name: str) -> Iterator[list[tuple[tuple, dict]]]:
    """Arguments of the calls of a function meanwhile."""
    function, calls = getattr(owner, name), []

    def noted(*args: Any, **options: Any) -> Any:
        calls.append((args, options))
        return function(*args, **options)

    setattr(owner, name, noted)
    try:
        yield calls
    finally:
        setattr(owner, name, function)


def warm_search(faces: int = 1000, repeats: int = 25) -> None:
    """A search by a new sentence; the bound is that of encoding it."""
    from tests.benchmarks import warm_search as searches

    model = diface_jax.load()
    with tempfile.TemporaryDirectory() as folder:
        gallery = pathlib.Path(folder) / 'gallery'
        searches.filled(model, gallery, faces)
        texts = searches.descriptions()

        def search() -> object:
            return model.search(gallery, next(texts), searches.K)

        search()
        total, stages = timed(search, repeats, _SEARCH)
    sentence = programs.text_encoder(1, 16)
    report(
        f'a search of {faces:,} faces, warm',
        total,
        stages,
        products_alone(*dots(sentence.hlo).items()),
    )


_SEARCH = {
    'MiniLM': (TextEncoder, 'encode'),
    'sampler and R': (InferenceModel, 'of_probes'),
    'check of the words': (vocabulary, 'check_words'),
    'opening the gallery': (Model, '_open'),
    'the best faces': (LoadedGallery, 'nearest'),
    'their entries': (Store, 'entries'),
    'their scores': (Model, '_scored'),
    'the next question': (Model, '_next_question'),
}


def timed(
    run: Callable[[], object], repeats: int, functions: Mapping[str, tuple[Any, str]]
) -> tuple[float, dict[str, float]]:
    """Milliseconds of the fastest run, and those it spends in each function, by name."""
    spent, original = collections.Counter(), {}
    for stage, (owner, name) in functions.items():
        original[stage] = getattr(owner, name)
        setattr(owner, name, _timing(original[stage], stage, spent))
    runs = []
    for _ in range(repeats):
        spent.clear()
        _timing(run, 'all', spent)()
        runs.append(dict(spent))
    for stage, (owner, name) in functions.items():
        setattr(owner, name, original[stage])
    fastest = min(runs, key=lambda spent: spent['all'])
    milliseconds = {stage: 1e3 * seconds for stage, seconds in fastest.items()}
    return milliseconds.pop('all'), milliseconds


def _timing(function: Callable, stage: str, spent: collections.Counter[str]) -> Callable:
    @functools.wraps(function)
    def run(*args: Any, **options: Any) -> Any:
        start = time.perf_counter()
        try:
            return function(*args, **options)
        finally:
            spent[stage] += time.perf_counter() - start

    return run


def small_search(faces: int = 1000, repeats: int = 500) -> None:
    """One probe among few faces."""
    rng = np.random.default_rng(0)
    f_GxF = rng.standard_normal((faces, 384), np.float32)
    f_PxF = rng.standard_normal((1, 384), np.float32)
    index = ExactIndex(f_GxF, meshes.make_mesh())
    run = functools.partial(index.search, f_PxF, 10)
    nomination, rescoring = 'nomination in float32', 'scores and order in float64'
    functions = {
        nomination: (ExactIndex, '_nominate_by_numpy'),
        rescoring: (ExactIndex, '_rescore'),
    }
    total, parts = timed(run, repeats, functions)
    score_PxG = f_PxF @ f_GxF.T
    product = fastest_milliseconds(lambda: f_PxF @ f_GxF.T, repeats)
    choice = fastest_milliseconds(lambda: score_PxG.argpartition(-26, axis=1), repeats)
    stages = {
        'product of NumPy': product,
        'argpartition of NumPy': choice,
        'the rest of the nomination': parts[nomination] - product - choice,
        rescoring: parts[rescoring],
    }
    bound = Bound(product, 2 * f_GxF.size)
    report(f'top 10 of {faces:,} x 384, 1 probe', total, stages, bound)


def main() -> None:
    """Measures on one core."""
    cores = os.sched_getaffinity(0)
    if len(cores) > 1:  # anew, as libraries count the cores when they are imported
        os.sched_setaffinity(0, {min(cores)})
        os.execv(sys.executable, [sys.executable, '-m', 'tests.benchmarks.stages'])
    square = Dot((2048, 2048), (2048, 2048), ((1,), (0,)), ((), ()))
    print(json.dumps({'core_gflops': square.flops / milliseconds_of(square) / 1e6}), flush=True)
    for measure in (training_step, captions, identification, small_search, warm_search):
        measure()


if __name__ == '__main__':
    main()
