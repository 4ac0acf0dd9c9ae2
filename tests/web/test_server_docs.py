"""docs/server.md: its commands can be given (`tests.follow_server_docs` runs them)."""

import re
import subprocess

from diface_jax.cli import commands
from tests import follow_server_docs


def test_the_commands_are_those_of_the_program():
    page = (follow_server_docs.ROOT / 'docs' / 'server.md').read_text()
    blocks = list(follow_server_docs.blocks())
    assert len(blocks) >= 9
    subprocess.run(['bash', '-n'], input=''.join(blocks), text=True, check=True)
    known = set(commands.flags.FLAGS) | {'mode'}
    for command in re.findall(r'diface (--mode=.*(?:\\\n.*)*)', page):
        assert set(re.findall(r'--(\w+)', command)) <= known, command
    for line in re.findall(r'^\|? ?`--(\w+)', page, re.M):
        assert line in known
