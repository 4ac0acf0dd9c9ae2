"""DiFace in JAX: recognises faces from sentences (arXiv 2312.01367).

For research on cross-modal recognition, and to find photographs in your own collection by a
description, with the model that comes with the package::

  diface --mode=enroll --gallery=GALLERY --photos=PHOTOS
  diface --mode=search --gallery=GALLERY --text="a man with a short beard"
  diface --mode=verify --photo=PHOTO --text="a man with a short beard"

Train a model of your own on photographs with labels or sentences, and write it as a pack::

  diface --config=celeba --config.data.root=CELEBA --workdir=WORKDIR
  diface --mode=pack --workdir=WORKDIR --out=PACK
  diface --mode=search --model=PACK --gallery=GALLERY --text="a man with a short beard"

--config takes a file, or the name of a config of the project. After an interruption, give the same
command again to continue. Exit codes: 0 done, or a match; 2 no match; 1 an error; 75 stopped by
SIGTERM, give the same command again; 130 interrupted by Ctrl-C.

Limits: a sentence fits many people, so most faces that it finds are of somebody else. A result is a
reason to look, never evidence. Do not use it for law enforcement, surveillance, hiring, credit or
immigration. README.md says how often it is wrong, and for whom.
"""

import difflib
import gc
import logging as std_logging
import pathlib
import sys

from absl import app, flags, logging
from ml_collections import config_flags

from diface_jax.cli import commands, modes
from diface_jax.runtime import (
    compilation_cache,
    config_files,
    devices,
    gpu_flags,
    hosts,
    preemption,
    versions,
)
from diface_jax.runtime.terminal import printable_lines

_CONFIG = config_flags.DEFINE_config_file(
    'config',
    None,
    'Settings: a file, or the name of a config of the project, such as celeba. Change one with '
    '--config.section.name=value.',
)
flags.FLAGS['config'].parser = config_files.ConfigParser('config')
_WORKDIR = flags.DEFINE_string(
    'workdir', None, 'Folder of all outputs of a training and its evaluation.'
)
_MODE = flags.DEFINE_enum(
    'mode',
    'all',
    modes.ALL,
    'What to do: check (whether a data set can be trained on, in seconds and without --workdir: '
    'photos, people, labels, sentences, splits and problems; exit code 1 if not), '
    'prepare (photos and labels to embeddings and sentences), train, evaluate, report '
    '(a page of the results), or all four in order; tune_text (trains adapters of the text '
    'encoder on a prepared data set, for config.encoders.text_adapters of another workdir); sweep '
    '(what T~, K, guidance and eta cost and bring, on validation); ablate (what each part of '
    'DiFace brings: trains a model a row); '
    'fit_population (averages of a prepared data set, to draw simulated people from); protocol '
    '(pairs, galleries and sentences of an evaluation as files, to measure another system, --out). '
    'What is there already is not done again; what was interrupted goes on. Without --config: pack '
    '(the model of a workdir as a small folder to search with, --out), and with a model (--model): '
    'export (its networks as StableHLO and ONNX, --out), '
    'enroll (photographs into a gallery, or a gallery to a new model), search (faces '
    'by a description), identify (people), verify (one photograph), delete, sync (brings the paths '
    'of a gallery up to date with the disk), serve (a page in the browser).',
)
_OVERWRITE = flags.DEFINE_bool(
    'overwrite', False, 'Replace what was made with other settings, instead of stopping.'
)
_OUT = flags.DEFINE_string(
    'out', None, 'pack, protocol, export: the folder to write the model pack, the files to.'
)
_SCORES = flags.DEFINE_string(
    'scores',
    None,
    'evaluate, all: measures another system too, by a file of its scores or embeddings (.npz, see '
    'docs/benchmark.md), and adds it to the results.',
)
_SCORES_NAME = flags.DEFINE_string(
    'scores_name', None, 'evaluate, all: name of that system. Default: that of the file.'
)
_RESUME_FROM = flags.DEFINE_integer(
    'resume_from',
    None,
    'train: continue from the checkpoint of this step and delete later ones. Default: from the '
    'newest.',
    lower_bound=1,
)
_DISTRIBUTED = flags.DEFINE_bool(
    'distributed',
    False,
    'Join the other hosts (on GPUs: processes) of a TPU pod, GKE, SLURM or Open MPI job, which JAX '
    'detects. Start all with this same command, and with a workdir that all of them share.',
)
_COORDINATOR = flags.DEFINE_string(
    'coordinator', None, 'HOST:PORT of process 0, for clusters that --distributed does not detect.'
)
_NUM_PROCESSES = flags.DEFINE_integer(
    'num_processes', None, 'Number of processes, with --coordinator.'
)
_PROCESS_ID = flags.DEFINE_integer(
    'process_id', None, 'Number of this process, from 0, with --coordinator.'
)

_VERSION = flags.DEFINE_bool('version', False, 'Print the versions of diface_jax, JAX and Python.')

_WITHOUT_DEVICES = ('report', 'delete')
# New objects until the garbage collector runs. Imports and traces create many that stay: with
# Python's default of 700 a search takes 0.13 s longer.
_NEW_OBJECTS = 50_000

_HOST_LOST = (
    'If another host has ended, its log says why. Give the same command on all hosts to continue.'
)
_OUT_OF_DEVICE_MEMORY = (
    'out of device memory: choose a smaller config.train.batch_size, config.model or '
    'config.sample.num_samples'
)


