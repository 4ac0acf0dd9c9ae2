"""The page is self-contained, shows exactly the content, and survives bad content."""

import collections
import copy
import re

import pytest

from diface_jax.report import labels
from diface_jax.report.page import write_report
from tests import celeba_tree
from tests.report import made_up
from tests.report.reading import Page

METHODS = ('diface', 'cca', 'oracle')
OPTIONAL = (
    'curves',
    'attributes',
    'concepts',
    'negation',
    'short_queries',
    'mistakes',
    'differences',
    'groups',
    'clusters',
    'path',
    'panels',
    'sweep',
    'ablation',
    'retrieval',
    'added',
    'poor_photos',
)


@pytest.fixture(scope='module')
def content():
    return made_up.content(METHODS)


@pytest.fixture(scope='module')
def out(content, tmp_path_factory):
    out = tmp_path_factory.mktemp('full') / 'report.html'
    write_report(content, out)
    return out


@pytest.fixture(scope='module')
def page(out):
    return Page(out.read_text())


@pytest.fixture
def bare(content):
    """The results of one track and nothing else."""
    results = [row for row in content['results'] if row['track'] != 'human']
    return copy.deepcopy({**content, **dict.fromkeys(OPTIONAL), 'results': results})


def test_nothing_is_loaded_from_elsewhere(out, page):
    targets = [attrs[key] for _, attrs in page.elements for key in ('src', 'href') if key in attrs]
    targets += [attrs['xlink:href'] for _, attrs in page.elements if 'xlink:href' in attrs]
    # Fragments, pictures inside, and links to the figures beside the page.
    assert all(
        re.match(r'#|data:image/jpeg;|report/[\w.-]+\.(png|csv)$', target) for target in targets
    )
    assert all(
        (out.parent / target).is_file() for target in targets if target.startswith('report/')
    )
    assert not {'script', 'link', 'iframe', 'object', 'base'} & {tag for tag, _ in page.elements}
    assert all(url.startswith('#') for url in re.findall(r'url\(([^)]*)', out.read_text()))
    assert '@import' not in out.read_text()


def test_headings_tables_and_pictures_say_what_they_are(page):
    ids = [attrs['id'] for _, attrs in page.elements if 'id' in attrs]
    assert len(ids) == len(set(ids))
    assert {link['href'][1:] for link in page.all('a') if link['href'].startswith('#')} <= set(ids)
    assert {section['aria-labelledby'] for section in page.all('section')} <= set(ids)
    assert page.all('html')[0]['lang'] == 'en'
    assert len(page.all('h1')) == len(page.all('title')) == 1
    assert len(page.all('caption')) == len(page.all('table')) > 10
    assert all('scope' in attrs for attrs in page.all('th'))
    assert len(page.all('figure')) == 18
    pictures = [attrs for attrs in page.all('svg') if 'aria-hidden' not in attrs]
    assert len(pictures) >= 18
    assert all(attrs['role'] == 'img' and attrs['aria-label'] for attrs in pictures)


def test_every_result_is_in_its_table(page, content):
    # A list a heading: the tracks stand one after the other, with the same headings.
    shown = collections.defaultdict(list)
    for cell in page.cells:
        shown[cell[:4]].append((cell.text, cell.below))
    tracks = ['grammar-100', 'human']
    kinds = {
        ('one', 'identity'): 'one photo per person',
        ('all', 'identity'): 'all photos, rank of the person',
        ('all', 'image'): 'all photos, rank of the photo',
    }
    for row in content['results']:
        title, group = 'Verification', labels.impostor_name(row['impostors'])
        if row['gallery']:
            title = 'Open set' if row['metric'].startswith('dir') else 'Identification'
            group = f'{row["gallery"]} people, {kinds[row["photos"], row["level"]]}'
        where = (f'{title}, {labels.protocol_name(row["protocol"])}', group)
        names = (labels.method_name(row['method']), labels.metric_name(row['metric']))
        text, below = shown[(*where, *names)][tracks.index(row['track'])]
        low, high = row['ci95']
        assert text == f'{100 * row["value"]:.1f} ± {100 * row["sd"]:.1f}'
        assert below == f'{100 * low:.1f}–{100 * high:.1f}'


def test_retrieval_has_a_line_for_each_method(page, content):
    cells = {cell[:4]: cell.text for cell in page.cells}
    for row in content['retrieval']:
        group = f'{labels.track_name(row["track"])}: 1,635 captions, 1,635 photos'
        names = (labels.method_name(row['method']), labels.metric_name(row['metric']))
        assert cells['Image-level retrieval', group, *names] == f'{100 * row["value"]:.1f}'


