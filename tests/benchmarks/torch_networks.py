"""D and R in PyTorch, written plainly, with the parameters of ours: the peer of two comparisons."""

from typing import Any

import jax
import numpy as np
import torch
from torch import nn
from torch.nn import functional

DEVICE = torch.device('cuda' if torch.cuda.is_available() else 'cpu')


class Block(nn.Module):
    """A residual block modulated by y."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, eps=1e-6, elementwise_affine=False)
        self.modulation = nn.Linear(width, 3 * width)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, h_BxH: torch.Tensor, y_BxH: torch.Tensor) -> torch.Tensor:
        """The next h_BxH."""
        shift, scale, gate = self.modulation(y_BxH).chunk(3, dim=-1)
        hidden = functional.silu(self.up(self.norm(h_BxH) * (1 + scale) + shift))
        return h_BxH + gate * self.down(self.dropout(hidden))


class ScoreNetwork(nn.Module):
    """D that predicts x0; takes no observation."""

    def __init__(self, widths: tuple[int, int], width: int, depth: int, dropout: float) -> None:
        super().__init__()
        embedding_dim, condition_dim = widths
        self.embed_x = nn.Linear(embedding_dim + width, width)
        self.embed_c, self.embed_t = nn.Linear(condition_dim, width), nn.Linear(width, width)
        self.no_c = nn.Parameter(torch.zeros(condition_dim))
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList([Block(width, dropout) for _ in range(depth)])
        self.norm, self.out = nn.LayerNorm(width, eps=1e-6), nn.Linear(width, embedding_dim)
        frequency_H = torch.logspace(-1, 1, width // 2)
        self.register_buffer('frequency_H', frequency_H, persistent=False)

    def forward(
        self,
        x_t_BxD: torch.Tensor,
        log_snr_Bx1: torch.Tensor,
        c_BxC: torch.Tensor,
        keep_c_Bx1: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The estimate of x0."""
        angle_BxH = log_snr_Bx1 * self.frequency_H
        time = self.embed_t(torch.cat([angle_BxH.sin(), angle_BxH.cos()], dim=-1))
        if keep_c_Bx1 is not None:
            c_BxC = torch.where(keep_c_Bx1, c_BxC, self.no_c)
        y_BxH = self.dropout(functional.silu(time + self.embed_c(c_BxC)))
        h_BxH = self.embed_x(torch.cat([x_t_BxD, y_BxH], dim=-1))
        for block in self.blocks:
            h_BxH = block(h_BxH, y_BxH)
        return self.out(self.norm(h_BxH))


class RefinementNetwork(nn.Module):
    """R."""

    def __init__(self, embedding_dim: int, feature_dim: int, width: int, dropout: float) -> None:
        super().__init__()
        self.linear = nn.Linear(embedding_dim, feature_dim, bias=False)
        self.up, self.down = nn.Linear(embedding_dim, width), nn.Linear(width, feature_dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x0_BxD: torch.Tensor) -> torch.Tensor:
        """Unit vectors f_BxF."""
        hidden = self.dropout(functional.silu(self.up(x0_BxD)))
        return functional.normalize(self.linear(x0_BxD) + self.down(hidden), dim=-1)


def load(network: nn.Module, params: Any) -> None:
    """Copies the parameters of our network of the same kind, and moves the network to `DEVICE`."""
    network.load_state_dict({name: torch.tensor(array) for name, array in as_torch(params)})
    network.to(DEVICE)


def put(array: Any) -> torch.Tensor:
    """A copy of an array, on `DEVICE`."""
    return torch.tensor(np.array(array), device=DEVICE)


def wait() -> None:
    """Until `DEVICE` has done its work."""
    if DEVICE.type == 'cuda':
        torch.cuda.synchronize()


def as_torch(params: Any) -> list[tuple[str, np.ndarray]]:
    """Our parameters, or their gradients, by PyTorch's names and in its layout."""
    arrays = []
    for path, leaf in jax.tree_util.tree_flatten_with_path(params)[0]:
        name = jax.tree_util.keystr(path, simple=True, separator='.').removesuffix('.value')
        head, _, last = name.rpartition('.')
        array = np.array(leaf).T if last == 'kernel' else np.array(leaf)
        last = 'weight' if last in ('kernel', 'scale') else last
        arrays.append((f'{head}.{last}' if head else last, array))
    return arrays
