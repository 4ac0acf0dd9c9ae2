"""The joint training step, beside PyTorch: the same networks, losses and optimisers.

python -m tests.benchmarks.training_step [BATCH [STEPS [REPEATS]]]

The settings are the main config's; the data are made up. Without dropout and with the same noise,
losses and gradients must be equal; then both are timed as they train, STEPS steps each time, which
is one dispatch of ours. PyTorch runs eagerly, and on a GPU also compiled, with a fused optimiser
and TF32 products as ours. Prints a line of JSON. Needs [bench].
"""

import copy
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import ml_collections
import numpy as np
import torch
from torch.nn import functional

from configs import celeba
from diface_jax.data.batches import Batch
from diface_jax.diffusion import schedule
from diface_jax.runtime import mesh as meshes
from diface_jax.training import state as states
from diface_jax.training.input_pipeline import TrainingTable
from diface_jax.training.step import make_steps
from tests.benchmarks import timing, torch_networks

TEXTS_A_PHOTO, PEOPLE = 3, 1600
LEAST_PHOTOS = 4000
SIZES = states.ModelSizes(embedding_dim=384, condition_dim=2688, num_identities=PEOPLE)
KEY = 0
CHECKED = 128  # rows of the batch whose losses and gradients are compared


def made_up_table(photos: int) -> TrainingTable:
    """Random photos and texts."""
    rng = np.random.default_rng(0)
    texts = photos * TEXTS_A_PHOTO
    return TrainingTable(
        x0_NxD=rng.standard_normal((photos, SIZES.embedding_dim), np.float32),
        identity_N=rng.integers(0, PEOPLE, photos).astype(np.int32),
        c_TxC=rng.standard_normal((texts, SIZES.condition_dim), np.float32),
        sentence_T=rng.integers(0, texts // 2, texts).astype(np.int32),
    )


def made_up_batches(steps: int, batch_size: int, photos: int) -> Batch:
    """Random rows of the table, a mate for each photo; fields [S, B]."""
    rng = np.random.default_rng(1)
    photo = np.stack([rng.permutation(photos)[:batch_size] for _ in range(steps)])
    text = TEXTS_A_PHOTO * photo + rng.integers(0, TEXTS_A_PHOTO, photo.shape)
    return Batch(*(x.astype(np.int32) for x in (photo, (photo + 1) % photos, text)))


def made_equal(config: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """The config without what is random in one network alone, and with gradients as its steps."""
    equal = copy.deepcopy(config)
    equal.model.score.dropout = equal.model.refine.dropout = 0.0
    equal.diffusion.drop_text = equal.contrast.embedding_noise = 0.0
    for name in ('score', 'refine'):
        plain = {'name': 'sgd', 'learning_rate': 1.0, 'warmup_steps': 0, 'clip_norm': 1e9}
        equal.optimiser[name] = {**plain, 'options': {}}
    return equal


class Noise(NamedTuple):
    """What a step draws: times and noise of the denoising loss, and the start of the recovery."""

    log_snr_Bx1: torch.Tensor
    noise_BxD: torch.Tensor
    x_T_BxD: torch.Tensor


def our_noise(batch_size: int) -> Noise:
    """As our first step draws it (see `diface_jax/training/step.py`)."""
    denoise_key, refine_key = jax.random.split(jax.random.fold_in(jax.random.key(KEY), 0))
    time_key, noise_key = jax.random.split(jax.random.split(denoise_key, 3)[2])
    start_key = jax.random.split(jax.random.split(refine_key, 5)[0])[0]
    time_B = schedule.sample_times(time_key, batch_size, 1000)
    shape = batch_size, SIZES.embedding_dim
    drawn = (
        schedule.cosine(time_B)[:, None],
        jax.random.normal(noise_key, shape),
        jax.random.normal(start_key, shape),
    )
    return Noise(*map(torch_networks.put, drawn))


def cosine(time: torch.Tensor) -> torch.Tensor:
    """Log SNR of the cosine schedule."""
    start, end = np.arctan(np.exp(-6.0)), np.arctan(np.exp(6.0))
    return -2 * torch.log(torch.tan(start + time * (end - start)))


Losses = Callable[[list[torch.Tensor], Noise], tuple[torch.Tensor, torch.Tensor]]


class Peer:
    """The joint step as one writes it in PyTorch.

    Args:
      config: of the step.
      params: ours, to start from.
      table: the training data.
    """

    def __init__(
        self, config: ml_collections.ConfigDict, params: Any, table: TrainingTable
    ) -> None:
        self._config = config
        score, refine = config.model.score, config.model.refine
        widths = SIZES.embedding_dim, SIZES.condition_dim
        self.score = torch_networks.ScoreNetwork(widths, score.width, score.depth, score.dropout)
        self.refine = torch_networks.RefinementNetwork(
            SIZES.embedding_dim, refine.feature_dim, refine.width, refine.dropout
        )
        torch_networks.load(self.score, params['score'])
        torch_networks.load(self.refine, params['refine'])
        self.log_scale = torch.nn.Parameter(torch_networks.put(params['head']['log_scale']))
        self._groups = list(self.score.parameters()), [*self.refine.parameters(), self.log_scale]
        rates = {'lr': 1e-3, 'weight_decay': 0.01, 'fused': torch_networks.DEVICE.type == 'cuda'}
        self._optimisers = [torch.optim.AdamW(group, **rates) for group in self._groups]
        self._params = [parameter for group in self._groups for parameter in group]
        self._average = [parameter.detach().clone() for parameter in self._params]
        self._table = TrainingTable(*(None if x is None else torch_networks.put(x) for x in table))
        self._on_device = {'device': torch_networks.DEVICE}

    def draw(self, batch_size: int) -> Noise:
        """Times, stratified over the batch, and noise."""
        stratum_B = torch.randperm(batch_size, **self._on_device)
        time_B = 1 - (stratum_B + torch.rand(batch_size, **self._on_device)) / batch_size
        time_B = (time_B * 1000).ceil() / 1000
        shape = batch_size, SIZES.embedding_dim
        noise = [torch.randn(shape, **self._on_device) for _ in range(2)]
        return Noise(cosine(time_B)[:, None], *noise)

    def losses(self, batch: list[torch.Tensor], noise: Noise) -> tuple[torch.Tensor, torch.Tensor]:
        """The denoising loss and the refinement loss."""
        photo_B, mate_B, text_B = batch
        x0, mate, c = (
            self._table.x0_NxD[photo_B],
            self._table.x0_NxD[mate_B],
            self._table.c_TxC[text_B],
        )
        signal = noise.log_snr_Bx1.sigmoid()
        x_t = signal.sqrt() * x0 + (1 - signal).sqrt() * noise.noise_BxD
        keep = torch.rand(len(x0), 1, **self._on_device) >= self._config.diffusion.drop_text
        error = (self.score(x_t, noise.log_snr_Bx1, c, keep) - x0).square().mean(-1, keepdim=True)
        low, high = self._config.diffusion.snr_clip
        weight = noise.log_snr_Bx1.exp().clamp(low, high) / high
        recovered = self.score(noise.x_T_BxD, cosine(torch.ones(len(x0), 1, **self._on_device)), c)
        photos = torch.cat([x0, mate])
        photos = photos + self._config.contrast.embedding_noise * torch.randn_like(photos)
        marks = (
            self._table.identity_N[photo_B].repeat(2),
            torch.cat([photo_B, mate_B]),
            self._table.sentence_T[text_B].repeat(2),
        )
        contrast = self._contrast(self.refine(recovered), self.refine(photos), marks)
        return (weight * error).mean(), contrast

    def _contrast(
        self, f_text: torch.Tensor, f_photo: torch.Tensor, marks: tuple[torch.Tensor, ...]
    ) -> torch.Tensor:
        person, own, sentence = (mark[: len(f_text), None] == mark for mark in marks)
        positive = person + (self._config.contrast.same_photo_weight - 1) * own
        logits = f_text @ f_photo.T * self.log_scale.clamp(max=np.log(100.0)).exp()
        logits = logits.masked_fill(sentence & (positive == 0), -1e9)
        both = ((logits, positive), (logits.T, positive.T))
        return 0.5 * sum(
            -(weight / weight.sum(1, keepdim=True) * functional.log_softmax(z, 1)).sum(1).mean()
            for z, weight in both
        )

    def step(self, batch: list[torch.Tensor], losses: Losses) -> torch.Tensor:
        """One step by `losses`, its own or their compiled form; returns the loss."""
        loss = sum(losses(batch, self.draw(len(batch[0]))))
        loss.backward()
        for group, optimiser in zip(self._groups, self._optimisers, strict=True):
            torch.nn.utils.clip_grad_norm_(group, 1.0)
            optimiser.step()
            optimiser.zero_grad()
        torch._foreach_lerp_(self._average, [p.detach() for p in self._params], 0.005)
        return loss.detach()


def check(config: ml_collections.ConfigDict, table: TrainingTable, batch: Batch) -> None:
    """Compares losses and gradients of one step."""
    equal, mesh = made_equal(config), meshes.make_mesh()
    state = states.init_sharded(equal, SIZES, mesh)
    # Blocks start as the identity: moved, so that every part has a gradient.
    moved = jax.tree.map(
        lambda x: x + 0.02 * jax.random.normal(jax.random.key(1), x.shape), state.params
    )
    before = jax.tree.map(np.array, moved)
    peer = Peer(equal, before, table)
    with jax.default_matmul_precision('highest'):  # as PyTorch's default
        after, metrics = make_steps(equal, SIZES, mesh)(
            state.replace(params=moved), batch, table, jax.random.key(KEY)
        )
    losses = peer.losses(
        [torch_networks.put(x[0]).long() for x in batch[:3]], our_noise(batch[0].shape[1])
    )
    sum(losses).backward()
    ours = [float(metrics.mean[f'loss/{name}']) for name in ('denoise', 'refine')]
    np.testing.assert_allclose(ours, [float(x.detach()) for x in losses], rtol=1e-4)
    ours = jax.tree.map(lambda a, b: a - np.asarray(b), before, after.params)
    for name, network in (('score', peer.score), ('refine', peer.refine)):
        theirs = {
            key: p.grad.cpu().numpy() for key, p in network.named_parameters() if p.grad is not None
        }
        for key, gradient in torch_networks.as_torch(ours[name]):
            expected = theirs.get(key, np.zeros_like(gradient))
            np.testing.assert_allclose(
                gradient, expected, atol=1e-4 * np.abs(expected).max() + 1e-6
            )


def main(batch_size: int = 512, steps: int = 5, repeats: int = 7) -> None:
    """Compares losses and gradients, then prints the line."""
    config, mesh, photos = celeba.get_config(), meshes.make_mesh(), max(LEAST_PHOTOS, batch_size)
    table, batches = made_up_table(photos), made_up_batches(steps, batch_size, photos)
    check(config, table, made_up_batches(1, CHECKED, photos))
    torch.backends.cuda.matmul.allow_tf32 = True  # as ours
    state = states.init_sharded(config, SIZES, mesh)
    peer = Peer(config, jax.tree.map(np.array, state.params), table)
    given = [[torch_networks.put(x[step]).long() for x in batches[:3]] for step in range(steps)]
    on_device = jax.device_put((batches, table))
    dispatch, key = make_steps(config, SIZES, mesh), jax.random.key(KEY)
    ours = {'state': state}

    def run_ours() -> None:
        ours['state'], metrics = dispatch(ours['state'], *on_device, key)
        jax.block_until_ready(metrics)

    def run_peer(losses: Losses) -> None:
        for batch in given:
            peer.step(batch, losses)
        torch_networks.wait()

    work = {'ours': run_ours, 'PyTorch, eager': lambda: run_peer(peer.losses)}
    if torch_networks.DEVICE.type == 'cuda':
        torch.compiler.reset()  # else a second batch size is compiled for any
        compiled = torch.compile(peer.losses)
        work['PyTorch, compiled'] = lambda: run_peer(compiled)
    timing.compare(f'{steps} joint training steps, batch {batch_size}', work, repeats)


if __name__ == '__main__':
    main(*map(int, sys.argv[1:]))