def test_a_system_that_was_added_is_named_with_its_file(out):
    assert 'measured by the file of its scores ridge.npz' in out.read_text()


def numbers_in(content):
    if isinstance(content, dict | list):
        for value in content.values() if isinstance(content, dict) else content:
            yield from numbers_in(value)
    elif isinstance(content, int | float):
        yield content


def test_every_share_in_a_table_is_a_value_of_the_content(page, content):
    known = {f'{100 * value:z.1f}' for value in numbers_in(content)}
    cells = [cell for cell in page.cells if cell.kind == 'share']
    for cell in cells:
        assert set(re.findall(r'-?[\d.]+', f'{cell.text} {cell.below}')) <= known, cell
    assert len(cells) >= len(content['results'])


def test_sections_without_data_say_so(bare, tmp_path):
    for name in OPTIONAL[:4]:
        del bare[name]
    write_report(bare, tmp_path / 'report.html')
    text = (tmp_path / 'report.html').read_text()
    page = Page(text)
    assert not page.all('figure')
    assert not list((tmp_path / 'report').iterdir())
    assert len([attrs for attrs in page.all('p') if attrs.get('class') == 'none']) == 18
    for missing in (
        'differences',
        'ROC',
        'CMC',
        'mode sweep',
        'mode ablate',
        'without degraded photos',
        'free-hand',
        'labels of groups',
    ):
        assert any(missing in line for line in re.findall(r'class="none">([^<]*)', text)), missing


def test_hostile_text_is_text(bare, tmp_path):
    evil = '"><script>alert(1)</script><img src=x onerror=alert(1)>\'$a$ {{ 7 * 7 }}'
    failure_case = made_up.content(METHODS)['mistakes'][0]
    failure_case |= {'text': evil, 'described': evil, 'labels': {evil: [1, 0]}}
    change = made_up.attributes(made_up.np.random.default_rng(0), [evil])
    bare |= {
        'mistakes': [failure_case],
        'attributes': change,
        'config': {evil: evil},
        'commit': evil,
    }
    bare['data_card']['name'] = evil
    write_report(bare, tmp_path / 'report.html')
    page = Page((tmp_path / 'report.html').read_text())
    assert not {'script', 'img'} & {tag for tag, _ in page.elements}
    assert not any(key.startswith('on') for _, attrs in page.elements for key in attrs)
    assert page.text.count(evil) >= 6


def test_the_same_content_makes_the_same_bytes(bare, content, tmp_path):
    bare['curves'] = [curve for curve in content['curves'] if curve['kind'] == 'cmc']
    files = []
    for name in 'ab':
        (tmp_path / name).mkdir()
        write_report(bare, tmp_path / name / 'report.html')
        files.append({path.name: path.read_bytes() for path in (tmp_path / name).rglob('*.*')})
    assert files[0] == files[1]
    figure = 'cmc_grammar-100_cross'
    assert files[0].keys() == {'report.html', f'{figure}.png', f'{figure}.csv'}


def placeholders(page):
    """Attributes of the elements that stand for photographs that cannot be read."""
    return [span for span in page.all('span') if 'no-face' in span.get('class', '')]


def test_photographs_are_shown_once_and_missing_ones_by_name(bare, tmp_path):
    files = [f'img_align_celeba/{name}' for name in celeba_tree.make(tmp_path / 'faces')]
    search = made_up.content(METHODS)['panels'][1] | {'described': files[0]}
    search['mate']['file'] = files[1]
    for result in search['best']:
        result['file'] = files[2]
    search['best'][0]['file'] = 'img_align_celeba/gone.jpg'
    bare['panels'] = [search]
    bare['settings']['data']['data']['root'] = str(tmp_path / 'faces')
    write_report(bare, tmp_path / 'report.html')
    page = Page((tmp_path / 'report.html').read_text())
    assert len(page.all('symbol')) == len(page.all('image')) == 3
    assert len(page.all('use')) == 11
    assert len([item for item in page.all('li') if item.get('class') == 'true']) == 1
    assert 'rank 57.5' in page.text
    labels_of_missing = [span['aria-label'] for span in placeholders(page)]
    assert labels_of_missing == ['Result 1, not shown: img_align_celeba/gone.jpg']
    assert 'could not be read: 1' in page.text


def test_the_page_is_written_without_the_photographs(page):
    assert 'cannot be shown: no folder nowhere' in page.text
    assert not page.all('image')
    assert len(placeholders(page)) == 27
