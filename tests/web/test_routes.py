"""The page's API: what it answers, and that it shows no more than it should."""

import contextlib
import hashlib
import io
import os
import re
import sqlite3

import pytest
from PIL import ExifTags, Image

from tests.gallery import world

fastapi = pytest.importorskip('fastapi')
testclient = pytest.importorskip('fastapi.testclient')

from diface_jax.gallery import enrollment, probe_photo  # noqa: E402
from diface_jax.web import probes  # noqa: E402
from diface_jax.web.application import application  # noqa: E402
from diface_jax.web.options import ServerOptions  # noqa: E402
from tests.web.requests import LOCAL, drop, search  # noqa: E402


def test_drop_search_and_remove(page):
    assert page.get('/api/gallery').json()['entries'] == 0
    assert drop(page, world.photo(1, 2), person=' Anna ').json()['faces'] == 2
    for who in range(3, 9):
        drop(page, world.photo(who), name=f'{who}.png')
    assert drop(page, world.photo(1, 2), name='again.png').json()['copies'] == 1
    found = search(page, 'person 1', k=3).json()
    assert found['decision'] == 'match'
    assert [one['rank'] for one in found['results']] == [1, 2, 3]
    first = found['results'][0]
    assert first['person'] == 'Anna'
    assert first['photo'].endswith('/a.png')
    picture = page.get(f'/api/faces/{first["entry"]}')
    assert picture.headers['content-type'] == 'image/jpeg'
    assert picture.content[:2] == b'\xff\xd8'
    assert page.delete(f'/api/entries/{first["entry"]}').json() == {'removed': 1}
    assert page.get(f'/api/faces/{first["entry"]}').status_code == 404
    assert 'Anna' not in search(page, 'person 1', k=100).text
    assert search(page, 'person 4', people=True).json()['mode'] == 'identify'


def test_what_cannot_be_is_explained(page, monkeypatch):
    drop(page, world.photo(1))
    for response in (search(page, ''), search(page, 'x' * 9999), search(page, 'person 1', k=0)):
        assert 400 <= response.status_code < 500
    assert 'no word' in search(page, ' ').json()['error']
    (why,) = drop(page, b'no image').json()['problems'].values()
    assert why == 'not an image of JPEG, PNG, WEBP, AVIF, TIFF, BMP, GIF'
    monkeypatch.setattr(enrollment, 'MAX_BYTES', 100)
    assert drop(page, bytes(101)).status_code == 413
    assert page.get('/api/gallery').json()['entries'] == 1


def test_a_photo_is_searched_by_and_forgotten(page, monkeypatch):
    for who in range(1, 6):
        drop(page, world.photo(who), name=f'{who}.png', person=f'person-{who}')
    assert page.get('/api/gallery').json()['takes_probe_photos'] is True
    taken = page.post('/api/probe', content=world.poor_photo(4, 2)).json()
    assert taken['picture'].startswith('data:image/jpeg;base64,')
    assert taken['size'] == '2 pixels wide'
    assert taken['notes'][0].startswith('the photo shows 2 faces')
    first, *_ = search_by(page, taken, []).json()['results']
    assert first['person'] == 'person-4'
    both = search_by(page, taken, ['person 3'], people=True).json()
    assert both['shares']['photo'] == pytest.approx(0.2, abs=0.01)
    assert both['probe_in_words'].startswith('The photo counts for about 20%')
    # It is not in the gallery, and the latest photos alone are kept.
    assert page.get('/api/gallery').json()['entries'] == 5
    monkeypatch.setattr(probes, 'MOST', 1)
    page.post('/api/probe', content=world.poor_photo(1))
    assert 'choose it again' in search_by(page, taken, []).json()['error']


def search_by(page, taken, texts, **options):
    return page.post('/api/search', json={'texts': texts, 'probe': taken['probe'], **options})


def test_what_cannot_be_a_probe_is_explained(page, monkeypatch):
    response = page.post('/api/probe', content=b'no image')
    assert response.status_code == 400
    assert response.json()['error'].startswith('the photo: not an image')
    monkeypatch.setattr(probe_photo, 'MAX_BYTES', 100)
    assert 'more than 100 bytes' in page.post('/api/probe', content=bytes(101)).json()['error']
    drop(page, world.photo(1))
    assert 'nothing to search by' in page.post('/api/search', json={'texts': []}).json()['error']


