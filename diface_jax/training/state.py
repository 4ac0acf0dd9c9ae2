"""What a training run is at a step: parameters, their average, and two optimisers."""

import functools
import math
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import ml_collections
import optax
from jax.sharding import Mesh

from diface_jax.models.diface import DiFace, Params, build_model
from diface_jax.training.sharding_rules import state_shardings


@flax.struct.dataclass
class TrainState:
    """A pytree; everything that changes from step to step.

    Attributes:
      step: steps taken.
      params: {'score': D's, 'refine': R's, 'head': temperature and margin head's}.
      average: exponential moving average (EMA) of the parameters, the ones to use.
      momenta: {'score': ..., 'refine': ...}, the states of both optimisers.
    """

    step: jax.Array
    params: Params
    average: Params
    momenta: dict[str, Any]


def optimiser(config: ml_collections.ConfigDict, num_steps: int) -> optax.GradientTransformation:
    """An optimiser as a config says: any of optax's by name, with warm-up and cosine decay.

    Args:
      config: `name`, `learning_rate`, `warmup_steps`, `clip_norm`, `options` for optax's function.
      num_steps: where the decay ends.

    Raises:
      ValueError: optax has no such optimiser, or it takes no such options.
    """
    make = getattr(optax, config.name, None)
    if make is None:
        raise ValueError(f'optax has no optimiser {config.name!r}; try adamw, lion or sgd')
    rate = optax.warmup_cosine_decay_schedule(
        0.0, config.learning_rate, config.warmup_steps, max(num_steps, config.warmup_steps + 1)
    )
    try:
        moves = make(rate, **config.options)
    except TypeError as error:
        raise ValueError(f'optimiser.*.options do not fit optax.{config.name}: {error}') from error
    return optax.chain(optax.clip_by_global_norm(config.clip_norm), moves)


def optimisers(config: ml_collections.ConfigDict) -> dict[str, optax.GradientTransformation]:
    """D's optimiser, and R's, which also moves the head."""
    names = ('score', 'refine')
    return {name: optimiser(config.optimiser[name], config.train.num_steps) for name in names}


def params_by_optimiser(params: Params) -> dict[str, Params]:
    """Parameters by the optimiser that moves them."""
    return {
        'score': {'score': params['score']},
        'refine': {'refine': params['refine'], 'head': params['head']},
    }


class ModelSizes(NamedTuple):
    """What a model's shape takes from the data: D, C and the number of training identities."""

    embedding_dim: int
    condition_dim: int
    num_identities: int


def init_state(config: ml_collections.ConfigDict, sizes: ModelSizes, key: jax.Array) -> TrainState:
    """The state before the first step; call it under `jax.jit` to have it born sharded."""
    model_key, head_key = jax.random.split(key)
    _, params = build_model(config, sizes.embedding_dim, sizes.condition_dim, model_key)
    params['head'] = {'log_scale': jnp.float32(-math.log(config.contrast.temperature))}
    if config.margin.kind != 'none':
        shape = (sizes.num_identities, config.model.refine.feature_dim)
        params['head']['prototypes'] = jax.random.normal(head_key, shape)
    momenta = {
        name: transform.init(params_by_optimiser(params)[name])
        for name, transform in optimisers(config).items()
    }
    # The average starts as a copy: a donated buffer must not appear twice.
    average = jax.tree.map(jnp.copy, params)
    return TrainState(jnp.zeros((), jnp.int32), params, average, momenta)


def init_sharded(
    config: ml_collections.ConfigDict, sizes: ModelSizes, mesh: Mesh, fsdp: bool = False
) -> TrainState:
    """The state before the first step, every array made where it will live."""
    places = jax.tree.map(lambda leaf: leaf.sharding, abstract_state(config, sizes, mesh, fsdp))
    start = jax.jit(functools.partial(init_state, config, sizes), out_shardings=places)
    return start(jax.random.key(config.seed))


def abstract_state(
    config: ml_collections.ConfigDict, sizes: ModelSizes, mesh: Mesh, fsdp: bool = False
) -> TrainState:
    """Shapes, types and shardings of the state, to restore a checkpoint into.

    Args:
      config: the whole config.
      sizes: what the data say.
      mesh: the devices; the state is cut over its axis 'model'.
      fsdp: whether it is cut over 'data' as well.
    """
    abstract = jax.eval_shape(functools.partial(init_state, config, sizes), jax.random.key(0))
    return jax.tree.map(
        lambda leaf, place: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place),
        abstract,
        state_shardings(abstract, mesh, fsdp),
    )


def model_without_params(
    config: ml_collections.ConfigDict, sizes: ModelSizes, compute_dtype: str = 'float32'
) -> DiFace:
    """The model's static part, without making any parameters; what it computes in."""
    found = []

    def remember() -> None:
        dims = (sizes.embedding_dim, sizes.condition_dim)
        found.append(build_model(config, *dims, jax.random.key(0), compute_dtype)[0])

    jax.eval_shape(remember)
    return found[0]
