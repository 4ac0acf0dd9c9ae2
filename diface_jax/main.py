"""DiFace in JAX: recognises faces from sentences (arXiv 2312.01367).

For those who study cross-modal recognition, and for those who look for photographs in their own
collections by words. A model is trained once, on photographs with labels or sentences::

  diface --config=celeba --config.data.root=CELEBA --workdir=WORKDIR
  diface --config=celeba --config.data.root=CELEBA --workdir=WORKDIR --config.train.num_steps=500

and then searches galleries::

  diface --mode=enroll --workdir=WORKDIR --gallery=GALLERY --photos=PHOTOS
  diface --mode=search --workdir=WORKDIR --gallery=GALLERY --text="a man with a short beard"
  diface --mode=verify --workdir=WORKDIR --photo=PHOTO --text="a man with a short beard"

--config takes a file, or the name of a config that comes with the project. What was interrupted
goes on when the same command is given again. Exit codes: 0 done, or a match; 2 no match; 1 an
error; 75 stopped by SIGTERM, to be gone on with.

Limits: a sentence fits many people, so most of those it finds are somebody else. A result is a
reason to look, never evidence; not for law enforcement, surveillance, hiring, credit or
immigration. README.md says how often it is wrong, and for whom.
"""

import logging as std_logging
import pathlib
import sys

import jax
from absl import app, flags, logging
from ml_collections import config_flags

from diface_jax import config_files, hosts, jobs, preemption
from diface_jax.gallery import commands

_CONFIG = config_flags.DEFINE_config_file(
    'config',
    None,
    'Settings: a file, or a config of the project by name, such as celeba; change one with '
    '--config.name=value.',
)
flags.FLAGS['config'].parser = config_files.ConfigParser('config')
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
_RESUME_FROM = flags.DEFINE_integer(
    'resume_from',
    None,
    'train: go on from the checkpoint of this step, and delete those after it; without it, from '
    'the newest.',
    lower_bound=1,
)
_DISTRIBUTED = flags.DEFINE_bool(
    'distributed',
    False,
    'One of several hosts (on GPUs, processes), each started with this same command: a TPU pod, '
    'GKE, SLURM or Open MPI, found by JAX. The workdir must be the same folder on all.',
)
_COORDINATOR = flags.DEFINE_string(
    'coordinator', None, 'HOST:PORT of process 0, where --distributed finds no cluster.'
)
_NUM_PROCESSES = flags.DEFINE_integer('num_processes', None, 'How many; goes with --coordinator.')
_PROCESS_ID = flags.DEFINE_integer(
    'process_id', None, 'Which one this is, from 0; goes with --coordinator.'
)

_LOST = (
    'If another host has ended, its log says why. The same command on all hosts goes on from here.'
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
    preemption.listen()
    try:
        sys.exit(_run())
    except (ImportError, OSError, ValueError, FloatingPointError) as error:
        logging.debug('what happened', exc_info=True)
        hosts.leave(f'{_MODE.value}: {error}')
    except jax.errors.JaxRuntimeError as error:
        if not hosts.several():
            raise
        hosts.leave(f'{_MODE.value}: {error}\n{_LOST}')
    except preemption.Preempted as stop:
        print(stop, file=sys.stderr)
        leave = sys.exit if stop.everywhere else hosts.leave
        leave(stop.exit_code)
    except KeyboardInterrupt:
        hosts.leave(preemption.interrupt_message(_MODE.value))


def _run() -> int:
    """Starts the hosts and does what the mode says; returns the exit code."""
    hosts.start(_DISTRIBUTED.value, _COORDINATOR.value, _NUM_PROCESSES.value, _PROCESS_ID.value)
    if not hosts.is_first():
        logging.set_verbosity(logging.WARNING)
    if _MODE.value in commands.MODES:
        return commands.run(_MODE.value, _WORKDIR.value)
    workdir = pathlib.Path(_WORKDIR.value)
    jobs.run(_MODE.value, _CONFIG.value, workdir, _OVERWRITE.value, _RESUME_FROM.value)
    return 0


def cli() -> None:
    """The command line."""
    flags.adopt_module_key_flags(commands)
    flags.register_multi_flags_validator(
        ['mode', 'config', 'workdir'],
        lambda given: given['mode'] in commands.MODES or (given['config'] and given['workdir']),
        '--config and --workdir must be given',
    )
    app.run(main, flags_parser=_parse)


def _parse(argv: list[str]) -> list[str]:
    """What is left of the arguments; a setting that the config does not have is an error."""
    try:
        return app.parse_flags_with_usage(argv)
    except AttributeError as error:
        sys.exit(f'--config: no such setting or attribute: {error}')


if __name__ == '__main__':
    cli()
