"""Scales a config to larger batches and networks, and predicts the cost of training with it.

Nothing here is measured. The rules start from `configs/celeba.py`, whose results were measured; the
scaled configs were not trained. The times come from a model of a chip with an assumed utilisation
and links without latency, and may be wrong by a factor of two or three.
"""

import functools
import math
from typing import NamedTuple

import jax
import ml_collections

from diface_jax.runtime.settings import Settings
from diface_jax.training.state import ModelSizes, init_params

_FLOAT32 = 4  # bytes


class Chip(NamedTuple):
    """Peak performance of a chip, as its maker states it, and an assumed utilisation.

    Attributes:
      name: of the chip.
      flops: peak of bfloat16 matrix products, FLOP/s.
      memory: bytes.
      memory_rate: memory bandwidth, bytes/s.
      link_rate: bandwidth of all links to other chips, in one direction, bytes/s.
      neighbour_rate: bandwidth to the next chip on a ring, in one direction, bytes/s: of one link
        of a TPU; of all links of a GPU, which a switch connects.
      utilisation: share of the peaks of FLOP/s and bandwidth that is reached. Assumed.
    """

    name: str
    flops: float
    memory: float
    memory_rate: float
    link_rate: float
    neighbour_rate: float
    utilisation: float = 0.3


# https://docs.cloud.google.com/tpu/docs/v6e, read in November 2026.
TPU_V6E = Chip('TPU v6e', 918e12, 32e9, 1638e9, 400e9, 100e9)


def scale_config(
    config: ml_collections.ConfigDict,
    photos: int,
    batch_size: int,
    width: int,
    depth: int,
    base_photos: int = 11_414,
) -> None:
    """Scales a config to more photos, a larger batch and a larger network D, in place.

    It keeps the number of epochs, and warm-up, the interval of validations and patience as shares
    of the run. With k the ratio of the batch sizes, Adam's learning rate grows
    with sqrt(k), and 1 - b1 and 1 - b2 with k, as far as b1 = 0 (Malladi et al. 2022, "On the SDEs
    and scaling rules for adaptive gradient algorithms", section 5); SGD's grows with k (Goyal et
    al. 2017). The average of the parameters decays with the k-th power (Busbridge et al. 2023, "How
    to scale your EMA"). D's rate falls with its width (Yang et al. 2022, "Tensor programs V", table
    8: Adam on hidden layers).

    Args:
      config: with AdamW as the optimiser of both networks, such as `configs/celeba.py`.
      photos: number of training photos.
      batch_size: rows a step.
      width: new width of D.
      depth: new depth of D.
      base_photos: number of training photos that the config was made for.

    Raises:
      ValueError: an optimiser is not AdamW.
    """
    train, score = config.train, config.model.score
    ratio = batch_size / train.batch_size
    steps = photos / base_photos * train.num_steps / ratio
    shrink = steps / train.num_steps
    for name, width_factor in (('score', score.width / width), ('refine', 1.0)):
        optimiser = config.optimiser[name]
        if optimiser.name != 'adamw':
            raise ValueError(f'optimiser.{name} is {optimiser.name}: the rule is for adamw')
        optimiser.learning_rate *= math.sqrt(ratio) * width_factor
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
    """The predicted cost of training with a config.

    Attributes:
      parameters: number of parameters of D, R and the head.
      flops: FLOPs a step, over all chips.
      state_bytes: bytes a chip of parameters, their average, Adam's moments and gradients.
      data_bytes: bytes a chip of prepared rows.
      compute_seconds, memory_seconds, link_seconds: time a step of matrix products, of reading and
        writing the state, and of summing gradients over the chips and sending texts round the ring
        of the contrastive loss; assumed not to overlap.
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
        """Time of a step."""
        return self.compute_seconds + self.memory_seconds + self.link_seconds


def predict(
    settings: Settings, sizes: ModelSizes, photos: int, chips: int, chip: Chip
) -> Prediction:
    """Predicts the cost of training on several chips, with networks replicated and rows cut.

    Args:
      settings: of the run.
      sizes: of the data.
      photos: number of training photos, each with as many sentences as `captions` states.
      chips: number of chips.
      chip: their kind.
    """
    counts = _count_parameters(settings, sizes)
    parameters = sum(counts.values())
    read = sizes.condition_dim * settings.model.score.width
    flops = step_flops(settings, counts['score'], counts['refine'], read)
    texts = photos * (settings.captions.full + settings.captions.partial)
    numbers = photos * (sizes.embedding_dim + 1) + texts * (sizes.condition_dim + 1)
    reached = chip.utilisation
    # Adam reads p, g, m, v and the average, and writes all but g. Gradients of the joint loss are
    # summed over a ring of chips.
    state, moved = 5 * _FLOAT32 * parameters, 9 * _FLOAT32 * parameters
    summed = 2 * (chips - 1) / chips * _FLOAT32 * parameters
    ring = ring_bytes(settings.train.batch_size, settings.model.refine.feature_dim, chips)
    return Prediction(
        parameters=parameters,
        flops=flops,
        state_bytes=state,
        data_bytes=_FLOAT32 * numbers / chips,
        compute_seconds=flops / (chips * chip.flops * reached),
        memory_seconds=moved / (chip.memory_rate * reached),
        link_seconds=(summed / chip.link_rate + ring / chip.neighbour_rate) / reached,
    )


def ring_bytes(rows: int, features: int, chips: int) -> float:
    """Bytes that a chip sends to the next one in a step, for `training.contrastive_loss`.

    Each text passes each chip twice: forwards with its features, 3 marks and 3 sums, backwards with
    features, their gradient, 3 marks and 2 sums. Where the compiler sends features in bfloat16, as
    for TPUs, it is a third less.

    Args:
      rows: of a step, over all chips.
      features: width of R's output.
      chips: number of chips.
    """
    return _FLOAT32 * rows * (3 * features + 11) if chips > 1 else 0.0


def step_flops(settings: Settings, score: int, refine: int, read: int) -> float:
    """FLOPs of matrix products in a joint step.

    Every weight costs 2 FLOPs a row forwards and 4 backwards. D processes a row once to denoise it,
    and once for each step of the recovery, but reads its text once, and the text has no gradient. R
    processes a text and two photos a row. The contrast
    multiplies B texts by 2 B photos of F numbers: once forwards and three times backwards (logits
    again, and two gradients).

    Args:
      settings: of the run.
      score: number of parameters of D.
      refine: number of parameters of R.
      read: number of D's parameters that read the text.
    """
    rows, features = settings.train.batch_size, settings.model.refine.feature_dim
    networks = 6 * ((score - read) * (1 + settings.contrast.num_steps) + refine * 3) + 4 * read
    return rows * networks + 4 * 2 * rows * 2 * rows * features


def prediction_summary(settings: Settings, plan: Prediction, chips: int) -> str:
    """The scaled settings and the predicted cost, as lines for the docstring of a config."""
    train, score, refine = settings.train, settings.optimiser.score, settings.optimiser.refine
    b1, b2 = score.options['b1'], score.options['b2']
    seconds = plan.step_seconds, plan.compute_seconds, plan.memory_seconds, plan.link_seconds
    step, products, memory, links = (f'{1e3 * part:.1f}' for part in seconds)
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


def _count_parameters(settings: Settings, sizes: ModelSizes) -> dict[str, int]:
    """The number of parameters of D ('score'), R ('refine') and the head."""
    init = functools.partial(init_params, settings.model, settings.contrast, settings.margin, sizes)
    params = jax.eval_shape(init, jax.random.key(0))
    return {name: sum(leaf.size for leaf in jax.tree.leaves(part)) for name, part in params.items()}
