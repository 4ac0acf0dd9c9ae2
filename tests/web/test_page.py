"""The page in a browser: headless Chromium, driven by selenium; one for all tests."""

import base64
import contextlib
import io
import shutil
import socket
import threading
import urllib.parse

import numpy as np
import pytest
from PIL import ExifTags, Image

from tests.gallery import world
from tests.web.conftest import TOKEN

pytest.importorskip('fastapi')
webdriver = pytest.importorskip('selenium.webdriver')

import uvicorn  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

from diface_jax.gallery.entries import PhotoLabel  # noqa: E402
from diface_jax.web.application import application  # noqa: E402
from diface_jax.web.options import ServerOptions  # noqa: E402

_CHROMIUM = ('chromium', 'chromium-browser', 'google-chrome')
_ARGUMENTS = (
    *('--headless=new', '--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu'),
    *('--disable-background-networking', '--disable-component-update', '--disable-sync'),
    *('--no-first-run', '--window-size=1100,1000'),
)
EVIL = '<img src=x onerror=window.evil=1>"\'</script><script>window.evil=1</script>'


@pytest.fixture(scope='module')
def browser(tmp_path_factory):
    chromium = next(filter(None, map(shutil.which, _CHROMIUM)), None)
    driver = shutil.which('chromedriver')
    if not chromium or not driver:
        pytest.skip('needs Chromium and chromedriver: apt-get install chromium chromium-driver')
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in (*_ARGUMENTS, f'--user-data-dir={tmp_path_factory.mktemp("profile")}'):
        options.add_argument(argument)
    opened = webdriver.Chrome(options, webdriver.ChromeService(driver))
    yield opened
    opened.quit()


@pytest.fixture(scope='module')
def model():
    return world.model()


@pytest.fixture(scope='module')
def photos(tmp_path_factory):
    """A folder per person, with photos of which the first were taken in 2019 and 2020."""
    folder = tmp_path_factory.mktemp('photos')
    files = world.folder_of(folder, people=6)
    for year, file in zip((2019, 2020), files, strict=False):
        exif = Image.Exif()
        taken = f'{year}:07:14 12:00:00'
        exif[ExifTags.IFD.Exif] = {ExifTags.Base.DateTimeOriginal: taken}
        Image.open(io.BytesIO(file.read_bytes())).save(file, exif=exif)
    return folder


@pytest.fixture(scope='module')
def served(model, photos, tmp_path_factory):
    """The page's address, over a gallery of these photos and of one with evil labels."""
    gallery = tmp_path_factory.mktemp('served') / 'gallery'
    model.enroll(gallery, photos, people=True, tags={'place': 'Rome'})
    label = PhotoLabel(EVIL, {EVIL: EVIL})
    model.enroll_bytes(gallery, f'{EVIL}.png', evil_photo(), label)
    with serving(application(model, gallery)) as address:
        yield address


def evil_photo():
    """A photo of person 20 whose EXIF holds scripts."""
    exif, data = Image.Exif(), io.BytesIO()
    exif[ExifTags.Base.ImageDescription] = exif[ExifTags.Base.Artist] = EVIL
    exif[ExifTags.IFD.Exif] = {ExifTags.Base.DateTimeOriginal: EVIL}
    Image.open(io.BytesIO(world.photo(20))).save(data, 'PNG', exif=exif)
    return data.getvalue()


@contextlib.contextmanager
def serving(app):
    listening = socket.create_server(('127.0.0.1', 0))
    running = uvicorn.Server(uvicorn.Config(app, log_level='error', lifespan='off'))
    thread = threading.Thread(target=running.run, kwargs={'sockets': [listening]}, daemon=True)
    thread.start()
    yield f'http://127.0.0.1:{listening.getsockname()[1]}/'
    running.should_exit = True
    thread.join(10)


