"""The page of the benchmarks: what scripts printed, and which could not run."""

import json
import subprocess

import pytest

from tests.benchmarks import __main__ as benchmarks
from tests.benchmarks import operations, page

LINES = [
    {
        'script': 'sampling',
        'load': '0.9',
        'benchmark': 'DDIM of 256 texts, 10 steps, 16 samples',
        'milliseconds': {'ours': 100.0, 'diffusers, PyTorch': 250.0},
        'ratio': {'diffusers, PyTorch': 2.5},
    },
    {'script': 'exact_search', 'missing': "faiss is not installed (pip install -e '.[bench]')"},
    {
        'script': 'stages',
        'load': '0.5',
        'stages': 'training step',
        'stage': 'random numbers',
        'milliseconds': 20.0,
        'share': 0.1,
    },
    {
        'script': 'growth',
        'load': '0.5',
        'growth': 'DDIM',
        'of': 'steps',
        'x': [5, 10],
        'milliseconds': [10.0, 20.0],
        'exponent': {'milliseconds': 1.0},
    },
]


def test_a_comparison_is_a_row_with_its_aim():
    table = page.comparisons(LINES)
    row = next(line for line in table.splitlines() if 'DDIM' in line)
    cells = [cell.strip() for cell in row.strip('|').split('|')]
    assert cells[1:6] == ['diffusers, PyTorch', '100', '250', '2.5', '2.0']
    assert cells[-1] == '0.9'


def test_a_missing_peer_is_named():
    assert '`exact_search`: faiss is not installed' in page.comparisons(LINES)
    errors = "Traceback:\n  import faiss\nModuleNotFoundError: No module named 'faiss'\n"
    assert benchmarks.reason(errors) == LINES[1]['missing']


def test_what_a_script_printed_before_it_failed_is_kept(monkeypatch):
    ran = subprocess.CompletedProcess([], 1, json.dumps({'benchmark': 'first'}), 'ValueError: no')
    monkeypatch.setattr(subprocess, 'run', lambda *_, **__: ran)
    lines = benchmarks.run('gpu')
    assert [line.get('benchmark') for line in lines] == ['first', None]
    assert lines[1] == {'script': 'gpu', 'missing': 'ValueError: no'}


def test_the_plot_is_the_same_each_time(tmp_path):
    first, second = tmp_path / 'first.svg', tmp_path / 'second.svg'
    for path in (first, second):
        page.plot(LINES, path)
    assert first.read_bytes() == second.read_bytes()


def test_rendering_twice_changes_nothing():
    text = page.PAGE.read_text()
    for name in page.PARTS:
        assert f'<!-- measured {name} -->' in text
    once = page.render(text, LINES)
    assert '| DDIM | steps | 5, 10 | 1.00 |' in once
    assert '| training step | random numbers | 20 | 10% |' in once
    assert page.render(once, LINES) == once


def test_the_page_shows_what_was_measured():
    text = page.PAGE.read_text()
    assert page.render(text, page.read()) == text


HLO = """
%fused (a: f32[8,4], b: f32[4,2]) -> f32[8,2] {
  %a = f32[8,4]{1,0} parameter(0)
  %b = f32[4,2]{1,0} parameter(1)
  ROOT %dot.1 = f32[8,2]{1,0} dot(%a, %b), lhs_contracting_dims={1}, rhs_contracting_dims={0}
}

ENTRY %main (x: f32[8,4], w: f32[4,2]) -> f32[8,2] {
  %fusion.1 = f32[8,2]{1,0} fusion(%x, %w), kind=kCustom, calls=%fused
  %mask = u32[8]{0} fusion(%key), kind=kLoop, calls=%bits
  %silu = f32[8,2]{1,0} fusion(%fusion.1), metadata={op_name="jit(step)/jvp(silu)/mul"}
  %adam = f32[4,2]{1,0} fusion(%w), metadata={op_name="jit(step)/mul"}
}
"""


def test_operations_by_kind():
    kinds = dict(operations.kinds(HLO, has_optimiser=True))
    assert kinds['fusion.1'] == operations.PRODUCTS
    assert kinds['mask'] == operations.RANDOM
    assert kinds['silu'] == operations.ELEMENTS
    assert kinds['adam'] == operations.UPDATES


def test_products_of_a_program():
    ((dot, times),) = operations.dots(HLO).items()
    assert (dot.a, dot.b, times) == ((8, 4), (4, 2), 1)
    assert dot.flops == 2 * 8 * 4 * 2


def test_an_unknown_script_is_refused():
    with pytest.raises(SystemExit, match='no such script: sampler; choose from face_encoder'):
        benchmarks.main(('sampler',))
