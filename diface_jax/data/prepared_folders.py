"""Finds the prepared data set of a data set, or of a model, in a workdir.

A prepared data set lies in WORKDIR/prepared/NAME-XXXXXXXX: NAME is that of the data set's folder,
XXXXXXXX the first digits of the hash of its lists and its photos' content, so that two data sets
never share a folder, and a data set that was moved keeps its own. A folder WORKDIR/prepared/NAME,
as earlier versions wrote it, is used under that name.
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
    """The folder for a data set of these settings; the store is WORKDIR/prepared."""
    return store / f'{name}-{_identity(settings)[:8]}'


def folder_with_content(store: pathlib.Path, settings: Mapping[str, Any]) -> pathlib.Path | None:
    """The prepared data set of the same lists and photos, whatever folder they were in."""
    identity = _identity(settings)
    folders = (folder for folder, card in _all(store) if _identity(card['settings']) == identity)
    return next(folders, None)


def folder_of_root(store: pathlib.Path, root: pathlib.Path) -> pathlib.Path | None:
    """The prepared data set whose photos were last read from the folder `root`."""
    folders = (folder for folder, card in _all(store) if prepared.root_of(card) == str(root))
    return next(folders, None)


def folder_of_earlier_version(store: pathlib.Path, name: str, lists: str) -> pathlib.Path | None:
    """WORKDIR/prepared/NAME, if an earlier version prepared it from the same lists."""
    folder = store / name
    if not (folder / prepared.CARD).is_file():
        return None
    settings = prepared.read_card(folder)['settings']
    return folder if CONTENT not in settings and settings.get(LISTS) == lists else None


def folder_of_model(
    store: pathlib.Path, settings: Mapping[str, Any], encoders: Mapping[str, Any]
) -> pathlib.Path:
    """The prepared data set that contains the fitted encoders of a model.

    Args:
      store: WORKDIR/prepared.
      settings: of the data set that the model was trained on.
      encoders: description of the model's encoders.

    Raises:
      FileNotFoundError: it was removed or prepared again; says what to do.
    """
    fitted_here = {
        folder: card['settings']
        for folder, card in _all(store)
        if card['encoders'] == encoders and not card['settings'].get('fitted')
    }
    first_data = {name: value for name, value in settings.items() if name != 'second_data'}
    trained_on = [folder for folder, of_card in fitted_here.items() if of_card == first_data]
    if folders := trained_on or list(fitted_here):
        return folders[0]
    raise FileNotFoundError(
        f'{store} has no data set with the encoders of this model: run --mode=prepare with the '
        'settings of its training, or train again with --mode=train --overwrite'
    )


def _identity(settings: Mapping[str, Any]) -> str:
    return array_cache.cache_key(str(settings.get(LISTS)), str(settings.get(CONTENT)))


def _all(store: pathlib.Path) -> Iterator[tuple[pathlib.Path, dict[str, Any]]]:
    """The folder and the card of each complete prepared data set."""
    for path in sorted(store.glob(f'*/{prepared.CARD}')):
        if not path.parent.name.endswith(prepared.BUILDING):
            yield path.parent, prepared.read_card(path.parent)
