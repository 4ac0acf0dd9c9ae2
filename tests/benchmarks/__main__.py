"""Runs the speed comparisons, and writes their tables and plot into docs/performance.md.

python -m tests.benchmarks [SCRIPT ...]

Without names, all scripts but `gpu` run, one after the other. With names, only those: their lines
replace those they printed before, and the others stay. A script whose peer is not installed is
named.
"""

import json
import os
import subprocess
import sys

from tests.benchmarks import page

# Each prints lines of JSON. A comparison (see `timing.compare`) becomes a row of the first table.
SCRIPTS = (
    'face_encoder',
    'text_encoder',
    'warm_search',
    'training_step',
    'sampling',
    'exact_search',
    'verification',
    'identification',
    'roofline',
    'stages',
    'growth',
)
ON_GPU = 'gpu'


def run(script: str) -> list[page.Line]:
    """The lines that a script prints, and one that says why it ended early, if it did."""
    print(f'{script}:', file=sys.stderr, flush=True)
    command = [sys.executable, '-m', f'tests.benchmarks.{script}']
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    load = f'{os.getloadavg()[1] / os.cpu_count():.1f}'
    printed = [json.loads(line) for line in ran.stdout.splitlines() if line.startswith('{')]
    for line in printed:
        print(f'  {json.dumps(line)}', file=sys.stderr, flush=True)
    lines = [{'script': script, 'load': load, **line} for line in printed]
    if ran.returncode:
        lines.append({'script': script, 'missing': reason(ran.stderr)})
        print(f'  {lines[-1]["missing"]}', file=sys.stderr, flush=True)
    return lines


def reason(errors: str) -> str:
    """Why a script failed: the package that is missing, or the last line of its errors."""
    last = errors.strip().rpartition('\n')[2]
    if last.startswith('ModuleNotFoundError'):
        return f"{last.split(chr(39))[1]} is not installed (pip install -e '.[bench]')"
    return last


def main(scripts: tuple[str, ...]) -> None:
    """Runs scripts, keeps what they printed, and renders the page."""
    known = (*SCRIPTS, ON_GPU)
    if unknown := set(scripts) - set(known):
        sys.exit(f'no such script: {", ".join(sorted(unknown))}; choose from {", ".join(known)}')
    lines = page.read() if page.MEASURED.is_file() else []
    for script in scripts:
        printed = run(script)
        lines = [line for line in lines if line['script'] != script] + printed
        page.write(sorted(lines, key=lambda line: known.index(line['script'])))
    page.main()


if __name__ == '__main__':
    main(tuple(sys.argv[1:]) or SCRIPTS)