class Page:
    """What a user sees and does."""

    def __init__(self, browser, address):
        self.browser, self.address = browser, address

    def open(self, link=''):
        self.browser.get('about:blank')
        self.browser.get(self.address + link)
        self.wait_for(lambda: 'face' in self.text('count').lower())
        return self

    def __getitem__(self, name):
        return self.browser.find_element(By.ID, name)

    def all(self, selector):
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def text(self, name):
        return self[name].get_property('textContent')

    def wait_for(self, condition):
        WebDriverWait(self.browser, 30, 0.02).until(lambda _: condition())

    def press(self, *keys):
        webdriver.ActionChains(self.browser, duration=0).send_keys(*keys).perform()

    def type(self, text, name='text'):
        self[name].clear()
        self[name].send_keys(text)

    def search(self, text):
        before = self.script('return turn')
        self.type(text)
        self['go'].click()
        self.wait_for_answer(before)

    def wait_for_answer(self, before=0):
        done = "return turn > arguments[0] && !document.getElementById('go').ariaDisabled"
        self.wait_for(lambda: self.script(done, before))

    def script(self, code, *values):
        return self.browser.execute_script(code, *values)

    def names(self):
        return self.script("return [...document.querySelectorAll('.name')].map((e) => e.innerText)")

    def focused(self):
        return self.browser.switch_to.active_element

    def width(self, pixels, dark=False):
        size = {'width': pixels, 'height': 900, 'deviceScaleFactor': 1, 'mobile': False}
        self.browser.execute_cdp_cmd('Emulation.setDeviceMetricsOverride', size)
        scheme = {'name': 'prefers-color-scheme', 'value': 'dark' if dark else 'light'}
        self.browser.execute_cdp_cmd('Emulation.setEmulatedMedia', {'features': [scheme]})


@pytest.fixture
def page(browser, served):
    opened = Page(browser, served).open()
    yield opened
    opened.width(1100)
    refused = [line['message'] for line in browser.get_log('browser')]
    assert not [message for message in refused if 'Content Security Policy' in message]


def test_leads_come_first_and_say_what_they_are(page):
    page.search('person 3 with a car')
    assert page.text('heading') == '3 matches and 7 leads among 19 faces, most likely first'
    assert page.text('notes') == "'car': not about a face"
    assert page.names()[:3] == ['person-3'] * 3
    assert page.all('.likelihood')[0].text == 'more than 19 in 20'
    assert not page['match-rule'].is_displayed()
    page.all('#rule summary')[0].click()
    assert page['match-rule'].text.startswith('A match scores at least 0.500')
    assert len(page.all('#meaning dd')) == 4


def test_only_a_short_status_is_live_and_labels_name_the_result(page):
    page.search('person 3')
    assert [region.get_attribute('id') for region in page.all('[aria-live], [role=status]')] == [
        'status'
    ]
    assert page.text('status') == page.text('heading').replace('M', 'm', 0)
    (first, *_) = page.all('.face')
    assert first.accessible_name == 'Open the photo of face 1: person-3, more than 19 in 20'
    assert page.all('.face img')[0].get_attribute('alt') == 'Face 1: person-3'
    unnamed = [
        element.get_attribute('outerHTML')
        for element in page.all('button, input, select, textarea, img')
        if element.is_displayed() and not element.accessible_name
    ]
    assert not unnamed


def test_what_cannot_be_searched_is_explained(page):
    page.search('person 3')
    page.search('ein Mann mit Bart')
    assert 'not about a face, or not in English' in page['error'].text
    assert not page['answer'].is_displayed()
    page.search(' ')
    assert 'no word' in page['error'].text


def test_filters_are_in_the_link(page):
    page.search('person 3')
    page['filters'].click()
    page.type('person-5', 'f-person')
    before = page.script('return turn')
    page['f-person'].send_keys(Keys.TAB)
    page.wait_for_answer(before)
    assert page.names() == ['person-5'] * 3
    link = page.browser.current_url
    assert urllib.parse.parse_qs(link.split('#')[1]) == {'q': ['person 3'], 'person': ['person-5']}
    page.browser.refresh()
    page.wait_for_answer()
    assert page.names() == ['person-5'] * 3
    assert page['f-person'].get_property('value') == 'person-5'
    page.browser.back()
    page.wait_for(lambda: len(page.names()) == 10)


@pytest.mark.parametrize(
    ('filters', 'faces'),
    [
        ({'since': '2019-07-14', 'until': '2019-07-14'}, 1),
        ({'since': '2019-01-01'}, 2),
        ({'tag': 'place=Rome', 'path': 'person-4'}, 3),
        ({'tag': 'place=Paris'}, 0),
        ({'once': '1', 'tag': 'place=Rome'}, 6),
    ],
)
def test_each_filter(page, filters, faces):
    page.open('#' + urllib.parse.urlencode({'q': 'person 3', **filters}))
    page.wait_for_answer()
    assert len(page.names()) == faces
    assert page['filters'].get_attribute('open')


def test_more_than_ten(page):
    page.search('person 3')
    page['more'].click()
    page.wait_for(lambda: len(page.names()) == 19)
    assert page.focused().accessible_name.startswith('Open the photo of face 11:')
    assert not page['more'].is_displayed()
    page.browser.refresh()
    page.wait_for(lambda: len(page.names()) == 19)


