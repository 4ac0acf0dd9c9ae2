"""How a config is carried to larger batches and networks, and what its training should then take.

Everything here is computed. The rules start from `configs/celeba.py`, which was measured; what they
make of it was not. The times are a model of a chip with an assumed utilisation and links without
latency, good to a factor of two or three at best.
"""

import functools
import math
from typing import NamedTuple

import jax
import ml_collections

from diface_jax.training import state as states
from diface_jax.training.state import ModelSizes

_FLOAT32 = 4  # bytes


class Chip(NamedTuple):
    """What a chip can do, by its maker, and the share of it that is assumed to be reached.

    Attributes:
      name: of the chip.
      flops: peak of bfloat16 matrix products, FLOP/s.
      memory: bytes.
      memory_rate: bytes/s.
      link_rate: of all of its links to other chips in one direction, bytes/s.
      utilisation: share of peak FLOP/s reached in matrix products, and of both rates. Assumed.
    """

    name: str
    flops: float
    memory: float
    memory_rate: float
    link_rate: float
    utilisation: float = 0.3


# https://docs.cloud.google.com/tpu/docs/v6e, read in November 2026.
TPU_V6E = Chip('TPU v6e', 918e12, 32e9, 1638e9, 400e9)


def scale_config(
    config: ml_collections.ConfigDict,
    photos: int,
    batch_size: int,
    width: int,
    depth: int,
    base_photos: int = 11_414,
) -> None:
    """Carries a config over to more photos, a larger batch and a larger network D, in place.

    It keeps the number of times that training sees a photo, and the shares of the run that warm-up,
    validation and patience take. With k the ratio of the batch sizes, Adam's learning rate grows
    with sqrt(k), and 1 - b1 and 1 - b2 with k, as far as b1 = 0 (Malladi et al. 2022, "On the SDEs
    and scaling rules for adaptive gradient algorithms", section 5); SGD's grows with k (Goyal et
    al. 2017). The average of the parameters decays with the k-th power (Busbridge et al. 2023, "How
    to scale your EMA"). D's rate falls with its width (Yang et al. 2022, "Tensor programs V", table
    8: Adam on hidden layers).

    Args:
      config: for AdamW, or as `configs/celeba.py` sets it.
      photos: that will be trained on.
      batch_size: rows a step.
      width: of D.
      depth: of D.
      base_photos: that the config was made for.

    Raises:
      ValueError: an optimiser is not AdamW.
    """
    train, score = config.train, config.model.score
    ratio = batch_size / train.batch_size
    steps = photos / base_photos * train.num_steps / ratio
    shrink = steps / train.num_steps
    for name, own in (('score', score.width / width), ('refine', 1.0)):
        optimiser = config.optimiser[name]
        if optimiser.name != 'adamw':
            raise ValueError(f'optimiser.{name} is {optimiser.name}: the rule is for adamw')
        optimiser.learning_rate *= math.sqrt(ratio) * own
        optimiser.warmup_steps = round(optimiser.warmup_steps * shrink)
        optimiser.options.update(b1=max(0.0, 1 - 0.1 * ratio), b2=1 - 0.001 * ratio)
    train.batch_size = batch_size
    train.ema_decay **= ratio
    train.update(
        num_steps=round(steps),
        eval_every=round(train.eval_every * shrink),
        patience=round(train.patience * shrink),
    )
    score.update(width=width, depth=depth)


class Prediction(NamedTuple):
    """What training with a config should take; computed.

    Attributes:
      parameters: of D, R and the head.
      flops: a step, over all chips.
      state_bytes: parameters, their average, Adam's moments and gradients, a chip.
      data_bytes: prepared rows, a chip.
      compute_seconds, memory_seconds, link_seconds: a step: matrix products; reading and writing
        the state; sums of gradients over the chips. Taken one after the other.
    """

    parameters: int
    flops: float
    state_bytes: float
    data_bytes: float
    compute_seconds: float
    memory_seconds: float
    link_seconds: float

    @property
    def step_seconds(self) -> float:
        """Of a step."""
        return self.compute_seconds + self.memory_seconds + self.link_seconds


