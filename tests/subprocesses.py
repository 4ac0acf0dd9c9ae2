"""Python code in processes of its own, with simulated devices: one, or several that form a mesh."""

import pathlib
import socket
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parents[1]

# Small programs take longer to optimise than to run.
START = """
import os, sys
os.environ['XLA_FLAGS'] = '--xla_backend_optimization_level=0'
import jax
jax.config.update('jax_num_cpu_devices', {devices})
if {processes} > 1:
    jax.config.update('jax_cpu_collectives_implementation', 'gloo')
    jax.distributed.initialize('localhost:{port}', {processes}, {process})
"""


def run(code, *arguments, devices, processes=1, timeout=600):
    """Runs code in each process, with `devices` of its own; returns what each printed."""
    with socket.socket() as free:
        free.bind(('localhost', 0))
        port = free.getsockname()[1]
    about = {'devices': devices, 'processes': processes, 'port': port}
    running = [
        subprocess.Popen(
            [sys.executable, '-c', START.format(process=i, **about) + code, *map(str, arguments)],
            cwd=HERE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for i in range(processes)
    ]
    try:
        printed = [process.communicate(timeout=timeout) for process in running]
    finally:
        for process in running:
            process.kill()
    for process, (_, errors) in zip(running, printed, strict=True):
        assert process.returncode == 0, errors
    return [out for out, _ in printed]
