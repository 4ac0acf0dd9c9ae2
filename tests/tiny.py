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