@pytest.mark.parametrize('number', ['99', '0', '-1', str(1 << 63), str(10**40)])
def test_a_picture_that_is_not_there_is_not_found(page, number):
    drop(page, world.photo(1))
    assert page.get(f'/api/faces/{number}').status_code == 404
    assert page.delete(f'/api/entries/{number}').json() == {'removed': 0}


def test_the_page_is_told_what_does_not_help(page):
    drop(page, world.photo(1))
    answer = search(page, 'person 1 with a car, a man with бородой').json()
    assert answer['not_about_a_face'] == ['car']
    assert answer['not_understood'] == ['бородой']
    assert answer['notes'] == ["'car': not about a face", "'бородой': not understood"]
    response = search(page, 'мужчина с бородой')
    assert response.status_code == 400
    assert 'not about a face, or not in English' in response.json()['error']


def test_conditions_and_choices(page, model, tmp_path):
    assert page.get('/api/gallery').json()['choices']['people'] == []
    world.folder_of(tmp_path / 'photos', people=3, photos=2)
    model.enroll(tmp_path / 'gallery', tmp_path / 'photos', people=True, tags={'place': 'Rome'})
    info = page.get('/api/gallery').json()
    assert info['choices'] == {
        'people': ['person-0', 'person-1', 'person-2'],
        'tags': {'place': ['Rome']},
        'first_taken': None,
        'last_taken': None,
    }
    where = [('person', 'person-1'), ('photo', '*/1.png')]
    (result,) = search(page, 'person 1', where=where).json()['results']
    assert result['photo'].endswith('person-1/1.png')
    assert search(page, 'person 1', where=[('since', 'soon')]).status_code == 400


def test_the_photo_of_a_face_is_shown(page, model, tmp_path):
    (file, *_) = world.folder_of(tmp_path / 'photos', people=1, photos=1)
    model.enroll(tmp_path / 'gallery', tmp_path / 'photos')
    response = page.get('/api/photos/1')
    assert response.content[:2] == b'\xff\xd8'
    size = [int(response.headers[f'x-photo-{side}']) for side in ('width', 'height')]
    assert size == [world.TILE, world.TILE]
    file.write_bytes(world.photo(5))
    assert 'holds another photograph now' in page.get('/api/photos/1').json()['error']
    file.unlink()
    assert f'no longer at {file}' in page.get('/api/photos/1').json()['error']
    drop(page, world.photo(2))
    assert 'keeps no photographs' in page.get('/api/photos/2').json()['error']
    assert page.get('/api/photos/9').status_code == 400


def test_a_photo_is_shown_without_its_metadata(page, model, tmp_path):
    (tmp_path / 'photos').mkdir()
    image = Image.open(io.BytesIO(world.photo(1)))
    image.save(tmp_path / 'photos' / 'a.png', exif=exif_of_a_place(image))
    model.enroll(tmp_path / 'gallery', tmp_path / 'photos')
    assert not Image.open(io.BytesIO(page.get('/api/photos/1').content)).getexif()


def exif_of_a_place(image):
    exif = image.getexif()
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] = 'N'
    exif[ExifTags.Base.Make] = 'a camera'
    return exif


@pytest.fixture
def rooted(model, tmp_path):
    """The server that shows photographs from below one folder alone."""
    world.folder_of(tmp_path / 'photos', people=1, photos=1)
    model.enroll(tmp_path / 'gallery', tmp_path / 'photos')
    options = ServerOptions(photos=tmp_path / 'photos')
    app = application(model, tmp_path / 'gallery', options)
    with testclient.TestClient(app, LOCAL) as client:
        yield client


def change_gallery(folder, sql, *values):
    with contextlib.closing(sqlite3.connect(folder / 'gallery.sqlite3')) as database, database:
        database.execute(sql, values)


def test_no_photo_outside_its_folder_is_shown(rooted, tmp_path):
    assert rooted.get('/api/photos/1').status_code == 200
    # A hostile gallery names another image of this disk, and its hash.
    other = tmp_path / 'other.png'
    other.write_bytes(world.photo(7))
    change_gallery(tmp_path / 'gallery', 'UPDATE file SET path = ?', bytes(other))
    sha256 = hashlib.sha256(world.photo(7)).digest()
    change_gallery(tmp_path / 'gallery', 'UPDATE photo SET sha256 = ?', sha256)
    for path in (other, tmp_path / 'photos' / '..' / 'other.png', tmp_path / 'photos' / 'link'):
        change_gallery(tmp_path / 'gallery', 'UPDATE file SET path = ?', os.fsencode(path))
        if path.name == 'link':
            path.symlink_to(other)
        refused = rooted.get('/api/photos/1')
        assert refused.status_code == 400
        assert 'so it is not shown' in refused.json()['error']


