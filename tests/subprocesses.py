"""Python code in processes of its own, with simulated devices: one, or several that form a mesh."""

import os
import pathlib
import socket
import subprocess
import sys

import jax

HERE = pathlib.Path(__file__).resolve().parents[1]

START = """
import os, sys
import jax
jax.config.update('jax_num_cpu_devices', {devices})
JOIN = 'localhost:{port}', {processes}, {process}
if {join}:
    from diface_jax.runtime import hosts
    hosts.join_hosts(False, *JOIN)
"""


def run(
    code,
    *arguments,
    devices,
    processes=1,
    join=True,
    exit_code=0,
    timeout=600,
):
    """Runs code in each process, with `devices` of its own; returns what each printed.

    Args:
      code: in Python; it finds `sys` and `jax`, and how to join the others in `JOIN`.
      *arguments: in `sys.argv[1:]`.
      devices: simulated ones, of each process.
      processes: how many.
      join: starts them as hosts of one run before the code; otherwise the code does.
      exit_code: the one expected.
      timeout: in seconds, of all.

    Returns:
      What each printed; on stderr, if the exit code is not 0.
    """
    with socket.socket() as free:
        free.bind(('localhost', 0))
        port = free.getsockname()[1]
    about = {'devices': devices, 'processes': processes, 'port': port}
    about |= {'join': join and processes > 1}
    compiled = {'JAX_COMPILATION_CACHE_DIR': jax.config.jax_compilation_cache_dir or ''}
    compiled |= {'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0.1'}
    environment = os.environ | compiled
    running = [
        subprocess.Popen(
            [sys.executable, '-c', START.format(process=i, **about) + code, *map(str, arguments)],
            cwd=HERE,
            env=environment,
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
        assert process.returncode == exit_code, errors
    return [errors if exit_code else out for out, errors in printed]
