"""Which outputs of a workdir exist already, and whether they were made with the same settings.

Every stage (prepare, train, evaluate) writes a JSON file with its settings last and in one move, so
that a file that exists means that the whole output is complete.
"""

import contextlib
import json
import os
import pathlib
import secrets
import shutil
from collections.abc import Iterator, Sequence
from typing import IO, Any

from absl import logging

from diface_jax.runtime import hosts

_OVERWRITE = 'Use another --workdir or the same settings, or give --overwrite to replace it.'


class SettingsDifferError(ValueError):
    """An output exists that was made with other settings than those of this run.

    Attributes:
      overwrite_helps: whether the same command with --overwrite replaces it.
    """

    def __init__(self, message: str, overwrite_helps: bool) -> None:
        super().__init__(message)
        self.overwrite_helps = overwrite_helps


def settings_differences(
    old: Any, new: Any, path: str = '', ignore: Sequence[str] = ()
) -> list[str]:
    """The differences of two nested settings, as 'name: old -> new' lines.

    Args:
      old: settings of an output that exists.
      new: settings of the run.
      path: dotted name of both, '' for the whole.
      ignore: dotted names that are not compared.
    """
    if path in ignore:
        return []
    if isinstance(old, dict) and isinstance(new, dict):
        return [
            line
            for name in sorted(old.keys() | new.keys())
            for line in settings_differences(
                old.get(name), new.get(name), f'{path}.{name}' if path else name, ignore
            )
        ]
    return [] if old == new else [f'{path}: {old!r} -> {new!r}']


def require_same_settings(
    what: str, old: Any, new: Any, ignore: Sequence[str] = (), instead: str | None = None
) -> None:
    """Makes sure that an output was made with the settings of this run.

    Args:
      what: the output, for the message.
      old: its settings.
      new: the settings of this run.
      ignore: dotted names that are not compared.
      instead: what to do where --overwrite does not help; None: --overwrite helps.

    Raises:
      SettingsDifferError: they differ; lists the differences and says what to do.
    """
    if lines := settings_differences(old, to_plain_json(new), ignore=ignore):
        raise SettingsDifferError(
            f'{what} was made with other settings (made -> asked for):\n  '
            + '\n  '.join(lines)
            + f'\n{instead or _OVERWRITE}',
            overwrite_helps=instead is None,
        )


def to_plain_json(settings: Any) -> Any:
    """Settings as they come back from JSON: tuples as lists, paths as strings."""
    return json.loads(json.dumps(settings, default=str))


def existing_output(
    path: pathlib.Path, settings: Any, ignore: Sequence[str], overwrite: bool
) -> dict[str, Any] | None:
    """The JSON output of a stage, if it exists with these settings.

    Args:
      path: the file, which has `settings`.
      settings: of this run.
      ignore: dotted names that are not compared.
      overwrite: replaces an output of other settings.

    Returns:
      The content; None if there is no file, or it will be replaced.

    Raises:
      SettingsDifferError: the file is of other settings, and `overwrite` is False.
    """
    if not path.is_file():
        return None
    content = json.loads(path.read_text())
    try:
        require_same_settings(str(path), _current(content['settings']), settings, ignore)
    except SettingsDifferError as error:
        if not overwrite:
            raise
        logging.warning('%s', error)
        return None
    return content


def partial_output(
    path: pathlib.Path, settings: Any, ignore: Sequence[str], overwrite: bool
) -> tuple[pathlib.Path, dict[str, Any]]:
    """Where a stage that works row by row writes, and what it has written so far.

    A file of other settings stays until the new one is complete, which then takes its name
    (`move_into_place`). Arguments and errors are those of `existing_output`.
    """
    content = existing_output(path, settings, ignore, overwrite)
    if content is not None or not path.is_file():
        return path, content or {}
    beside = path.with_name(f'{path.stem}.new.json')
    return beside, existing_output(beside, settings, ignore, overwrite=True) or {}


def move_into_place(path: pathlib.Path, to: pathlib.Path) -> None:
    """Gives a complete output its name, on the first host."""
    if hosts.is_first() and path != to:
        if to.is_dir():
            shutil.rmtree(to)
        os.replace(path, to)


def _current(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings in the form of this version; earlier ones took the sampling from the training."""
    if 'evaluate' not in settings or 'sample' in settings or 'sweep' in settings:
        return settings
    return settings | {'sample': settings['training'].get('sample')}


def write_json(path: pathlib.Path, content: Any) -> None:
    """Writes JSON in one move, on the first host: a kill or a full disk keeps the old file."""
    if not hosts.is_first():
        return
    with open_replacing(path) as file:
        file.write(json.dumps(content, indent=1, default=str).encode() + b'\n')


@contextlib.contextmanager
def open_replacing(path: pathlib.Path) -> Iterator[IO[bytes]]:
    """A file to write, which takes its name only when it is complete.

    It gets ordinary permissions (those of the umask), so that colleagues can read it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    building = path.with_name(f'{path.name}.{secrets.token_hex(4)}.tmp')
    try:
        with building.open('xb') as file:
            yield file
        os.replace(building, path)
    except BaseException:
        building.unlink(missing_ok=True)
        raise


def remove_output(path: pathlib.Path) -> None:
    """Removes a stage's file, if it exists, on the first host: the stage is not done any more."""
    if hosts.is_first():
        path.unlink(missing_ok=True)
