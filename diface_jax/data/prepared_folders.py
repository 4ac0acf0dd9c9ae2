"""Which prepared data set of a workdir is of which data set.

A prepared data set lies in WORKDIR/prepared/NAME-XXXXXXXX: NAME is that of the data set's folder,
XXXXXXXX the start of the hash of its lists and of its photos' content, so that two data sets never
share a folder and a data set that was moved keeps its own. Earlier versions called it
WORKDIR/prepared/NAME; it is used as it is.
"""

import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

from diface_jax.data import array_cache, prepared

CACHE = 'cache'  # shared by all data sets of a workdir
LISTS, CONTENT = 'records', 'content_of_photos'


def prepared_folder_for(
    store: pathlib.Path, name: str, settings: Mapping[str, Any]
) -> pathlib.Path:
    """Where a data set of these settings is prepared; WORKDIR/prepared is the store."""
    return store / f'{name}-{_identity(settings)[:8]}'


def folder_with_content(store: pathlib.Path, settings: Mapping[str, Any]) -> pathlib.Path | None:
    """The prepared data set of the same lists and photos, wherever they lay."""
    return next(
        (f for f, c in _all(store) if _identity(c['settings']) == _identity(settings)), None
    )


def folder_of_root(store: pathlib.Path, root: pathlib.Path) -> pathlib.Path | None:
    """The prepared data set whose photos were last seen in the folder `root`."""
    return next((f for f, c in _all(store) if prepared.root_of(c) == str(root)), None)


def folder_of_earlier_version(store: pathlib.Path, name: str, lists: str) -> pathlib.Path | None:
    """WORKDIR/prepared/NAME, if an earlier version made it from the same lists."""
    folder = store / name
    if not (folder / prepared.CARD).is_file():
        return None
    settings = prepared.read_card(folder)['settings']
    return folder if CONTENT not in settings and settings.get(LISTS) == lists else None


def folder_of_model(
    store: pathlib.Path, settings: Mapping[str, Any], encoders: Mapping[str, Any]
) -> pathlib.Path:
    """The prepared data set that holds the fitted encoders of a model.

    Args:
      store: WORKDIR/prepared.
      settings: of the data set the model was trained on.
      encoders: of the model.

    Raises:
      FileNotFoundError: it is gone, or was prepared again; says what to do.
    """
    fitted = [(f, c) for f, c in _all(store) if c['encoders'] == encoders]
    fitted = [(f, c) for f, c in fitted if not c['settings'].get('fitted')]
    same = [(f, c) for f, c in fitted if c['settings'] == _without_second(settings)]
    for folder, _ in same or fitted:
        return folder
    raise FileNotFoundError(
        f'{store} has no data set with the encoders of this model: run --mode=prepare with the '
        'settings of its training, or train again with --mode=train --overwrite'
    )


def _without_second(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name != 'second_data'}


def _identity(settings: Mapping[str, Any]) -> str:
    return array_cache.cache_key(str(settings.get(LISTS)), str(settings.get(CONTENT)))


def _all(store: pathlib.Path) -> Iterator[tuple[pathlib.Path, dict[str, Any]]]:
    """Every prepared data set that is complete, and its card."""
    for path in sorted(store.glob(f'*/{prepared.CARD}')):
        if not path.parent.name.endswith(prepared.BUILDING):
            yield path.parent, prepared.read_card(path.parent)