@pytest.mark.parametrize('knows_the_hash', [False, True])
def test_a_file_that_is_no_enrolled_photo_is_not_shown(page, model, tmp_path, knows_the_hash):
    world.folder_of(tmp_path / 'photos', people=1, photos=1)
    model.enroll(tmp_path / 'gallery', tmp_path / 'photos')
    (tmp_path / 'secret').write_text('root:x:0:0')
    change_gallery(tmp_path / 'gallery', 'UPDATE file SET path = ?', bytes(tmp_path / 'secret'))
    if knows_the_hash:
        sha256 = hashlib.sha256(b'root:x:0:0').digest()
        change_gallery(tmp_path / 'gallery', 'UPDATE photo SET sha256 = ?', sha256)
    refused = page.get('/api/photos/1')
    assert refused.status_code == 400
    assert 'root:x' not in refused.text


HOSTILE = (
    ('UPDATE entry SET feature = zeroblob(1 << 20)', 'is damaged'),
    ("UPDATE entry SET feature = x'0000c07f' WHERE id = 1", 'is damaged'),
    ('UPDATE entry SET feature = feature || feature', 'is damaged'),
    ('PRAGMA application_id = 7', 'is not a gallery'),
    ('CREATE VIEW evil AS SELECT 1', 'is not of a gallery'),
    ("UPDATE entry SET wide_picture = '<script>'", None),
)


@pytest.mark.parametrize(('sql', 'why'), HOSTILE)
def test_a_hostile_gallery_is_refused(page, tmp_path, sql, why):
    drop(page, world.photo(1, 2))
    change_gallery(tmp_path / 'gallery', sql)
    change_gallery(tmp_path / 'gallery', "UPDATE about SET value = '1' WHERE name = 'state'")
    if why:
        answer = search(page, 'person 1')
        assert answer.status_code == 400
        assert why in answer.json()['error']
    else:
        assert page.get('/api/faces/1').status_code == 400


PATHS = (
    '/%2e%2e/%2e%2e/%2e%2e/etc/passwd',
    '/api/photos/%2e%2e%2f%2e%2e%2fetc%2fpasswd',
    '/api/faces/..%5c..%5cetc%5cpasswd',
    '/api/photos/1%00.png',
    '/page.css',
    '/docs',
    '/openapi.json',
)


def test_no_path_leads_to_a_file(page):
    for path in PATHS:
        answer = page.get(path)
        assert answer.status_code in (404, 422), path
        assert 'root:' not in answer.text


def test_every_answer_forbids_guessing_its_kind_and_running_scripts(page):
    drop(page, world.photo(1))
    for path in ('/', '/api/faces/1', '/api/faces/9', '/api/gallery', '/none', '/healthz'):
        headers = page.get(path).headers
        assert headers['x-content-type-options'] == 'nosniff'
        assert headers['cache-control'] == 'no-store'
        assert "default-src 'none'" in headers['content-security-policy']
    refused = page.get('/', headers={'host': 'evil'})
    assert refused.headers['x-content-type-options'] == 'nosniff'


def test_a_model_of_simulated_people_takes_no_photographs(tmp_path):
    oracle = world.Oracle()
    oracle.face_encoder = [{**oracle.face_encoder[0], 'simulated': True}]
    app = application(world.model(oracle), tmp_path / 'gallery')
    with testclient.TestClient(app, base_url=LOCAL) as page:
        assert page.get('/api/gallery').json()['takes_photographs'] is False
        assert page.get('/api/gallery').json()['takes_probe_photos'] is False
        assert 'simulated people' in drop(page, world.photo(1)).json()['error']
        probe = page.post('/api/probe', content=world.photo(1))
        assert 'simulated people' in probe.json()['error']


def test_the_page_needs_nothing_from_elsewhere(page):
    response = page.get('/')
    assert response.status_code == 200
    assert not re.findall(r'(?:src|href)="(?!data:)[^"]*"|https?://|@import|url\(', response.text)
    policy = response.headers['content-security-policy']
    assert "default-src 'none'" in policy
    assert 'http' not in policy
    # Only what the page was made with may run.
    assert 'unsafe' not in policy
    assert not re.findall(r'<[^>]* on\w+=| style=', response.text)
    # Names and texts go into the page as text.
    assert 'innerHTML' not in response.text
