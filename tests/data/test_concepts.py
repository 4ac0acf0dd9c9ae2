"""What sentences say of a concept: said, denied, something else of the same part, or nothing."""

import json

import pytest

from diface_jax.data import concepts
from diface_jax.data.concepts import Statement

SHIPPED = {concept.name: concept for concept in concepts.read_concepts()}
SAYS, OTHERWISE, SILENT = Statement.SAYS, Statement.OTHERWISE, Statement.SILENT


@pytest.mark.parametrize(
    ('name', 'sentence', 'statement'),
    [
        ('red hair', 'Young woman with long, curly red hair.', SAYS),
        ('red hair', 'A red-haired man, serious.', SAYS),
        ('red hair', 'Hair? Short, ginger. Smile? None.', SAYS),
        ('red hair', "Her hair's, um, red, and she smiles.", SAYS),
        ('red hair', 'Brown hair, red lips, red scarf.', OTHERWISE),
        ('red hair', 'Reddish-brown hair, pale.', SILENT),
        ('red hair', 'A man with a ginger beard and a cap.', SILENT),
        ('freckles', 'Pale face with freckles on her nose.', SAYS),
        ('freckles', 'A pale girl, no freckles.', OTHERWISE),
        ('freckles', 'Freckles? None I can see.', OTHERWISE),
        ('freckles', 'Smooth fair skin and a small nose.', OTHERWISE),
        ('freckles', 'Freckly nose maybe, brown hair.', SILENT),
        ('freckles', 'Brown hair, big smile.', SILENT),
        ('dimples', 'Smiling without dimples, round cheeks.', OTHERWISE),
        ('dimples', 'Dimples? Both cheeks. Smile? Lips closed.', SAYS),
        ('dimples', 'Long hair, dimpled chin.', SILENT),
        ('bun', 'Hair like a bun, smooth.', SILENT),
        ('blue eyes', 'Blue eyeshadow and a small nose.', SILENT),
        ('blue eyes', 'His eyes are bright blue.', SAYS),
        ('sunglasses', 'Sunglasses pushed up on her head, blue eyes.', SILENT),
        ('laughing', 'Serious man with laughter lines.', SILENT),
    ],
)
def test_what_a_sentence_says_of_a_concept(name, sentence, statement):
    assert SHIPPED[name].statement(sentence) is statement


def test_a_denial_ends_with_its_clause():
    assert SHIPPED['freckles'].statement('No make-up, freckles, brown hair.') is SAYS
    assert SHIPPED['freckles'].statement('She has no spots or freckles.') is OTHERWISE


def test_an_answer_is_read_with_its_question():
    clauses = concepts.read_clauses("Hair? Red, long. Beard? None, clean-shaven. It's a man.")
    assert clauses == ('red hair', 'long hair', 'none beard', 'clean shaven', 'it a man')


def table(tmp_path, **changes):
    row = {
        'name': 'crown',
        'query': 'a crown',
        'says': ['{gold} ... crowns?'],
        'unclear': [],
        'otherwise': ['hats?'],
    }
    path = tmp_path / 'concepts.json'
    content = {'words': {'gold': 'gold|golden'}, 'concepts': [row | changes]}
    path.write_text(json.dumps(content))
    return path


def test_a_pattern_inserts_words_and_up_to_four_others(tmp_path):
    (crown,) = concepts.read_concepts(table(tmp_path))
    assert crown.statement('a golden and very old big crown') is SAYS
    assert crown.statement('a golden and very old and big crown') is SILENT
    assert crown.statement('golden hair, a crown') is SILENT
    assert crown.statement('golden hair, a hat') is OTHERWISE


@pytest.mark.parametrize('says', [['(gold'], ['{silver} crown']])
def test_a_pattern_that_cannot_be_used_is_named(tmp_path, says):
    with pytest.raises(ValueError, match=r'concepts\.json: concept "crown"'):
        concepts.read_concepts(table(tmp_path, says=says))


def test_shipped_concepts_have_distinct_names_and_queries():
    assert len(SHIPPED) > 30
    assert len({concept.query for concept in SHIPPED.values()}) == len(SHIPPED)