def test_the_photo_opens_with_the_face_framed(page, photos):
    page.search('person 3')
    page.all('.face')[0].click()
    page.wait_for(lambda: page['frame'].is_displayed())
    assert page['photo-image'].get_property('naturalWidth') == world.TILE
    frame, image = page['frame'].rect, page['photo-image'].rect
    # The box of a tile reaches from its first to its last pixel.
    assert frame['width'] == pytest.approx(image['width'] * 7 / 8, abs=2)
    assert frame['x'] == pytest.approx(image['x'], abs=2)
    assert str(photos / 'person-3') in page['facts'].text
    permissions = ['clipboardReadWrite', 'clipboardSanitizedWrite']
    page.browser.execute_cdp_cmd('Browser.grantPermissions', {'permissions': permissions})
    (copy_path,) = [b for b in page.all('#facts button') if b.text == 'Copy path']
    copy_path.click()
    page.wait_for(lambda: page.text('status') == 'Path copied')


def test_a_photo_that_is_not_kept_is_explained(page):
    page.search('person 20')
    page.all('.face')[0].click()
    page.wait_for(lambda: 'keeps no photographs' in page.text('photo-note'))


def test_the_keyboard_alone(page):
    page['text'].click()
    page.press('person 3', Keys.ENTER)
    page.wait_for_answer()
    assert page.focused() == page['text']
    for _ in range(20):
        if page.focused().get_attribute('class') == 'face':
            break
        page.press(Keys.TAB)
    page.press(Keys.ENTER)
    page.wait_for(lambda: page['viewer'].is_displayed())
    assert page['viewer'].accessible_name == 'Face 1: person-3'
    page.press(Keys.ARROW_RIGHT)
    page.wait_for(lambda: page.text('viewer-title').startswith('Face 2:'))
    page.press(Keys.ESCAPE)
    page.wait_for(lambda: not page['viewer'].is_displayed())
    assert page.focused().accessible_name.startswith('Open the photo of face 2:')


def test_after_an_answer_the_focus_is_on_the_results(page):
    page.search('person 1 or person 2')
    assert page['question'].text == ('It would help most to know: Does the person wear glasses?')
    page.all('#answers button')[0].click()
    page.wait_for(lambda: 'with glasses' in page['text'].get_property('value'))
    page.wait_for(lambda: page.focused() == page['heading'])
    assert not page['ask'].is_displayed() or 'glasses' not in page['question'].text


def test_nothing_runs_from_a_name_or_from_exif(page):
    page.search('person 20')
    assert page.names()[0] == EVIL
    page.all('.face')[0].click()
    page.wait_for(lambda: EVIL in page['facts'].text)
    assert page.script('return window.evil') is None
    add_script = "const s = document.createElement('script'); s.textContent = 'window.evil = 1'"
    page.script(f'{add_script}; document.body.append(s)')
    assert page.script('return window.evil') is None
    page.browser.get_log('browser')  # says that the policy refused it


# --- a photo of the person sought ---


@pytest.fixture
def still(tmp_path):
    file = tmp_path / 'still.png'
    file.write_bytes(world.poor_photo(4, 5))
    return file


def give(page, still):
    before = page.script('return turn')
    page['probe-file'].send_keys(str(still))
    page.wait_for_answer(before)


def drop_on(page, name, file):
    target = page[name].rect
    at = {'x': target['x'] + target['width'] / 2, 'y': target['y'] + 20}
    data = {'items': [], 'files': [str(file)], 'dragOperationsMask': 1}
    for kind in ('dragEnter', 'dragOver', 'drop'):
        page.browser.execute_cdp_cmd('Input.dispatchDragEvent', {'type': kind, 'data': data, **at})


def test_a_photo_alone_then_with_words_then_removed(page, still):
    give(page, still)
    assert page.names()[:3] == ['person-4'] * 3
    assert page['probe-image'].get_property('naturalWidth') > 0
    assert 'still.png, which is 2 pixels wide' in page['probe-about'].text
    assert page['probe-words'].text == 'The face in the photo is 2 pixels wide.'
    assert page['notes'].text.startswith('the photo shows 2 faces')
    assert not page['ask'].is_displayed()
    page.search('person 3')
    assert page['probe-words'].text.startswith('The photo counts for about 20%')
    assert page.names()[0] == 'person-3'
    before = page.script('return turn')
    page['remove-probe'].click()
    page.wait_for_answer(before)
    assert page.focused() == page['choose-probe']
    assert not page['probe-image'].is_displayed()
    assert page['probe-words'].text == ''
    page.browser.back()
    page.wait_for(lambda: page['probe-image'].is_displayed())
    page.wait_for(lambda: '20%' in page['probe-words'].text)


