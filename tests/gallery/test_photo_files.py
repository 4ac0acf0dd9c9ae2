"""Which files below a folder are photographs to enrol."""

import os
import pathlib

import pytest

from diface_jax.gallery.photo_files import find_photo_files

FOLDERS = (
    *('.thumbnails', '.Trash-1000', '@eaDir', 'Thumbs', 'thumbnails', '#recycle', 'lost+found'),
    *('$RECYCLE.BIN', 'System Volume Information', '__MACOSX'),
)


def add(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b'photo')


def names(found, root):
    return [os.fsdecode(os.path.relpath(path, os.fsencode(root))) for path in found.paths]


@pytest.mark.parametrize('folder', FOLDERS)
def test_thumbnails_and_trash_are_left_out_and_counted(tmp_path, folder):
    add(tmp_path, 'a.jpg', f'{folder}/b.jpg', f'Anna/{folder}/deep/c.jpg', 'Anna/d.jpg')
    found = find_photo_files(tmp_path)
    assert names(found, tmp_path) == ['Anna/d.jpg', 'a.jpg']
    assert sum(found.excluded.values()) == 2


def test_hidden_photos_are_left_out_and_other_hidden_files_are_no_photos(tmp_path):
    add(tmp_path, '._a.jpg', '.DS_Store', 'a.jpg')
    found = find_photo_files(tmp_path)
    assert names(found, tmp_path) == ['a.jpg']
    assert found.excluded == {'.*': 1}
    assert found.ignored == {'(none)': 1}


def test_a_hidden_folder_is_searched_when_it_is_the_one_that_is_given(tmp_path):
    add(tmp_path, '.photos/@eaDir/a.jpg', '.photos/b.jpg')
    assert names(find_photo_files(tmp_path / '.photos'), tmp_path) == ['.photos/b.jpg']
    assert names(find_photo_files(tmp_path / '.photos/@eaDir'), tmp_path) == [
        '.photos/@eaDir/a.jpg'
    ]


@pytest.mark.parametrize(
    ('pattern', 'left'),
    [
        ('Private', ['Anna/2.jpg', 'Anna/[1].jpg', 'Anna/old/3.jpg']),
        ('private', ['Anna/2.jpg', 'Anna/[1].jpg', 'Anna/old/3.jpg']),
        ('anna/o*', ['Anna/2.jpg', 'Anna/[1].jpg', 'Private/4.jpg']),
        ('[1].jpg', ['Anna/2.jpg', 'Anna/old/3.jpg', 'Private/4.jpg']),
        ('?.jpg', ['Anna/[1].jpg']),
    ],
)
def test_more_names_are_left_out_on_request(tmp_path, pattern, left):
    add(tmp_path, 'Anna/[1].jpg', 'Anna/2.jpg', 'Anna/old/3.jpg', 'Private/4.jpg', '.a/5.jpg')
    assert names(find_photo_files(tmp_path, [pattern]), tmp_path) == left


def test_a_folder_that_cannot_be_read_is_reported(tmp_path, monkeypatch):
    add(tmp_path, 'a.jpg', 'locked/b.jpg')
    scandir = os.scandir

    def refuse(path):
        if os.fsdecode(path).endswith('locked'):
            raise PermissionError(13, 'Permission denied', path)
        return scandir(path)

    monkeypatch.setattr(os, 'scandir', refuse)
    found = find_photo_files(tmp_path)
    assert names(found, tmp_path) == ['a.jpg']
    assert found.problems == {str(tmp_path / 'locked'): 'folder: Permission denied'}


def test_links_to_folders_are_named_and_followed_on_request_without_loops(tmp_path):
    root, elsewhere = tmp_path / 'photos', tmp_path / 'elsewhere'
    add(root, 'a.jpg', 'z/b.jpg')
    add(elsewhere, 'c.jpg', 'deep/d.jpg')
    links = {'again': root / 'z', 'out': elsewhere, 'z/up': root}
    for name, target in links.items():
        (root / name).symlink_to(target)
    (elsewhere / 'back').symlink_to(root)
    (elsewhere / 'self').symlink_to(elsewhere)
    found = find_photo_files(root)
    assert names(found, root) == ['a.jpg', 'z/b.jpg']
    assert found.links == [str(root / name) for name in sorted(links)]
    found = find_photo_files(root, follow_links=True)
    assert names(found, root) == ['a.jpg', 'out/c.jpg', 'out/deep/d.jpg', 'z/b.jpg']
    assert found.links == []


def test_a_file_that_is_given_is_taken_whatever_its_name(tmp_path):
    add(tmp_path, '.hidden')
    assert find_photo_files(tmp_path / '.hidden').paths == [os.fsencode(tmp_path / '.hidden')]
    with pytest.raises(FileNotFoundError, match='nowhere'):
        find_photo_files(pathlib.Path('nowhere'))
