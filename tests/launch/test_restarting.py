"""Who runs again after exit code 75, and who does not, with stand-ins for what is far away."""

import os
import signal
import subprocess
import sys
import time

import pytest

from tests.launch.conftest import LAUNCH, PROGRAM
from tests.launch.test_launchers import SETTINGS

# Exits with the codes in a file, a line a run, and says what it was called with.
TAKES_TURNS = """
[[ "$*" == *"%s"* ]] || exit 0
echo "$*" >>calls
code=$(head -1 codes); sed -i 1d codes
exit "$code"
"""

# Tests that were started in the background have SIGINT ignored, and bash cannot undo that.
HEARING = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execvp(sys.argv[1], sys.argv[1:])
"""


@pytest.mark.parametrize(('codes', 'runs'), [((75, 75, 0), 3), ((75, 1), 2), ((137,), 1)])
def test_a_command_runs_again_on_75_alone(launch, stand_in, tmp_path, codes, runs):
    stand_in('python', TAKES_TURNS % 'diface_jax.main')
    (tmp_path / 'codes').write_text(''.join(f'{code}\n' for code in (*codes, 99)))
    ran = launch('single_node.sh', *PROGRAM)
    assert ran.returncode == codes[-1]
    assert len((tmp_path / 'calls').read_text().splitlines()) == runs


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_loop_reaches_the_command_and_ends_both(stand_in, tmp_path, number):
    stand_in('slow', "trap 'sleep 0.5; echo saved >saved; exit 75' TERM; touch up; sleep 30 & wait")
    command = ['bash', LAUNCH / 'restart.sh', tmp_path / 'bin' / 'slow']
    with subprocess.Popen([sys.executable, '-c', HEARING, *command], cwd=tmp_path) as loop:
        while not (tmp_path / 'up').exists():
            time.sleep(0.02)
        os.kill(loop.pid, number)
        assert loop.wait(timeout=20) == 75
    assert (tmp_path / 'saved').exists()


@pytest.mark.parametrize(('code', 'requeued'), [(75, True), (0, False), (1, False), (137, False)])
def test_slurm_goes_back_to_the_queue_on_75_alone(launch, stand_in, tmp_path, code, requeued):
    stand_in('sbatch', 'export SLURM_JOB_ID=7; exec bash')
    stand_in('srun', f'exit {code}')
    stand_in('scontrol', 'echo "$*" >requeued')
    ran = launch('slurm.sh', *SETTINGS['slurm.sh'], *PROGRAM)
    assert ran.returncode == code
    assert (tmp_path / 'requeued').exists() == requeued
    if requeued:
        assert (tmp_path / 'requeued').read_text() == 'requeue 7\n'


# A cloud with one slice of one host. Its states come from a file, a line a look.
GCLOUD = """
[[ $4 == list ]] || echo "$4" >>calls
case $4 in
  list) head -1 states; [[ $(wc -l <states) == 1 ]] || sed -i 1d states ;;
  ssh) command=${@: -1}; exec bash -c "${command#--command=}" ;;
esac
"""
# What is done there as root. The program's exit codes come from a file, a line a run.
SUDO = """
printf '%s\\n' "$@" >last
[[ "$*" != *diface_jax.main* ]] || { code=$(head -1 codes); sed -i 1d codes; exit "$code"; }
"""


@pytest.fixture
def on_tpu(launch, stand_in, tmp_path):
    """Runs the launcher on that cloud; returns how it ended, and what gcloud was asked for."""
    stand_in('gcloud', GCLOUD)
    stand_in('sudo', SUDO)

    def run(states, codes):
        (tmp_path / 'states').write_text(''.join(f'{state}\n' for state in states))
        (tmp_path / 'codes').write_text(''.join(f'{code}\n' for code in codes))
        ran = launch('tpu_vm.sh', *SETTINGS['tpu_vm.sh'], *PROGRAM, '--poll_seconds=0')
        calls = tmp_path / 'calls'
        return ran, calls.read_text().split() if calls.exists() else []

    return run


def test_a_slice_is_asked_for_waited_for_and_used(on_tpu):
    ran, calls = on_tpu(('', 'WAITING_FOR_RESOURCES', 'PROVISIONING', 'ACTIVE'), codes=(0,))
    assert ran.returncode == 0, ran.stderr
    assert calls == ['create', 'ssh', 'ssh']
    assert 'queued-resources delete diface' in ran.stderr


def test_the_host_runs_the_program_word_by_word(on_tpu, tmp_path):
    on_tpu(('ACTIVE',), codes=(0,))
    words = (tmp_path / 'last').read_text().splitlines()
    assert words[:3] == ['docker', 'run', '--rm']
    program = ['python', '-m', 'diface_jax.main', *PROGRAM, '--distributed']
    assert words[-len(program) - 1 :] == ['registry/p/diface', *program]


def test_a_slice_taken_away_is_asked_for_again(on_tpu):
    ran, calls = on_tpu(('ACTIVE', 'SUSPENDED', 'SUSPENDED', '', 'ACTIVE'), codes=(255, 0))
    assert ran.returncode == 0, ran.stderr
    assert calls == ['ssh', 'ssh', 'delete', 'create', 'ssh', 'ssh']


@pytest.mark.parametrize(('codes', 'rounds'), [((75, 75, 0), 3), ((75, 1), 2), ((1,), 1)])
def test_on_a_slice_that_stays_75_alone_runs_again(on_tpu, codes, rounds):
    ran, calls = on_tpu(('ACTIVE',), codes)
    assert ran.returncode == codes[-1]
    assert calls == ['ssh', 'ssh'] * rounds


def test_a_request_that_failed_is_told(on_tpu):
    ran, calls = on_tpu(('FAILED',), codes=())
    assert ran.returncode == 1
    assert 'the request failed' in ran.stderr
    assert not calls


def test_gcloud_failing_is_the_end(on_tpu, stand_in):
    stand_in('gcloud', 'echo no credentials >&2; exit 3')
    ran, _ = on_tpu(('',), codes=())
    assert ran.returncode == 3
