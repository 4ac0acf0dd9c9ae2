"""Tables of concepts and negations show counts, and a dash where a split has too few positives."""

from diface_jax.report import word_tables
from tests.report import made_up


def test_a_concept_has_a_line_with_each_split_and_its_positives():
    table = word_tables.concept_table(made_up.concepts())
    assert table.columns[1::2] == ['AUC, validation people', 'AUC, test people']
    lines = [(name, *(cell.text for cell in cells)) for name, cells in table.groups[0].lines]
    assert lines == [
        ('mean of the concepts', '', '58.0', '2 concepts', '64.0', '1 concepts'),
        ('red hair', 'red hair', '61.0', '24', '64.0', '31'),
        ('frown', 'frowning', '55.0', '6', '–', '–'),
    ]


def test_negations_are_counted_by_attribute():
    lines = word_tables.negation_table(made_up.negation()).groups[0].lines
    assert [(name, *(cell.text for cell in cells)) for name, cells in lines] == [
        ('all', '6', '66.7'),
        ('No Beard', '4', '100.0'),
        ('Young', '2', '0.0'),
    ]


def test_the_hardest_short_query_comes_first():
    lines = word_tables.short_query_table(made_up.short_queries()).groups[0].lines
    assert [(name, *(cell.text for cell in cells)) for name, cells in lines] == [
        ('mean', '85.0', ''),
        ('lady in hat', '80.0', '5'),
        ('man beard', '90.0', '90'),
    ]


def test_the_terminal_names_the_lowest_concept():
    text = word_tables.words_text(made_up.content())
    assert 'lowest 55.0 (frown)' in text
    assert 'Short queries: mean AUC 85.0 (80.0–90.0) of 2 queries' in text
    assert 'Negation: 66.7 (30.0–100.0) of 6 pairs' in text


def test_the_terminal_says_nothing_of_what_was_not_measured():
    assert word_tables.words_text({'concepts': None, 'negation': None}) == ''
