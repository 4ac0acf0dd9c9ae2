"""`diface` and `python -m diface_jax`: `python -m diface_jax.main` by shorter names."""

import runpy
import sys

from diface_jax.runtime import versions


def run() -> None:
    """Runs the main program as if it had been called by its own name, so that --help is its own."""
    if sys.argv[1:] == ['--version']:  # need not wait until JAX is imported
        print(versions.summary())
        return
    runpy.run_module('diface_jax.main', run_name='__main__', alter_sys=True)


if __name__ == '__main__':
    run()
