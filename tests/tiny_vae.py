"""Settings of a small VAE; tests that share them compile its step once."""

import ml_collections


def settings(seed=0):
    sizes = {'latent_dim': 8, 'width': 8, 'batch_size': 16}
    training = {'beta': 0.05, 'num_steps': 120, 'learning_rate': 5e-3, 'seed': seed}
    return ml_collections.ConfigDict(sizes | training)
