"""Has this output been made already, and with the same settings?

Every stage (prepare, train, evaluate) leaves a JSON file with the settings it was made with,
written last and at once, so that its presence means that the rest is whole.
"""

import json
import os
import pathlib
import tempfile
from typing import Any

from diface_jax import hosts


class SettingsDifferError(ValueError):
    """What is there was made with other settings than those asked for."""


def differences(made: Any, asked: Any, path: str = '') -> list[str]:
    """What differs between two nested settings, as 'name: made -> asked' lines."""
    if isinstance(made, dict) and isinstance(asked, dict):
        return [
            line
            for name in sorted(made.keys() | asked.keys())
            for line in differences(
                made.get(name), asked.get(name), f'{path}.{name}' if path else name
            )
        ]
    return [] if made == asked else [f'{path}: {made!r} -> {asked!r}']


def require_same(what: str, made: Any, asked: Any) -> None:
    """Raises SettingsDifferError, which lists the differences and says what to do, if any."""
    lines = differences(made, plain(asked))
    if lines:
        raise SettingsDifferError(
            f'{what} was made with other settings (made -> asked for):\n  '
            + '\n  '.join(lines)
            + '\nUse another --workdir or the same settings, or give --overwrite to replace it.'
        )


def plain(settings: Any) -> Any:
    """Settings as they come back from JSON: tuples as lists, paths as strings."""
    return json.loads(json.dumps(settings, default=str))


def write_json(path: pathlib.Path, content: Any) -> None:
    """Writes JSON at once, on the first host: a kill or a full disk leaves the file as it was."""
    if not hosts.is_first():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile('w', dir=path.parent, suffix='.tmp', delete=False) as file:
        try:
            json.dump(content, file, indent=1, default=str)
            file.write('\n')
            file.close()
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise


def remove(path: pathlib.Path) -> None:
    """Removes a stage's file, if it is there, on the first host: the stage is not done any more."""
    if hosts.is_first():
        path.unlink(missing_ok=True)
