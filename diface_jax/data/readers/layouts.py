"""Finds the files of CelebA and LFW below a root, in the layouts of the common copies.

CelebA: the official archive (`Anno/`, `Eval/`, `Img/`), everything in one folder, Kaggle's CSV
lists and nested images, torchvision's `celeba/`, JPEG or PNG. LFW: `lfw-deepfunneled`,
`lfw_funneled` or `lfw`, also nested twice. The files may lie up to three folders below the root.
"""

import collections
import itertools
import os
import pathlib
from collections.abc import Collection, Sequence
from typing import NamedTuple

# Suffixes of photographs, in lower case.
SUFFIXES = frozenset({'.jpg', '.jpeg', '.png', '.bmp', '.webp', '.tif', '.tiff'})

CELEBA_IMAGES = ('img_align_celeba', 'img_align_celeba_png')
# Where a folder has both forms of a list, the first one is read.
CELEBA_LISTS = {
    'identity_CelebA.txt': ('identity_celeba.txt', 'identity_celeba.csv'),
    'list_eval_partition.txt': ('list_eval_partition.txt', 'list_eval_partition.csv'),
    'list_attr_celeba.txt': ('list_attr_celeba.txt', 'list_attr_celeba.csv'),
}
CELEBA_HOME = 'https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html'

LFW_IMAGES = ('lfw-deepfunneled', 'lfw', 'lfw_funneled')
# CelebA's 40 attributes come first: where both files label an attribute, the first one counts.
LFW_LABELS = ('lfwa_40.csv', 'lfwa_73.csv')

DESCRIPTIONS = 'descriptions.jsonl'

_DEPTH = 4  # levels of folders that are searched, with the root
_MAX_FOLDERS = 30  # a folder with more subfolders holds people, not the files of a data set

_NOT_READABLE = {
    'img_celeba': 'img_celeba/ holds the uncropped photographs, img_align_celeba/ is needed',
    'celeba-hq-img': 'CelebA-HQ has neither splits nor identities of its own',
    'train.rec': 'train.rec is a RecordIO file: extract it into a folder per person',
}
_ARCHIVES = ('.zip', '.7z', '.001', '.tar', '.tgz', '.gz', '.rar')


class CelebaFiles(NamedTuple):
    """Paths of CelebA's images and lists; `descriptions` is None where that file is missing."""

    images: pathlib.Path
    identities: pathlib.Path
    partition: pathlib.Path
    attributes: pathlib.Path
    descriptions: pathlib.Path | None


class LfwFiles(NamedTuple):
    """Paths of LFW's folder of people, its label files and its descriptions (None: no file)."""

    images: pathlib.Path
    labels: tuple[pathlib.Path, ...]
    descriptions: pathlib.Path | None


def find_celeba(root: pathlib.Path) -> CelebaFiles:
    """The paths of CelebA's images and lists.

    Raises:
      FileNotFoundError: images or a list are missing; says which, and what to do.
      ValueError: there are several copies of a file.
    """
    paths = _find(root, {*CELEBA_IMAGES, *sum(CELEBA_LISTS.values(), ()), DESCRIPTIONS})
    lists = [
        _first(paths, names) or _raise_missing_celeba(root, name, paths)
        for name, names in CELEBA_LISTS.items()
    ]
    images = {name: [path for path in paths[name] if _holds_photos(path)] for name in CELEBA_IMAGES}
    folder = _first(images, CELEBA_IMAGES) or _raise_missing_celeba(root, CELEBA_IMAGES[0], paths)
    return CelebaFiles(folder, *lists, _first(paths, (DESCRIPTIONS,)))


def find_lfw(root: pathlib.Path) -> LfwFiles:
    """The paths of LFW's photos and labels.

    Raises:
      FileNotFoundError: there is no folder of people.
      ValueError: there are several copies of a file.
    """
    paths = _find(root, {*LFW_IMAGES, *LFW_LABELS, DESCRIPTIONS})
    folders = {name: [path for path in paths[name] if _holds_people(path)] for name in LFW_IMAGES}
    images = _first(folders, LFW_IMAGES)
    if images is None:
        raise FileNotFoundError(
            f'no {LFW_IMAGES[0]}/ (or {LFW_IMAGES[1]}/) with people in {root}: expected a folder '
            f"per person, as in {LFW_IMAGES[0]}/PERSON/PERSON_0001.jpg, and LFWA+'s labels, "
            f'{" and ".join(LFW_LABELS)}, beside {LFW_IMAGES[0]}/.{describe_copy(root)}'
        )
    labels = tuple(path for name in LFW_LABELS if (path := _first(paths, (name,))))
    return LfwFiles(images, labels, _first(paths, (DESCRIPTIONS,)))


def find_evidence(root: pathlib.Path) -> dict[str, pathlib.Path]:
    """The nearest path that indicates each of the layouts 'celeba' and 'lfw', if there is any."""
    celeba = (*CELEBA_IMAGES, *sum(CELEBA_LISTS.values(), ()))
    paths = _find(root, {*celeba, *LFW_IMAGES, *LFW_LABELS})
    evidence = {
        'celeba': [path for name in celeba for path in paths[name]],
        'lfw': [path for name in LFW_LABELS for path in paths[name]]
        + [path for name in LFW_IMAGES for path in paths[name] if _holds_people(path)],
    }
    return {
        layout: min(candidates, key=lambda path: (len(path.parts), path))
        for layout, candidates in evidence.items()
        if candidates
    }


