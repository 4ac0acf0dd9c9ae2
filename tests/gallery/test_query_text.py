"""Descriptions taken apart."""

import pytest

from diface_jax.gallery import query_text


def test_texts_are_cleaned_and_checked():
    assert query_text.check_texts('  a man\n with\ta hat ') == ['a man with a hat']
    assert query_text.check_texts(['a', 'b']) == ['a', 'b']
    assert query_text.check_texts('ein Mann mit Bärtchen, 男人') == ['ein Mann mit Bärtchen, 男人']
    assert (
        len(query_text.check_texts('x' * query_text.MAX_CHARACTERS)[0]) == query_text.MAX_CHARACTERS
    )
    for bad in ('', [], [' '], 'x' * (query_text.MAX_CHARACTERS + 1), 'a\x00b'):
        with pytest.raises(ValueError, match='description'):
            query_text.check_texts(bad)
