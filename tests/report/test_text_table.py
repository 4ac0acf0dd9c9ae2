"""The text table shows every method, and a dash where a number is missing."""

from diface_jax.report import text_table
from tests.report.test_headline import row


def test_each_method_has_a_line_with_intervals():
    one_photo = {'photos': 'one', 'level': 'identity'}
    rows = [
        row('diface', 0.8, 'accuracy', 0.02),
        row('cca', 0.7, 'accuracy', 0.02),
        row('diface', 0.25, 'rank@10', gallery=50, **one_photo),
        row('diface', 0.15, 'rank@10', 0.02, gallery=550, **one_photo),
        row('diface', 0.35, 'rank@10', gallery=550, photos='all', level='identity'),
        row('diface', 0.6, 'accuracy', 0.02, impostors='same_gender'),
    ]
    first, second = text_table.text_table(rows).split('\n\n')
    assert 'random impostors' in first
    assert 'R@10/550' in first
    assert '80.0 (78.0–82.0)' in first
    assert '15.0 (13.0–17.0)' in first
    assert '25.0' not in first
    assert '35.0' not in first
    assert '60.0 (58.0–62.0)' in second
    # Ranks have no kind of impostor.
    assert 'R@10' not in second
    lines = first.splitlines()
    assert [line.split()[0] for line in lines[2:]] == ['diface', 'cca']
    # CCA has no rank here: a dash, not a number.
    assert lines[3].rstrip().endswith('-')