def main(argv: list[str]) -> None:
    """Runs a mode and exits; an error that a user can cause becomes one sentence."""
    if len(argv) > 1:
        sys.exit(_unexpected(argv[1]))
    logging.set_verbosity(logging.INFO)
    # Hide what libraries log about themselves: checkpoint threads, back ends that are not there.
    std_logging.getLogger('jax').setLevel(std_logging.WARNING)
    logging.get_absl_logger().addFilter(
        lambda record: record.levelno > std_logging.INFO or 'diface_jax' in record.pathname
    )
    preemption.install_handlers()
    try:
        sys.exit(_run())
    except (ImportError, OSError, ValueError, FloatingPointError) as error:
        logging.debug('traceback', exc_info=True)
        hosts.exit_program(f'{_MODE.value}: {printable_lines(str(error))}')
    except MemoryError as error:
        hosts.exit_program(f'{_MODE.value}: out of memory: {printable_lines(str(error))}')
    except RuntimeError as error:
        hosts.exit_program(f'{_MODE.value}: {_device_error(error)}')
    except preemption.Preempted as stop:
        print(stop, file=sys.stderr)
        leave = sys.exit if stop.everywhere else hosts.exit_program
        leave(stop.exit_code)
    except KeyboardInterrupt:
        print(preemption.interrupt_message(_MODE.value), file=sys.stderr)
        hosts.exit_program(preemption.INTERRUPTED_EXIT_CODE)


def _device_error(error: RuntimeError) -> str:
    """What to say of an error of JAX's devices; raises any other error."""
    import jax

    is_of_device = isinstance(error, jax.errors.JaxRuntimeError)
    if is_of_device and 'RESOURCE_EXHAUSTED' in str(error):
        return f'{_OUT_OF_DEVICE_MEMORY} ({str(error).splitlines()[0]})'
    if not is_of_device or not hosts.is_multihost():
        raise error
    return f'{error}\n{_HOST_LOST}'


def _run() -> int:
    """Joins the hosts and runs the mode, whose modules are imported only now; the exit code."""
    gc.set_threshold(_NEW_OBJECTS)
    gpu_flags.set_gpu_flags()
    hosts.join_hosts(
        _DISTRIBUTED.value, _COORDINATOR.value, _NUM_PROCESSES.value, _PROCESS_ID.value
    )
    if not hosts.is_first():
        logging.set_verbosity(logging.WARNING)
    if _MODE.value == 'check':
        if not _CONFIG.value:
            raise ValueError('give --config, such as --config=celeba')
        from diface_jax.data import check
        from diface_jax.runtime.settings import Settings

        return check.run_check(Settings.from_config(_CONFIG.value))
    if _MODE.value not in _WITHOUT_DEVICES:
        devices.require_devices()
        compilation_cache.keep_compiled_programs()
    if _MODE.value == 'export':
        return commands.export_model(_OUT.value, _OVERWRITE.value)
    if _MODE.value in modes.GALLERY:
        if _WORKDIR.value:
            raise ValueError('leave out --workdir: a model is given as --model=PACK_OR_WORKDIR')
        return commands.run_gallery_command(_MODE.value)
    from diface_jax.cli import pipeline

    if _MODE.value == 'pack':
        return pipeline.pack_model(_WORKDIR.value, _OUT.value, _OVERWRITE.value)
    if not _CONFIG.value or not _WORKDIR.value:
        raise ValueError('give --config and --workdir (or another --mode; see --help)')
    workdir = pathlib.Path(_WORKDIR.value)
    if _MODE.value == 'protocol':
        return pipeline.write_protocol_of(_CONFIG.value, workdir, _OUT.value, _OVERWRITE.value)
    added = None
    if _SCORES.value:
        if _MODE.value not in ('all', 'evaluate'):
            raise ValueError('--scores goes with --mode=evaluate')
        from diface_jax.evaluation.added_method import name_method

        added = name_method(_SCORES.value, _SCORES_NAME.value)
    pipeline.run_pipeline(
        _MODE.value, _CONFIG.value, workdir, _OVERWRITE.value, _RESUME_FROM.value, added
    )
    return 0


def cli() -> None:
    """The command line."""
    flags.adopt_module_key_flags(commands)
    flags.FLAGS['mode'].parser = _ModeParser(flags.FLAGS['mode'].parser.enum_values)
    app.run(main, flags_parser=_parse)


class _ModeParser(flags.EnumParser):
    """Reads the value of --mode; of a misspelt one it tells the nearest."""

    def parse(self, argument: str) -> str:
        """The mode; ValueError where there is none of that name."""
        if argument not in self.enum_values:
            raise ValueError(f'no such mode: {_nearest_mode(argument)}')
        return argument


def _parse(argv: list[str]) -> list[str]:
    """The arguments that are not flags; exits with a sentence about a flag that is wrong."""
    try:
        positional = flags.FLAGS(argv)
    except flags.Error as error:
        sys.exit(f'{error}\nSee --help for the flags, and configs/celeba.py for the settings.')
    except SystemExit:
        sys.exit(0)  # after --help, where absl exits with 1
    if _VERSION.value:
        print(versions.version_summary())
        sys.exit()
    return positional


def _unexpected(argument: str) -> str:
    return f'unexpected argument {argument!r}: {_nearest_mode(argument, "--mode=")}'


def _nearest_mode(word: str, prefix: str = '') -> str:
    near = difflib.get_close_matches(word, modes.ALL, n=1)
    return f'did you mean {prefix}{near[0]}?' if near else f'the modes are {", ".join(modes.ALL)}'


if __name__ == '__main__':
    cli()
