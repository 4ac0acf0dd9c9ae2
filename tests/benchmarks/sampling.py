"""DDIM from texts to embeddings, beside the same denoiser in PyTorch under diffusers' scheduler.

python -m tests.benchmarks.sampling [TEXTS [NUM_STEPS [NUM_SAMPLES [REPEATS]]]]

The network is the main config's with random parameters. Both start from the same noise, and must
recover the same embeddings. Prints a line of JSON. Needs the extra [bench].
"""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import torch
from diffusers import DDIMScheduler

from configs import celeba
from diface_jax.diffusion import schedule
from diface_jax.models.diface import Sampling, build_model, init_networks
from tests.benchmarks import timing, torch_networks

EMBEDDING_DIM, CONDITION_DIM = 384, 2688
LEVELS = 1000


def scheduler(num_steps: int) -> DDIMScheduler:
    """Diffusers' DDIM on our noise schedule, at our times."""
    time_L = jnp.arange(1, LEVELS + 1) / LEVELS
    signal_L = np.array(jax.nn.sigmoid(schedule.cosine(time_L)), np.float64)
    ddim = DDIMScheduler(
        num_train_timesteps=LEVELS,
        trained_betas=1 - signal_L / np.append(1.0, signal_L[:-1]),
        clip_sample=False,
        prediction_type='sample',
        timestep_spacing='trailing',
    )
    ddim.alphas_cumprod = torch_networks.put(signal_L.astype(np.float32))
    ddim.set_timesteps(num_steps)
    return ddim


@torch.inference_mode()
def sample(
    network: torch.nn.Module,
    ddim: DDIMScheduler,
    c_BxC: torch.Tensor,
    x_T_BxKxD: torch.Tensor,
) -> torch.Tensor:
    """The mean of K samples a text, x0_BxD, as one writes it in PyTorch."""
    x = x_T_BxKxD.flatten(0, 1)
    c = c_BxC.repeat_interleave(x_T_BxKxD.shape[1], dim=0)
    for step in ddim.timesteps:
        signal = ddim.alphas_cumprod[step]
        log_snr_Bx1 = (signal / (1 - signal)).log().expand(len(x), 1)
        x = ddim.step(network(x, log_snr_Bx1, c), step, x).prev_sample
    return x.view(x_T_BxKxD.shape).mean(dim=1)


def main(texts: int = 256, num_steps: int = 10, num_samples: int = 16, repeats: int = 9) -> None:
    """Compares the embeddings, then prints the line."""
    config = celeba.get_config()
    sampling = Sampling(num_steps, num_samples)
    model = build_model(config.model, 'cosine', EMBEDDING_DIM, CONDITION_DIM)
    key = jax.random.key(0)
    params = init_networks(config.model, EMBEDDING_DIM, CONDITION_DIM, key)
    # Blocks start as the identity: moved, so that every part matters.
    params = jax.tree.map(lambda leaf: leaf + 0.02 * jax.random.normal(key, leaf.shape), params)
    c_BxC = jax.random.normal(key, (texts, CONDITION_DIM))
    shape = texts, num_samples, EMBEDDING_DIM
    x_T_BxKxD = jax.random.normal(jax.random.split(key)[0], shape)  # as `recover` draws it
    recover = jax.jit(lambda params, c_BxC, key: model.recover(params, c_BxC, key, sampling))

    widths, score = (EMBEDDING_DIM, CONDITION_DIM), config.model.score
    peer = torch_networks.ScoreNetwork(widths, score.width, score.depth, score.dropout).eval()
    torch_networks.load(peer, params['score'])
    ddim, given = scheduler(num_steps), [torch_networks.put(x) for x in (c_BxC, x_T_BxKxD)]
    work = {
        'ours': lambda: np.asarray(recover(params, c_BxC, key)),
        'diffusers, PyTorch': lambda: sample(peer, ddim, *given).cpu(),
    }
    if torch_networks.DEVICE.type == 'cuda':
        compiled = torch.compile(peer)
        work['diffusers, PyTorch compiled'] = lambda: sample(compiled, ddim, *given).cpu()
    torch.backends.cuda.matmul.allow_tf32 = True  # as ours
    x0_BxD, atol = work['ours'](), 5e-3 if torch_networks.DEVICE.type == 'cuda' else 1e-3
    for peer_name in list(work)[1:]:
        np.testing.assert_allclose(work[peer_name](), x0_BxD, atol=atol)
    name = f'DDIM of {texts} texts, {num_steps} steps, {num_samples} samples'
    timing.compare(name, work, repeats)


if __name__ == '__main__':
    main(*map(int, sys.argv[1:]))
