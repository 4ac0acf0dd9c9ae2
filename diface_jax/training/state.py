"""The training state: parameters, their moving average, and the states of two optimisers."""

import functools
import math
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from diface_jax.models.diface import Params, init_networks
from diface_jax.runtime.settings import (
    ContrastSettings,
    MarginSettings,
    ModelSettings,
    OptimiserSettings,
    OptimisersSettings,
    Settings,
)
from diface_jax.training.sharding_rules import state_shardings

Optimisers = dict[str, optax.GradientTransformation]


@flax.struct.dataclass
class TrainState:
    """A pytree; everything that changes from step to step.

    Attributes:
      step: steps taken.
      params: {'score': of D, 'refine': of R, 'head': temperature, and prototypes of the margin}.
      average: exponential moving average (EMA) of the parameters, used for inference.
      momenta: {'score': ..., 'refine': ...}, the states of both optimisers.
    """

    step: jax.Array
    params: Params
    average: Params
    momenta: dict[str, Any]


class ModelSizes(NamedTuple):
    """Sizes of a model that depend on the data: D, C, the number of training identities, and Q.

    Q is the width of a photo's quality; 0 where the data have no observations.
    """

    embedding_dim: int
    condition_dim: int
    num_identities: int
    quality_dim: int = 0


def make_optimiser(settings: OptimiserSettings, num_steps: int) -> optax.GradientTransformation:
    """An optimiser of optax, with gradient clipping, warm-up and cosine decay.

    Args:
      settings: the name of optax's function, its options, learning rate, warm-up and clipping.
      num_steps: the step at which the decay ends.

    Raises:
      ValueError: optax has no such optimiser, or it takes no such options.
    """
    optax_function = getattr(optax, settings.name, None)
    if optax_function is None:
        raise ValueError(f'optax has no optimiser {settings.name!r}; try adamw, lion or sgd')
    warmup_steps = settings.warmup_steps
    rate = optax.warmup_cosine_decay_schedule(
        0.0, settings.learning_rate, warmup_steps, max(num_steps, warmup_steps + 1)
    )
    try:
        transform = optax_function(rate, **settings.options)
    except TypeError as error:
        raise ValueError(
            f'optimiser.*.options do not fit optax.{settings.name}: {error}'
        ) from error
    return optax.chain(optax.clip_by_global_norm(settings.clip_norm), transform)


def make_optimisers(settings: OptimisersSettings, num_steps: int) -> Optimisers:
    """The optimiser of D ('score'), and the one of R and the head ('refine')."""
    return {
        'score': make_optimiser(settings.score, num_steps),
        'refine': make_optimiser(settings.refine, num_steps),
    }


def params_by_optimiser(params: Params) -> dict[str, Params]:
    """Parameters by the name of the optimiser that updates them."""
    return {
        'score': {'score': params['score']},
        'refine': {'refine': params['refine'], 'head': params['head']},
    }


def init_params(
    model: ModelSettings,
    contrast: ContrastSettings,
    margin: MarginSettings,
    sizes: ModelSizes,
    key: jax.Array,
) -> Params:
    """Initial parameters of D, R and the head; arguments are sections of the settings."""
    networks_key, head_key = jax.random.split(key)
    params = init_networks(
        model, sizes.embedding_dim, sizes.condition_dim, networks_key, sizes.quality_dim
    )
    params['head'] = {'log_scale': jnp.float32(-math.log(contrast.temperature))}
    if margin.kind != 'none':
        shape = (sizes.num_identities, model.refine.feature_dim)
        params['head']['prototypes'] = jax.random.normal(head_key, shape)
    return params


def init_state(settings: Settings, sizes: ModelSizes, key: jax.Array) -> TrainState:
    """The state before the first step.

    Args:
      settings: of which it reads `model`, `contrast`, `margin`, `optimiser` and `train.num_steps`;
        those stored in a checkpoint will do.
      sizes: of the data.
      key: random key of the initial parameters.
    """
    params = init_params(settings.model, settings.contrast, settings.margin, sizes, key)
    momenta = {
        name: transform.init(params_by_optimiser(params)[name])
        for name, transform in make_optimisers(settings.optimiser, settings.train.num_steps).items()
    }
    # The average starts as a copy: a donated buffer must not appear twice.
    average = jax.tree.map(jnp.copy, params)
    return TrainState(jnp.zeros((), jnp.int32), params, average, momenta)


def init_sharded(
    settings: Settings, sizes: ModelSizes, mesh: Mesh, fsdp: bool = False
) -> TrainState:
    """The state before the first step, with every array created on its own devices.

    Arguments are those of `abstract_state`; the random key comes from `settings.seed`.
    """
    like = abstract_state(settings, sizes, mesh, fsdp)
    shardings = jax.tree.map(lambda leaf: leaf.sharding, like)
    init = jax.jit(functools.partial(init_state, settings, sizes), out_shardings=shardings)
    return init(jax.random.key(settings.seed))


def abstract_state(
    settings: Settings, sizes: ModelSizes, mesh: Mesh, fsdp: bool = False
) -> TrainState:
    """Shapes, types and shardings of the state, to restore a checkpoint into.

    Args:
      settings: as in `init_state`.
      sizes: of the data.
      mesh: the devices; the state is cut over its axis 'model'.
      fsdp: whether it is cut over 'data' as well.
    """
    shapes = jax.eval_shape(functools.partial(init_state, settings, sizes), jax.random.key(0))
    return jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        shapes,
        state_shardings(shapes, mesh, fsdp),
    )
