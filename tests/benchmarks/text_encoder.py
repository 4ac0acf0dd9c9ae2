"""Encodes captions of the grammar by MiniLM, beside sentence-transformers on PyTorch.

python -m tests.benchmarks.text_encoder [CAPTIONS [REPEATS]]

Ours pools three depths; the peer's vector is one of our six pools. Prints a line of JSON. Needs the
extra [bench].
"""

import os
import sys

import numpy as np
import sentence_transformers
import torch

from diface_jax.data.grammar import captions
from diface_jax.encoders.text import condition, encoder
from tests.benchmarks import timing, torch_networks

# Captions that the peer encodes at once: on a CPU its default.
BATCH = 256 if torch_networks.DEVICE.type == 'cuda' else 32


def sentences(count: int) -> list[str]:
    """Captions of people with random labels; no two are equal."""
    rng, made = np.random.default_rng(0), {}
    while len(made) < count:
        labels = {name: bool(rng.integers(2)) for name in captions.CELEBA_40}
        made[captions.caption(labels, rng, 1.0)] = None
    return list(made)


def load_peer() -> sentence_transformers.SentenceTransformer:
    """MiniLM with the package's weights, in float32."""
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    return sentence_transformers.SentenceTransformer(
        str(encoder._SHIPPED),
        device=str(torch_networks.DEVICE),
        model_kwargs={'dtype': torch.float32},
    )


def main(count: int = 400, repeats: int = 5) -> None:
    """Compares the vectors, then prints the line."""
    texts, ours, peer = sentences(count), encoder.load_text_encoder(), load_peer()
    work = {
        'ours': lambda: ours.encode(texts),
        'sentence-transformers': lambda: peer.encode(texts, batch_size=BATCH),
    }
    own_TxC = condition.sentence_vectors(work['ours']())
    np.testing.assert_allclose(work['sentence-transformers'](), own_TxC, atol=1e-4)
    timing.compare(f'{count} captions to vectors', work, repeats)


if __name__ == '__main__':
    main(*map(int, sys.argv[1:]))
