"""`diface` and `python -m diface_jax`: short names of `python -m diface_jax.main`."""

import runpy
import sys

from diface_jax.runtime import versions


def run() -> None:
    """Runs the main program under its own name, which makes its flags the key flags of --help."""
    if sys.argv[1:] == ['--version']:  # need not wait until JAX is imported
        print(versions.version_summary())
        return
    runpy.run_module('diface_jax.main', run_name='__main__', alter_sys=True)


if __name__ == '__main__':
    run()
