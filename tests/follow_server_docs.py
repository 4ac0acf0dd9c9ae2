"""Follows docs/server.md from its first line, in one shell, and checks what each command leaves.

python -m tests.follow_server_docs [--installed]

It uses the home of who runs it: ~/photos must hold a folder per person, and ~/diface must not exist
yet. So run it as a fresh account. --installed takes the Python that runs it, in place of .venv.
"""

import argparse
import pathlib
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).resolve().parents[1]
GALLERY = pathlib.Path.home() / 'diface' / 'gallery'
BACKUP = GALLERY.parent / 'backup'
_END = '== end of a block'


class Shell:
    """A shell that stops at the first command that fails."""

    def __init__(self) -> None:
        self._bash = subprocess.Popen(
            ['bash', '-eu'],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, block: str) -> str:
        """Runs commands, and prints them and what they print; returns that.

        Raises:
          RuntimeError: one failed.
        """
        print(*(f'$ {line}' for line in block.splitlines()), sep='\n', flush=True)
        self._bash.stdin.write(f'{block}\necho "{_END}"\n')
        self._bash.stdin.flush()
        printed = []
        for line in self._bash.stdout:
            if _END in line:
                printed.append(line.replace(f'{_END}\n', ''))
                return ''.join(printed)
            printed.append(line)
            print(line, end='', flush=True)
        raise RuntimeError(f'failed: {block}')


def blocks() -> Iterator[str]:
    """The commands of the page, block by block."""
    page = (ROOT / 'docs' / 'server.md').read_text(encoding='utf-8')
    return iter(re.findall(r'```bash\n(.*?)```', page, re.S))


def rows(folder: pathlib.Path, query: str, *values: object) -> list[tuple]:
    """Rows of a gallery."""
    database = sqlite3.connect(folder / 'gallery.sqlite3')
    try:
        return database.execute(query, values).fetchall()
    finally:
        database.close()


def traces(person: str) -> list[bytes]:
    """What a gallery holds of a person, as the bytes that would be on disk."""
    columns = 'embedding, feature, picture, wide_picture, sha256, path'
    query = (
        f'SELECT {columns} FROM entry JOIN photo ON photo.id = photo JOIN file USING (photo)'
        ' WHERE person = ?'
    )
    # Pages of the file are cut at any place: a piece from the middle of each is looked for.
    values = [value for row in rows(GALLERY, query, person) for value in row if value]
    return [person.encode(), *(value[len(value) // 2 :][:64] for value in values)]


def require(fact: bool, what: str) -> None:
    """Prints what holds; raises AssertionError where it does not."""
    if not fact:
        raise AssertionError(f'not so: {what}')
    print(f'# checked: {what}', flush=True)


def require_gone(marks: list[bytes], folder: pathlib.Path) -> None:
    """Looks for bytes in every file of a folder."""
    held = [path for path in folder.rglob('*') if any(m in path.read_bytes() for m in marks)]
    require(not held, f'none of {len(marks)} traces of the person is in {folder.name}/')


def main() -> None:
    """Follows the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--installed', action='store_true')
    asked = parser.parse_args()
    shell, commands = Shell(), blocks()
    install = next(commands)
    if asked.installed:
        folder = pathlib.Path(sys.executable).parent
        install = f'export PATH="{folder}:$PATH"\n{install.splitlines()[-1]}'
    shell.run(install)
    for _ in range(4):  # enrols, makes a token and a certificate, and starts the server
        shell.run(next(commands))
    entries = rows(GALLERY, 'SELECT count(*) FROM entry')
    require('a lead' in shell.run(next(commands)), 'the client gets results')
    shell.run(next(commands))
    require(rows(BACKUP, 'SELECT count(*) FROM entry') == entries, 'the backup is whole')
    restored = shell.run(next(commands))
    require(f'"entries": {entries[0][0]}' in restored, 'the restored gallery is served, whole')
    person = min(path.name for path in (pathlib.Path.home() / 'photos').iterdir())
    marks = traces(person)
    held = [mark for mark in marks if mark in (GALLERY / 'gallery.sqlite3').read_bytes()]
    require(len(held) == len(marks) > 4, f'{len(marks)} traces of {person} are on disk')
    shell.run(next(commands))
    require_gone(marks, GALLERY)
    shell.run(next(commands))
    require_gone(marks, BACKUP)
    require(next(commands, None) is None, 'all commands of docs/server.md were run')


if __name__ == '__main__':
    main()
