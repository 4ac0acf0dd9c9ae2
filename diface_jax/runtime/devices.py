"""Whether JAX can use the devices that were asked for, and what they are."""


def require_devices() -> None:
    """Starts JAX's devices, after the hosts have joined.

    Raises:
      ValueError: the platform asked for by JAX_PLATFORMS, or by an installed plugin, has no usable
        device; says how to go on.
    """
    import jax  # slow to import

    try:
        jax.devices()
    except (AssertionError, RuntimeError) as error:
        asked_for = jax.config.jax_platforms or 'not set'
        reason = str(error) or 'no such device, or JAX is installed without support for it'
        raise ValueError(
            f'JAX has no usable device (JAX_PLATFORMS: {asked_for}): {reason}. Check the driver '
            '(nvidia-smi) and install the extra cuda, cuda12 or tpu; or set '
            'JAX_PLATFORMS=cpu to compute on the CPU'
        ) from error


def has_accelerator() -> bool:
    """Whether JAX computes on GPUs or TPUs: large batches of few shapes are then the fastest."""
    import jax

    return jax.default_backend() != 'cpu'