def test_a_dropped_photo_and_a_pasted_one_are_searched_by(page, still):
    before = page.script('return turn')
    drop_on(page, 'text', still)
    page.wait_for_answer(before)
    assert page.names()[0] == 'person-4'
    assert page['count'].text == '19 faces in 19 photographs'
    encoded = base64.b64encode(world.poor_photo(2)).decode()
    page.script(_PASTE, encoded)
    page.wait_for(lambda: page.names()[:1] == ['person-2'])
    assert 'pasted.png' in page['probe-about'].text


_PASTE = """
const bytes = Uint8Array.from(atob(arguments[0]), (letter) => letter.charCodeAt(0));
const clipboardData = new DataTransfer();
clipboardData.items.add(new File([bytes], 'pasted.png', { type: 'image/png' }));
document.getElementById('text').dispatchEvent(
  new ClipboardEvent('paste', { clipboardData, bubbles: true, cancelable: true }));
"""


def test_a_link_leaves_the_photo_out_and_says_so(page, still):
    page.search('person 3')
    give(page, still)
    link = urllib.parse.parse_qs(page.browser.current_url.split('#')[1])
    assert link == {'q': ['person 3'], 'photo': ['left-out']}
    page.browser.refresh()
    page.wait_for_answer()
    assert 'which a link leaves out: choose it again' in page['missing'].text
    assert not page['probe-image'].is_displayed()
    give(page, still)
    assert not page['missing'].is_displayed()


def test_the_keyboard_chooses_and_removes_a_photo(page, still):
    page['go'].click()
    page['text'].click()
    page.press(Keys.TAB, Keys.TAB)
    assert page.focused() == page['choose-probe']
    give(page, still)
    page['choose-probe'].send_keys(Keys.TAB)
    assert page.focused() == page['remove-probe']
    page.press(Keys.ENTER)
    page.wait_for(lambda: page.text('status') == 'The photo is removed')
    assert not page['answer'].is_displayed()
    assert page.focused() == page['choose-probe']


def test_a_photo_that_cannot_be_searched_by_is_explained(page, still):
    give(page, still)
    (still.parent / 'note.png').write_bytes(b'no image')
    page['probe-file'].send_keys(str(still.parent / 'note.png'))
    page.wait_for(lambda: page['error'].is_displayed())
    assert page['error'].text.startswith('The photo: not an image')
    assert 'still.png' in page['probe-about'].text
    page.script("takeProbe({ size: 5.1e7, name: 'large.png' })")
    page.wait_for(lambda: 'arge.png has more than 50 megabytes' in page['error'].text)


@pytest.mark.parametrize('dark', [False, True], ids=['light', 'dark'])
def test_narrow_and_dark(page, still, dark):
    page.width(360, dark)
    give(page, still)
    page.search('person 3, with a beard, smiling')
    assert page.script('return document.documentElement.scrollWidth') <= 360
    colours = page.script(
        'const of = getComputedStyle(document.body); return [of.color, of.backgroundColor]'
    )
    assert contrast(*colours) > 7
    for kind in ('.for', '.against', '.quiet', '.kind'):
        for element in page.all(kind)[:1]:
            assert contrast(element.value_of_css_property('color'), colours[1]) > 4.5
    page.all('.face')[0].click()
    page.wait_for(lambda: page['frame'].is_displayed())
    assert page['viewer'].rect['width'] <= 360
    assert page['close'].is_displayed()


def contrast(*colours):
    """The contrast of two CSS colours, as WCAG defines it."""

    def luminance(colour):
        channels = np.array([float(c) for c in colour.split('(')[1].strip(')').split(',')[:3]])
        linear = np.where(
            channels <= 10, channels / 3294.6, ((channels / 255 + 0.055) / 1.055) ** 2.4
        )
        return float(linear @ (0.2126, 0.7152, 0.0722))

    dark, light = sorted(map(luminance, colours))
    return (light + 0.05) / (dark + 0.05)


# --- pages that change their gallery ---


@pytest.fixture
def fresh(browser, model, tmp_path):
    """A page over an empty gallery."""
    with serving(application(model, tmp_path / 'gallery')) as address:
        yield Page(browser, address).open()


