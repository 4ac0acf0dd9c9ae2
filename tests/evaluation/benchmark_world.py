"""A small benchmark of made-up people, CCA's features of it, and a file of them."""

import functools

import numpy as np

from diface_jax.evaluation import baselines
from diface_jax.evaluation.benchmark import MEASURED, Benchmark, text_ids
from tests import population, tiny


@functools.cache
def benchmark():
    config = tiny.config()
    data = population.prepared(people=(40, 20, 20))
    return Benchmark(config.evaluate, (1.0,), data, data)


@functools.cache
def cca():
    """CCA's features by split."""
    split = benchmark().split('train')
    moments = baselines.CrossMoments.from_pairs(split.c_TxC, split.embedding_NxD[split.photo_T])
    (fit,) = baselines.fit_cca(moments, [0.1])
    splits = {name: benchmark().split(name) for name in MEASURED}
    return {name: fit.features(of.c_TxC, of.embedding_NxD) for name, of in splits.items()}


def arrays(features=None, kind='embeddings', seed=0):
    """Arrays of a scores file, with rows in an order of its own."""
    rng = np.random.default_rng(seed)
    content = {'protocol': benchmark().description()['sha256']}
    for name, (text_TxF, photo_NxF) in (features or cca()).items():
        split = benchmark().split(name)
        texts, photos = rng.permutation(len(text_TxF)), rng.permutation(len(photo_NxF))
        content[f'{name}/text_id'] = text_ids(split)[texts]
        content[f'{name}/photo_id'] = split.file_N[photos]
        if kind == 'scores':
            content[f'{name}/score'] = text_TxF[texts] @ photo_NxF[photos].T
        else:
            content[f'{name}/text_embedding'] = text_TxF[texts]
            content[f'{name}/photo_embedding'] = photo_NxF[photos]
    return content


def write(path, content):
    np.savez(path, **content)
    return path
