"""Replaces the face embeddings of a prepared data set with the latents of a VAE."""

import dataclasses
import functools
import hashlib
import pathlib
from collections.abc import Sequence
from typing import Any

import ml_collections
import numpy as np
from absl import logging

from diface_jax.data import array_cache
from diface_jax.data.face_crops import FaceCrops
from diface_jax.data.prepared import Prepared
from diface_jax.data.prepared_photos import map_prepared_photos, stacked_chips
from diface_jax.encoders.face import align, vae
from diface_jax.runtime import hosts, run_state

# A latent with a smaller KL divergence, in nats, carries almost no information on the photo.
_ACTIVE = 0.01


def vae_latents(
    data: Prepared, settings: ml_collections.ConfigDict, folder: pathlib.Path
) -> Prepared:
    """Trains a VAE on the training photos and embeds all photos with it.

    Args:
      data: prepared, its photos in the same folder as then.
      settings: as `vae.fit_vae` takes them.
      folder: of the cache of small face crops and the VAE's weights.

    Returns:
      The same rows with `embedding_NxD` the posterior means [N, latent_dim]. The card's `encoders`
      and `settings` name the VAE, and its `vae` holds the VAE's losses on validation.

    Raises:
      FileNotFoundError: the data set's folder does not exist any more.
      ValueError: there are no training photos, or a face is no longer found in a photo.
    """
    if 'train' not in data.splits:
        raise ValueError(f'{data.card["name"]} has no training photos to train a VAE on')
    chips_of = _chips(data, folder)
    weights = _weights(chips_of['train'], settings, folder)
    model = vae.vae_from_weights(weights, settings)
    splits = {
        name: dataclasses.replace(
            split, embedding_NxD=vae.posterior_means(model, chips_of[name]), observations=None
        )
        for name, split in data.splits.items()
    }
    card = _card_with_vae(data.card, settings, vae.sha256_of_weights(weights))
    if 'validation' in chips_of:
        card['vae'] = _validation_terms(
            model, settings.beta, chips_of['train'], chips_of['validation']
        )
        logging.info('vae: on validation %s', card['vae'])
    return Prepared(splits, data.attributes, card)


def _chips(data: Prepared, folder: pathlib.Path) -> dict[str, np.ndarray]:
    """64x64 chips of every split's photos."""
    files = np.concatenate([split.file_N for split in data.splits.values()]).tolist()
    depends_on = ('small chips', str(vae.SIZE), str(align.VERSION))
    arrays = map_prepared_photos(data, files, folder, depends_on, _shrink)
    ends = np.cumsum([len(split.file_N) for split in data.splits.values()])
    return dict(zip(data.splits, np.split(arrays['chips'], ends[:-1]), strict=True))


def _shrink(files: Sequence[str], crops: Sequence[FaceCrops]) -> array_cache.Arrays:
    return {'chips': vae.shrink_chips(stacked_chips(files, crops, align.TIGHT))}


def _weights(
    chips_NxHxWx3: np.ndarray,
    settings: ml_collections.ConfigDict,
    folder: pathlib.Path,
) -> array_cache.Arrays:
    name = array_cache.cache_key(
        'vae',
        str(vae.VERSION),
        settings.to_json(sort_keys=True),
        str(align.VERSION),
        hashlib.sha256(chips_NxHxWx3.tobytes()).hexdigest(),
    )
    fit = functools.partial(
        array_cache.cached_arrays,
        folder,
        name,
        lambda: vae.vae_weights(vae.fit_vae(chips_NxHxWx3, settings)),
    )
    return hosts.first_then_others('vae', fit)


def _card_with_vae(
    card: dict[str, Any], settings: ml_collections.ConfigDict, sha256: str
) -> dict[str, Any]:
    """The data card with the VAE as the face encoder."""
    face = {
        'name': vae.NAME,
        'sha256': sha256,
        'version': vae.VERSION,
        'alignment': align.VERSION,
        'width': settings.latent_dim,
        'settings': run_state.to_plain_json(settings.to_dict()),
    }
    encoders = {**card['encoders'], 'face': [face]}
    return {**card, 'encoders': encoders, 'settings': {**card['settings'], 'encoders': encoders}}


def _validation_terms(
    model: vae.Vae, beta: float, train_NxHxWx3: np.ndarray, held_out_NxHxWx3: np.ndarray
) -> dict[str, float]:
    """The ELBO's terms on held-out photos (nats), and the number of active latents."""
    terms = vae.vae_terms(model, held_out_NxHxWx3)
    return {
        'loss': float(terms.loss(beta)),
        'squared_error': float(terms.squared_error),
        'squared_error_of_mean_image': vae.mean_image_error(train_NxHxWx3, held_out_NxHxWx3),
        'kl': float(terms.kl_L.sum()),
        'active_latents': int((terms.kl_L > _ACTIVE).sum()),
    }