def folder_to_add(tmp_path):
    world.folder_of(tmp_path / 'trip', people=2, photos=1)
    (tmp_path / 'trip' / 'blurred.jpg').write_bytes(b'no image')
    (tmp_path / 'trip' / 'notes.txt').write_text('of the trip')
    return tmp_path / 'trip'


ADDED = '2 new faces; 1 photograph without one, see below; 1 file is no photograph'


def test_a_dropped_folder_is_added(fresh, tmp_path):
    drop_on(fresh, 'drop', folder_to_add(tmp_path))
    fresh.wait_for(lambda: ADDED in fresh['adding'].text)
    assert 'trip/blurred.jpg: not an image' in fresh['adding'].text
    fresh.wait_for(lambda: fresh['count'].text == '2 faces in 2 photographs')


def test_a_chosen_folder_is_added_under_its_peoples_names(fresh, tmp_path):
    fresh['by-folder'].click()
    fresh['folder'].send_keys(str(folder_to_add(tmp_path)))
    fresh.wait_for(lambda: ADDED in fresh['adding'].text)
    fresh.search('person 1')
    assert fresh.names() == ['person-1', 'person-0']


def test_removing_asks_about_that_face(fresh, model, tmp_path):
    for who in (1, 2):
        name, label = f'{who}.png', PhotoLabel(f'person-{who}')
        model.enroll_bytes(tmp_path / 'gallery', name, world.photo(who), label)
    fresh.search('person 1')
    for answer in ('keep', 'remove'):
        fresh.all('.face')[0].click()
        (remove,) = [b for b in fresh.all('#facts button') if b.text == 'Remove this face']
        assert remove.accessible_name == 'Remove face 1: person-1'
        remove.click()
        asked = fresh['confirm-text'].text
        assert asked.startswith('Face 1: person-1\n')
        assert '/1.png\nentry 1' in asked
        assert fresh['confirm-image'].get_property('naturalWidth') > 0
        assert fresh.focused() == fresh['keep']
        fresh[answer].click()
        if answer == 'keep':
            fresh['close'].click()
            assert len(fresh.names()) == 2
    fresh.wait_for(lambda: fresh.names() == ['person-2'])
    assert 'person-2' in fresh.focused().accessible_name
    fresh.wait_for(lambda: fresh['count'].text == '1 face in 1 photograph')


def test_a_page_of_simulated_people_offers_no_photographs(browser, tmp_path):
    oracle = world.Oracle()
    oracle.face_encoder = [{**oracle.face_encoder[0], 'simulated': True}]
    with serving(application(world.model(oracle), tmp_path / 'gallery')) as address:
        page = Page(browser, address).open()
        page.wait_for(lambda: page['no-photographs'].is_displayed())
        assert not page['add'].is_displayed()
        assert not page['probe'].is_displayed()


# --- logging in ---


def test_who_has_a_token_logs_in_searches_and_logs_out(browser, model, token_file, tmp_path):
    options = ServerOptions(token_file=token_file)
    model.enroll_bytes(tmp_path / 'gallery', '1.png', world.photo(1), PhotoLabel('person-1'))
    with serving(application(model, tmp_path / 'gallery', options)) as address:
        page = Page(browser, address)
        browser.get(address)
        page.type('wrong', 'token')
        page['token'].submit()
        page.wait_for(lambda: 'This token is not known.' in browser.page_source)
        page.type(TOKEN, 'token')
        page['token'].submit()
        page.wait_for(lambda: page.all('#log-out') and page['log-out'].is_displayed())
        assert page['log-out'].text == 'Log out anna'
        assert page.script('return document.cookie') == ''
        page.search('person 1')
        assert page.names() == ['person-1']
        page['log-out'].click()
        page.wait_for(lambda: page.all('#token'))
        assert not page.all('#search')


def test_a_page_that_asked_too_often_waits_and_asks_again(browser, model, token_file, tmp_path):
    """The stub answers 429 twice, as a server does that is asked too often."""
    model.enroll_bytes(tmp_path / 'gallery', '1.png', world.photo(1), PhotoLabel('person-1'))
    with serving(application(model, tmp_path / 'gallery')) as address:
        page = Page(browser, address).open()
        page.script(_REFUSE_TWICE)
        page.search('person 1')
        assert page.names() == ['person-1']
        assert page.script('return window.refused') == 2


_REFUSE_TWICE = """
const answer = window.fetch;
window.refused = 0;
window.fetch = (path, options) => (window.refused++ < 2
  ? Promise.resolve(new Response('{}', { status: 429, headers: { 'Retry-After': '0.01' } }))
  : (window.refused--, answer(path, options)));
"""
