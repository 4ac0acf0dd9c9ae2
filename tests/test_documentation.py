"""README and docs: their figures are those of docs/results.json, and a run's come in by command."""

import importlib.util
import json
import pathlib
import re
import subprocess
import sys

import pytest

from configs import celeba

ROOT = pathlib.Path(__file__).resolve().parents[1]
SCRIPT = ROOT / 'docs' / 'render_tables.py'


@pytest.fixture(scope='module')
def tables():
    spec = importlib.util.spec_from_file_location('render_tables', SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def results(tables):
    return tables.read()


def evaluation():
    """An `evaluation.json` of a quickstart, with DiFace's accuracy 0.8123 in every row."""
    methods = ('diface', 'literal', 'towers', 'cca', 'ridge', 'oracle', 'gender')
    kinds = [('accuracy', i, None) for i in ('random', 'same_gender')] + [('auc', 'random', None)]
    kinds += [('eer', 'random', None), ('rank@10', None, 100), ('rank@10', None, 203)]
    rows = [
        {
            'method': method,
            'track': 'grammar-100',
            'protocol': protocol,
            'impostors': impostors,
            'metric': metric,
            'gallery': gallery,
            'photos': 'one' if gallery else None,
            'level': 'identity' if gallery else None,
            'value': 0.4567 if gallery == 203 else 0.8123,
            'ci95': [0.7, 0.9],
        }
        for method in methods
        for protocol in ('cross', 'same')
        for metric, impostors, gallery in kinds
    ]
    sizes = {'photos': 609, 'identities': 203}
    splits = {'train': {'photos': 2547, 'identities': 849}, 'test': sizes}
    return {'results': rows, 'data_card': {'splits': splits}}


def test_every_page_says_what_the_results_say(tables, results):
    assert [page.name for page in tables.outdated(results)] == []


def test_no_time_begins_a_line(tables):
    """Markdown would take the rest of the line for HTML, and show its links as text."""
    pages = [page for page in tables.pages() if '\n<!-- time' in page.read_text()]
    assert pages == []


def test_a_figure_changed_by_hand_is_noticed(tables, results):
    page = (ROOT / 'docs' / 'results.md').read_text()
    assert '82.1 (80.3-83.9)' in page
    changed = page.replace('82.1 (80.3-83.9)', '85.1 (80.3-83.9)', 1)
    assert tables.render(changed, results) == page


def test_the_summary_and_the_full_table_agree(tables, results):
    tables_of_run = {
        'celeba': ('celeba-grammar', 'celeba-seeds', 'sizes'),
        'pack': ('summary', 'pack-grammar'),
    }
    for run, names in tables_of_run.items():
        row = next(r for r in results['results'] if r['method'] == 'diface' and r['run'] == run)
        row['accuracy'] = 12.3
        for name in names:
            assert '12.3' in tables.TABLES[name](results), name


def test_a_quickstart_brings_its_figures_to_the_table(tables, results):
    taken = tables.take_quickstart(results, evaluation())
    lines = [x for x in tables.TABLES['quickstart'](taken).splitlines() if 'DiFace' in x]
    assert lines == 2 * ['| **DiFace** | 81.2 (70.0-90.0) | 81.2 | 81.2 | 45.7 |']
    assert taken['runs']['quickstart']['test_people'] == 203
    assert len(taken['results']) == len(results['results'])


def test_the_model_that_ships_brings_its_figures_on_both_data_sets(tables, results):
    on_celeba, on_lfw = evaluation(), evaluation()
    on_lfw['results'] = [
        {**row, 'value': 0.5} if row['metric'] == 'auc' else row for row in on_lfw['results']
    ]
    taken = tables.take_pack(results, on_celeba, on_lfw)
    for name, auc in (('pack-grammar', '81.2'), ('pack-lfw', '50.0')):
        lines = [x for x in tables.TABLES[name](taken).splitlines() if 'DiFace' in x]
        assert lines == 2 * [f'| **DiFace** | 81.2 (70.0-90.0) | {auc} | 81.2 | 45.7 |']
    assert taken['runs']['pack']['test_people'] == 203


def test_results_are_written_as_they_were_read(tables, results, tmp_path):
    tables.write(results, tmp_path / 'results.json')
    assert (tmp_path / 'results.json').read_bytes() == tables.DATA.read_bytes()


def test_the_quickstart_ends_with_its_own_figures_beside_those_of_celeba(tmp_path):
    (tmp_path / 'evaluation.json').write_text(json.dumps(evaluation()))
    command = [sys.executable, SCRIPT, f'--closing={tmp_path / "evaluation.json"}']
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert '203 simulated people' in printed
    line = next(x for x in printed.splitlines() if x.startswith('DiFace'))
    assert line.split() == ['DiFace', '81.2', '82.1', '81.2', '91.6']
    assert max(map(len, printed.splitlines())) <= 100
    assert '--closing=' in (ROOT / 'launch' / 'quickstart.sh').read_text()


def test_an_unknown_table_is_an_error(tables, results):
    with pytest.raises(KeyError, match='no-such'):
        tables.render('<!-- table no-such --><!-- end -->', results)


def test_the_readme_is_short():
    assert len((ROOT / 'README.md').read_text().splitlines()) <= 200


def test_formulas_need_no_network():
    assert 'mathjax' not in (ROOT / 'docs' / 'conf.py').read_text().lower()


PAGES = [ROOT / 'README.md', *sorted(ROOT.glob('docs/*.md')), ROOT / 'launch/colab/README.md']


def settings(section, before=''):
    """The dotted names of all settings and sections."""
    for name, value in section.items():
        yield before + name
        if isinstance(value, dict):
            yield from settings(value, f'{before}{name}.')


def code_words(page):
    return re.findall(r'`([^`\n]+)`', page.read_text())


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_links_lead_to_pages_and_modules(page):
    for target in re.findall(r'\]\(([^)#]+)[^)]*\)', page.read_text()):
        if target.startswith('api/') and target != 'api/modules':
            path = ROOT / target.removeprefix('api/').replace('.', '/')
            assert path.with_suffix('.py').is_file() or path.is_dir(), target
        elif not target.startswith(('http', 'api/')):
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_paths_of_the_code_exist(page):
    folders = (path.name for path in (ROOT / 'diface_jax').iterdir() if path.is_dir())
    inside = '|'.join(('diface_jax', 'configs', 'launch', 'tests', 'docs', *folders))
    for word in code_words(page):
        if re.fullmatch(rf'({inside})/[\w./]+', word) and word != 'encoders/face/NAME.py':
            assert (ROOT / word).exists() or (ROOT / 'diface_jax' / word).exists(), word


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_settings_have_the_names_of_the_config(page):
    known = set(settings(celeba.get_config().to_dict()))
    sections = '|'.join(celeba.get_config())
    for word in re.findall(r'--config\.([a-z_.]+)', page.read_text()):
        assert word.rstrip('.') in known, word
    for word in code_words(page):
        if re.fullmatch(rf'({sections})(\.[a-z_]+)+', word):
            module = ROOT / 'diface_jax' / f'{word.replace(".", "/")}.py'
            is_file = word.endswith(('.csv', '.json', '.jsonl', '.safetensors'))
            assert word in known or module.is_file() or is_file, word
