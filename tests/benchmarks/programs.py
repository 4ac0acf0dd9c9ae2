"""The programs whose cost is measured: training step, sampler and encoders, at any size."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from configs import celeba
from diface_jax.costs.hlo import matmul_flops
from diface_jax.data.batches import Batch
from diface_jax.models.diface import Sampling, build_model, init_networks
from diface_jax.runtime import mesh as meshes
from diface_jax.training import state as states
from diface_jax.training.input_pipeline import TrainingTable
from diface_jax.training.step import make_steps

SIZES = states.ModelSizes(embedding_dim=384, condition_dim=2688, num_identities=1600)
PHOTOS = 4000


class Program(NamedTuple):
    """A compiled program, ready to run.

    Attributes:
      run: runs it to its end.
      flops: of one run.
      bytes: memory that its operations read and write, as XLA counts them: an operand that stays
        in a cache counts too.
      temporary: bytes that it needs beside its inputs and results.
      hlo: its operations, as XLA compiled them.
    """

    run: Callable[[], object]
    flops: float
    bytes: float
    temporary: float
    hlo: str = ''


def training_step(batch_size: int) -> Program:
    """One joint step of the main config on made-up rows."""
    config, mesh = celeba.get_config(), meshes.make_mesh()
    rng = np.random.default_rng(0)
    table = TrainingTable(
        x0_NxD=rng.standard_normal((PHOTOS, SIZES.embedding_dim), np.float32),
        identity_N=np.arange(PHOTOS, dtype=np.int32) % SIZES.num_identities,
        c_TxC=rng.standard_normal((PHOTOS, SIZES.condition_dim), np.float32),
        sentence_T=np.arange(PHOTOS, dtype=np.int32),
    )
    rows = rng.permutation(PHOTOS)[None, :batch_size].astype(np.int32)
    given = jax.device_put((Batch(rows, rows, rows), table))
    key, now = jax.random.key(0), {'state': states.init_sharded(config, SIZES, mesh)}
    traced = make_steps(config, SIZES, mesh).trace(now['state'], *given, key)
    compiled = traced.lower().compile()

    def run() -> None:
        now['state'], metrics = compiled(now['state'], *given, key)
        jax.block_until_ready(metrics)

    return of_compiled(run, traced, compiled)


def sampler(texts: int, num_steps: int, num_samples: int) -> Program:
    """DDIM of the main config's network."""
    config, key = celeba.get_config(), jax.random.key(0)
    widths = SIZES.embedding_dim, SIZES.condition_dim
    model = build_model(config.model, 'cosine', *widths)
    params = init_networks(config.model, *widths, key)
    c_TxC = jax.random.normal(key, (texts, SIZES.condition_dim))
    # XLA counts the body of a loop once: the bytes of a step are what a second one adds.
    by_steps = {
        count: of_function(
            functools.partial(model.recover, sampling=Sampling(count, num_samples)),
            *(params, c_TxC, key),
        )
        for count in {1, 2, num_steps}
    }
    first, second = by_steps[1].bytes, by_steps[2].bytes
    return by_steps[num_steps]._replace(bytes=first + (num_steps - 1) * (second - first))


def of_function(function: Callable[..., Any], *arrays: Any) -> Program:
    """A function of arrays, compiled for them."""
    traced = jax.jit(function).trace(*arrays)
    compiled = traced.lower().compile()
    return of_compiled(lambda: jax.block_until_ready(compiled(*arrays)), traced, compiled)


def face_encoder(photos: int) -> Program:
    """E: dlib's network on face crops, all in one batch."""
    from diface_jax.encoders.face.dlib_resnet import load_dlib_resnet

    network = load_dlib_resnet()
    chips = jnp.asarray(np.random.default_rng(0).integers(0, 256, (photos, 150, 150, 3), np.uint8))
    return of_function(lambda chips: network(chips), chips)


def text_encoder(sentences: int, length: int) -> Program:
    """MiniLM on sentences of as many tokens, layers one after the other."""
    from diface_jax.encoders.text.encoder import load_text_encoder

    encoder = load_text_encoder()

    def encode(tokens_BxL: jax.Array, mask_BxL: jax.Array) -> jax.Array:
        with jax.disable_jit():
            return encoder.of_tokens(tokens_BxL, mask_BxL)

    shape = sentences, length
    return of_function(encode, jnp.full(shape, 2000, jnp.int32), jnp.ones(shape, bool))


def of_compiled(run: Callable[[], object], traced: Any, compiled: Any) -> Program:
    """A compiled program, with its cost."""
    cost, memory = compiled.cost_analysis() or {}, compiled.memory_analysis()
    # XLA counts convolutions too, but the body of a loop once.
    flops = max(matmul_flops(traced), cost.get('flops', 0.0))
    moved = cost.get('bytes accessed', np.nan)
    return Program(run, flops, moved, memory.temp_size_in_bytes, compiled.as_text())
