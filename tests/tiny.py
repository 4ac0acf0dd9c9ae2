"""The main config, made small."""

from configs import celeba


def config():
    config = celeba.get_config()
    config.model.score.update(width=16, depth=1)
    config.model.refine.update(feature_dim=16, width=16)
    config.train.update(
        batch_size=16, num_steps=20, eval_every=5, steps_per_dispatch=2, patience=1000
    )
    config.captions.update(full=1, partial=1, coverage=(1.0,))
    config.encoders.update(appearance_dim=4, text_layers='last')
    config.evaluate.update(draws=2, resamples=20, galleries=(10, 0), literal_num_steps=3)
    config.evaluate.update(
        path_num_steps=3, photos_per_attribute=10, num_failure_cases=2, num_examples=1
    )
    config.sweep.update(num_texts=20, num_steps=(1, 2), num_samples=(1, 2), guidance=(1.0,))
    config.ablate.num_steps = 4
    config.evaluate.two_tower.update(width=16, feature_dim=16, num_steps=20, eval_every=10)
    return config


def config_of_simulated(root):
    """The config of tests that train on the simulated people of a population, in `root`.

    Tests with the same config share their compiled programs.
    """
    small = config()
    small.data.root = str(root)
    small.data.shares = (0.4, 0.3, 0.3)
    small.simulated.update(people=60, photos=2)
    small.train.steps_per_dispatch = 5  # as many as between evaluations: compiles once
    small.captions.update(full=1, partial=0)
    small.evaluate.update(photos_per_attribute=1, galleries=(0,))
    for half in ('score', 'refine'):
        small.optimiser[half].update(learning_rate=0.01, warmup_steps=5)
    return small
