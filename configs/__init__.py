"""The settings of runs. `--config=celeba` or `--config=configs/celeba.py` names one, in any folder.

A config is a file with a function `get_config()`. One that starts from another asks for it by name,
which works in a checkout, in an installed package and in files of your own:

    from diface_jax import config_files

    def get_config():
        config = config_files.load('celeba')
        config.train.num_steps = 500
        return config
"""