def predict(
    config: ml_collections.ConfigDict, sizes: ModelSizes, photos: int, chips: int, chip: Chip
) -> Prediction:
    """What training should take on some chips, with D and R replicated and rows cut over them.

    Args:
      config: the whole config.
      sizes: of the data.
      photos: trained on; each with the sentences that `config.captions` says.
      chips: how many.
      chip: which.
    """
    count = _parameters(config, sizes)
    flops, parameters = step_flops(config, count['score'], count['refine']), sum(count.values())
    texts = photos * (config.captions.full + config.captions.partial)
    numbers = photos * (sizes.embedding_dim + 1) + texts * (sizes.condition_dim + 1)
    reached = chip.utilisation
    # Adam reads p, g, m, v and the average, and writes all but g. Two losses have gradients, whose
    # norms are told apart: both are kept, and summed round a ring of chips.
    state, moved = 6 * _FLOAT32 * parameters, 9 * _FLOAT32 * parameters
    summed = 2 * 2 * (chips - 1) / chips * _FLOAT32 * parameters
    return Prediction(
        parameters=parameters,
        flops=flops,
        state_bytes=state,
        data_bytes=_FLOAT32 * numbers / chips,
        compute_seconds=flops / (chips * chip.flops * reached),
        memory_seconds=moved / (chip.memory_rate * reached),
        link_seconds=summed / (chip.link_rate * reached),
    )


def step_flops(config: ml_collections.ConfigDict, score: int, refine: int) -> float:
    """FLOPs of matrix products in a joint step.

    Every weight costs 2 FLOPs a row forwards and 4 backwards. D sees a row once to denoise, and
    once a step of the recovery; R sees a text and two photos a row. The contrast multiplies B texts
    with 2 B photos of F numbers: once forwards, once again and twice in the gradients backwards.

    Args:
      config: the whole config.
      score: parameters of D.
      refine: parameters of R.
    """
    rows, features = config.train.batch_size, config.model.refine.feature_dim
    networks = 6 * (score * (1 + config.contrast.num_steps) + refine * 3)
    return rows * networks + 4 * 2 * rows * 2 * rows * features


def prediction_summary(config: ml_collections.ConfigDict, plan: Prediction, chips: int) -> str:
    """A plan, and what `scale_config` made of the config, in lines for the config's docstring."""
    train, score, refine = config.train, config.optimiser.score, config.optimiser.refine
    b1, b2 = score.options.b1, score.options.b2
    seconds = (*(plan.compute_seconds, plan.memory_seconds, plan.link_seconds), plan.step_seconds)
    products, memory, links, step = (f'{1e3 * part:.1f}' for part in seconds)
    state, rows = (f'{size / 1e9:.1f} GB' for size in (plan.state_bytes, plan.data_bytes))
    millions, tera = f'{plan.parameters / 1e6:.1f} M', f'{plan.flops / 1e12:.2f} TFLOP'
    lines = {
        'rows': f'{train.batch_size:,} a step, {train.batch_size // chips:,} a chip',
        'steps': f'{train.num_steps:,} at most, {score.warmup_steps:,} of them to warm up',
        'rates': f'{score.learning_rate:.3g} for D, {refine.learning_rate:.3g} for R',
        'decay': f'b1 {b1:.3g}, b2 {b2:.3g}; of the average {train.ema_decay:.3f} a step',
        'network': f'{millions} parameters, {tera} a step',
        'memory': f'{state} of state, {rows} of rows a chip',
        'a step': f'{step} ms: {products} of products, {memory} of memory, {links} of links',
        'all': f'{train.num_steps * plan.step_seconds:.0f} s',
    }
    return ''.join(f'    {name:8}  {value}\n' for name, value in lines.items())


def _parameters(config: ml_collections.ConfigDict, sizes: ModelSizes) -> dict[str, int]:
    """Counts them in D ('score'), R ('refine') and the head."""
    state = jax.eval_shape(functools.partial(states.init_state, config, sizes), jax.random.key(0))
    return {
        name: sum(leaf.size for leaf in jax.tree.leaves(part))
        for name, part in state.params.items()
    }
