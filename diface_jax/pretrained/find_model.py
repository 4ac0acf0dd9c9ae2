"""Which folder the `model` of a user's command stands for."""

import pathlib

from diface_jax.pretrained import pack_files

DEFAULT = 'celeba_lfw'


def find_model(model: str | pathlib.Path | None) -> pathlib.Path:
    """The folder of a pack, or the workdir, that a user names.

    Args:
      model: a folder, the name of a pack that comes with the package, or None for DEFAULT.

    Raises:
      FileNotFoundError: there is no such folder and no such pack; says which there are.
    """
    if model is not None and pathlib.Path(model).is_dir():
        return pathlib.Path(model)
    shipped = pack_files.shipped_packs()
    name = DEFAULT if model is None else str(model)
    if name in shipped:
        return pack_files.shipped_folder(name)
    if model is None:
        raise FileNotFoundError(
            f'this installation has no pack {DEFAULT}: give --model=PACK, with a folder that '
            '--mode=pack has written, or the workdir of a training'
        )
    names = ', '.join(shipped) or 'none'
    raise FileNotFoundError(
        f'no model {model}: there is no such folder, and the packs that come with the package are: '
        f'{names}'
    )
