"""Configs: the settings of runs. `--config=celeba` or `--config=configs/celeba.py` selects one.

A config is a file with a function `get_config()`. To start from another config, load it by name;
this works in a checkout, in an installed package and in files of your own:

    from diface_jax.runtime import config_files

    def get_config():
        config = config_files.load_config('celeba')
        config.train.num_steps = 500
        return config
"""
