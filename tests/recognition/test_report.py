"""The table shows every method and leaves out nothing silently."""

from diface_jax.recognition import report


def row(method, metric, value, gallery=None, impostors='random'):
    return {
        'method': method,
        'track': 'grammar',
        'protocol': 'cross',
        'impostors': impostors,
        'metric': metric,
        'gallery': gallery,
        'value': value,
        'sd': 0.01,
        'ci95': [value - 0.02, value + 0.02],
    }


def test_a_line_a_method_with_its_interval():
    rows = [
        row('diface', 'accuracy', 0.8),
        row('cca', 'accuracy', 0.7),
        row('diface', 'rank@10', 0.25, gallery=50),
        row('diface', 'rank@10', 0.15, gallery=550),
        row('diface', 'accuracy', 0.6, impostors='same_gender'),
    ]
    text = report.table(rows)
    first, second = text.split('\n\n')
    assert 'random impostors' in first
    assert 'R@10/550' in first
    assert '80.0 (78.0-82.0)' in first
    assert '15.0 (13.0-17.0)' in first
    assert '25.0' not in first
    assert '60.0 (58.0-62.0)' in second
    lines = first.splitlines()
    assert [line.split()[0] for line in lines[2:]] == ['diface', 'cca']
    # CCA has no rank here: a dash, not a number.
    assert lines[3].rstrip().endswith('-')
