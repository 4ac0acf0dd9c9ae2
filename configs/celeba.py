"""DiFace on CelebA with dlib's face encoder and MiniLM: the main job."""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    """The settings; every one can be changed by `--config.section.name=value`."""
    return ml_collections.ConfigDict({
        'seed': 0,
        'data': {
            'root': '',  # the data set's folder
            'layout': 'auto',  # or celeba, celeb_a_tfds, lfw, folder
            # Of identities, for train, validation and test, where the data set brings no split.
            'shares': (0.8, 0.1, 0.1),
            'split_seed': 0,
        },
        'encoders': {'text': ''},  # MiniLM's folder or hub name; empty: the installed package
        'captions': {
            'seed': 0,
            'train_count': 4,  # sentences a training photo: one says all, the others a random share
            'said': (1.0, 0.5, 0.25),  # one each a validation or test photo; the first is measured by
        },
        'model': {
            'score': {'width': 256, 'depth': 3, 'dropout': 0.2, 'prediction': 'x0'},
            'refine': {'feature_dim': 128, 'width': 256, 'dropout': 0.3},
        },
        'diffusion': {
            'schedule': 'cosine',  # or linear
            'num_levels': 1000,  # T; 0 is continuous time
            'min_snr_gamma': 5.0,
            'drop_text': 0.1,
        },
        'contrast': {
            'num_steps': 1,  # DDIM steps by which the refinement loss recovers x0
            'temperature': 0.07,  # at the start; it is learned
            'embedding_noise': 0.3,  # on photos, in units of x0's standard deviation
        },
        'margin': {'kind': 'none', 'margin': 0.2, 'scale': 16.0, 'weight': 0.1},  # cosface, arcface
        'loss_weight': {'denoise': 1.0, 'refine': 1.0},
        'optimiser': {'score': _optimiser(), 'refine': _optimiser()},
        'train': {
            'batch_size': 512,
            'num_steps': 3000,
            'steps_per_dispatch': 10,
            'eval_every': 100,
            'patience': 1000,  # steps without a better validation before stopping
            'ema_decay': 0.995,
            'human_share': 0.25,  # of draws of a photo that has free-hand sentences
        },
        'sample': {'num_steps': 1, 'num_samples': 1, 'guidance': 1.0, 'eta': 0.0},
        'evaluate': {
            'root': '',  # another data set to test on; empty: the one trained on
            'layout': 'auto',
            'shares': (0.0, 0.0, 1.0),
            'split_seed': 0,
            'seed': 0,
            'draws': 10,
            'resamples': 1000,
            'galleries': (100, 1000, 0),  # people; 0 is all
            'literal_steps': 25,
            'towers': {
                'width': 256,
                'feature_dim': 128,
                'dropout': 0.3,
                'embedding_noise': 0.3,
                'temperature': 0.07,
                'learning_rate': 1e-3,
                'weight_decay': 0.01,
                'num_steps': 2000,
                'eval_every': 100,
            },
        },
    })


def _optimiser() -> dict:
    return {
        'name': 'adamw',
        'learning_rate': 1e-3,
        'warmup_steps': 100,
        'clip_norm': 1.0,
        'options': {'weight_decay': 0.01},
    }