def describe_copy(root: pathlib.Path) -> str:
    """What is wrong with a folder that cannot be read, and what to do; '' if unknown."""
    entries = sorted(os.scandir(root), key=lambda entry: entry.name)
    names = {entry.name.lower(): entry.name for entry in entries}
    for name, sentence in _NOT_READABLE.items():
        if name in names:
            return f' {sentence}.'
    archives = [name for name in names.values() if name.lower().endswith(_ARCHIVES)]
    if archives:
        return f' {archives[0]} looks like an archive: unpack it there.'
    if any(name.endswith('.parquet') for name in names):
        return ' Parquet files of a hub are not read: save the photos into a folder per person.'
    photos = [entry.name for entry in entries if _is_photo(entry)]
    if any(pathlib.Path(name).stem.isdigit() and len(name) == 10 for name in photos):
        return (
            " This looks like CelebA's folder of images: give the folder that holds its lists "
            f'({", ".join(CELEBA_LISTS)}) too.'
        )
    if photos:
        return (
            f' {len(photos)} photos lie in {root} itself, where nothing says who is in them: move '
            'each into a folder of its person.'
        )
    if root.name.lower() in LFW_IMAGES:
        return " This looks like LFW's folder of people: give the folder above it."
    return ''


def _find(root: pathlib.Path, names: Collection[str]) -> dict[str, list[pathlib.Path]]:
    """Paths below `root` by lower-case name, for these names; the nearest first."""
    paths = collections.defaultdict(list)
    level = [root]
    for _ in range(_DEPTH):
        entries = [entry for folder in level for entry in _scan(folder, required=folder == root)]
        for entry in entries:
            if entry.name.lower() in names:
                paths[entry.name.lower()].append(pathlib.Path(entry.path))
        level = [pathlib.Path(entry.path) for entry in entries if _is_folder(entry)]
    return paths


def _scan(folder: pathlib.Path, required: bool) -> list[os.DirEntry]:
    """Entries that are not hidden, without the subfolders of people (more than _MAX_FOLDERS)."""
    try:
        entries = [entry for entry in os.scandir(folder) if not entry.name.startswith('.')]
    except PermissionError:
        if required:
            raise
        return []
    folders = {entry.name for entry in entries if _is_folder(entry)}
    if len(folders) > _MAX_FOLDERS:
        people = {name for name in folders if name.lower() not in (*CELEBA_IMAGES, *LFW_IMAGES)}
        entries = [entry for entry in entries if entry.name not in people]
    return sorted(entries, key=lambda entry: entry.name)


def _first(paths: dict[str, list[pathlib.Path]], names: Sequence[str]) -> pathlib.Path | None:
    """The nearest path of the first name that has any; ValueError where two are equally near."""
    name = next((name for name in names if paths[name]), None)
    if name is None:
        return None
    depth = len(paths[name][0].parts)
    nearest = [path for path in paths[name] if len(path.parts) == depth]
    if len(nearest) > 1:
        raise ValueError(
            f'{len(nearest)} copies of {name}: {", ".join(map(str, nearest[:3]))}. Set the root to '
            'the folder of one copy, or remove the others'
        )
    return nearest[0]


def _raise_missing_celeba(
    root: pathlib.Path, name: str, paths: dict[str, list[pathlib.Path]]
) -> pathlib.Path:
    raise FileNotFoundError(
        f"no {name} in {root}. CelebA's layout is expected there: the folder {CELEBA_IMAGES[0]}/ "
        f'(aligned and cropped images) and the lists {", ".join(CELEBA_LISTS)}.'
        f'{_missing_from_celeba(root, name, paths)} All are on {CELEBA_HOME}'
    )


def _missing_from_celeba(
    root: pathlib.Path, name: str, paths: dict[str, list[pathlib.Path]]
) -> str:
    empty = next((path for folder in CELEBA_IMAGES for path in paths[folder]), None)
    if name in CELEBA_IMAGES:
        if empty and empty.is_dir():
            return f' {empty} holds no photo.{_archives_beside(empty.parent)}'
        return describe_copy(root) or _archives_beside(root)
    if name == 'identity_CelebA.txt' and (csv := paths['list_attr_celeba.csv']):
        return (
            f" This looks like Kaggle's copy, which has no identities: download {name} (in Anno/ "
            f'of the official archive) and put it into {csv[0].parent}.'
        )
    return describe_copy(root) if not any(paths.values()) else ''


def _archives_beside(root: pathlib.Path) -> str:
    archives = sorted(
        str(path.relative_to(root))
        for path in (*root.iterdir(), *root.glob('*/*'))
        if path.name.lower().endswith(_ARCHIVES)
    )
    return f' {archives[0]} looks like an archive: unpack it there.' if archives else ''


def _holds_photos(folder: pathlib.Path) -> bool:
    return folder.is_dir() and any(map(_is_photo, os.scandir(folder)))


def _holds_people(folder: pathlib.Path) -> bool:
    """Whether one of the first 20 folders in it holds photos."""
    if not folder.is_dir():
        return False
    people = (pathlib.Path(entry.path) for entry in os.scandir(folder) if _is_folder(entry))
    return any(map(_holds_photos, itertools.islice(people, 20)))


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _is_photo(entry: os.DirEntry) -> bool:
    return pathlib.Path(entry.name).suffix.lower() in SUFFIXES
