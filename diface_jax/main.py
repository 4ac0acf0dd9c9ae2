"""The command line: `python -m diface_jax.main --config=... --workdir=...`. No logic here."""

import logging as std_logging
import pathlib
import sys

from absl import app, flags, logging
from ml_collections import config_flags

from diface_jax import jobs
from diface_jax.gallery import commands

_CONFIG = config_flags.DEFINE_config_file(
    'config', None, 'Settings, such as configs/celeba.py; change one with --config.name=value.'
)
_WORKDIR = flags.DEFINE_string('workdir', None, 'Where everything this run makes is kept.')
_MODE = flags.DEFINE_enum(
    'mode',
    'all',
    (*jobs.MODES, *commands.MODES),
    'What to do: prepare (photos and labels to embeddings and sentences), train, evaluate, report '
    '(a page of the results), or all four in order; sweep (what T~, K, guidance and eta cost and '
    'bring, on validation); ablate (what each part of DiFace brings: trains a model a row); '
    'fit_population (averages of a prepared data set, to draw simulated people from). What '
    'is there already is not done again; what was interrupted goes on. With a trained model, and '
    'no --config: enroll (photographs into a gallery, or a gallery to a new model), search (faces '
    'by a description), identify (people), verify (one photograph), delete, serve (a page in the '
    'browser).',
)
_OVERWRITE = flags.DEFINE_bool(
    'overwrite', False, 'Replace what was made with other settings, instead of stopping.'
)


def main(argv: list[str]) -> None:
    """Runs the jobs of a mode."""
    if len(argv) > 1:
        raise app.UsageError(f'unexpected arguments: {" ".join(argv[1:])}')
    logging.set_verbosity(logging.INFO)
    # What libraries do inside (a checkpoint's threads, back ends JAX did not find) stays inside.
    std_logging.getLogger('jax').setLevel(std_logging.WARNING)
    logging.get_absl_logger().addFilter(
        lambda record: record.levelno > std_logging.INFO or 'diface_jax' in record.pathname
    )
    try:
        if _MODE.value in commands.MODES:
            sys.exit(commands.run(_MODE.value, _WORKDIR.value))
        jobs.run(_MODE.value, _CONFIG.value, pathlib.Path(_WORKDIR.value), _OVERWRITE.value)
    except (ImportError, OSError, ValueError, FloatingPointError) as error:
        logging.debug('what happened', exc_info=True)
        sys.exit(f'{_MODE.value}: {error}')
    except KeyboardInterrupt:
        sys.exit('interrupted; the same command goes on from here')


def cli() -> None:
    """The console script `diface`."""
    flags.adopt_module_key_flags(commands)
    flags.register_multi_flags_validator(
        ['mode', 'config', 'workdir'],
        lambda given: given['mode'] in commands.MODES or (given['config'] and given['workdir']),
        '--config and --workdir must be given',
    )
    app.run(main)


if __name__ == '__main__':
    cli()
