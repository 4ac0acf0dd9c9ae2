"""What several hosts do together, small: the same call on one host and on two."""

import functools

import jax
import numpy as np
import pytest

from diface_jax.data import array_cache, sharded_work
from diface_jax.data import prepare as preparing
from diface_jax.diffusion.likelihood import NoiseLevels
from diface_jax.encoders.face import dlib_resnet
from diface_jax.evaluation import ranking
from diface_jax.evaluation.likelihood_ratio import LikelihoodRatioScorer
from diface_jax.gallery import exact_search
from diface_jax.models.diface import Sampling, build_model
from diface_jax.models.features import FeatureExtractor
from diface_jax.models.normalise import Normalisation
from diface_jax.runtime import mesh as meshes
from diface_jax.training import loop
from diface_jax.training import state as states
from tests import population, tiny


def prepare(root, folder):
    """The drawn faces, in many files of the cache; returns the folder of the data set."""
    config = tiny.config()
    config.data.root = str(root)
    embed = functools.partial(dlib_resnet.embed_with_maps, batch_size=5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(array_cache, '_MAX_ROWS', 5)
        patch.setattr(sharded_work, '_INPUTS_A_STEP', (5, 16))
        patch.setattr(dlib_resnet, 'embed_with_maps', embed)
        return preparing.prepare(config, config.data, folder / 'prepared')


def recognised():
    """Features, a path, likelihood ratios, ranks and a search, of a model as it is born."""
    data, mesh, key = population.prepared(), meshes.make_mesh(), jax.random.key(0)
    split, config = data.splits['test'], tiny.config()
    sizes = loop.model_sizes(split)
    params = states.init_sharded(config, sizes, mesh).params
    widths = sizes.embedding_dim, sizes.condition_dim
    model = build_model(config.model, config.diffusion.schedule, *widths)
    normalise = Normalisation.fit(split.embedding_NxD, data.widths)
    texts = np.arange(len(split.c_TxC))
    extractor = FeatureExtractor(model, Sampling(2), mesh, batch_size=64)
    features = extractor.features(params, split, texts, normalise, key)
    path = extractor.path(params, split.c_TxC[:9], key, 3)
    x0_NxD = normalise(split.embedding_NxD)
    ratios = LikelihoodRatioScorer(
        model, params, split.c_TxC, x0_NxD, NoiseLevels(-6.0, 0.0, 2), key, mesh
    )
    return (
        *features,
        *path,
        ratios.scores(texts[:20], split.photo_T[:20]),
        *_standing(features, split, mesh),
        *exact_search.ExactIndex(features.photo_NxF, mesh, block=16, device_bytes=2000).search(
            features.text_TxF[:5], 4
        ),
    )


def _standing(features, split, mesh):
    person_N = np.unique(split.identity_N, return_inverse=True)[1]
    people = person_N.max() + 1
    person_T, nobody_T = person_N[split.photo_T], np.full(len(split.photo_T), -1)
    gallery = ranking.GalleryPartitions(
        features.photo_NxF, person_N, np.zeros((1, people), int), np.arange(people) % 2 == 0
    )
    probes = ranking.Probes(features.text_TxF, person_T, split.photo_T, nobody_T)
    return ranking.rank_mates(probes, gallery, mesh)
