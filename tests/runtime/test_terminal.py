"""Names that could control a terminal are printed as their codes."""

import pytest

from diface_jax.runtime import terminal


@pytest.mark.parametrize(
    ('name', 'printed'),
    [
        ('\x1b[31mred.jpg', '\\x1b[31mred.jpg'),
        ('two\nlines\r', 'two\\nlines\\r'),
        ('\x9b2J', '\\x9b2J'),
        ('\u202egnp.exe', '\\u202egnp.exe'),
        ('a\u2066b\u200b\ufeff', 'a\\u2066b\\u200b\\ufeff'),
        ('\udcff', '\\udcff'),
        ('\U000e0041', '\\U000e0041'),
        ('Zoë 男人 \U0001f468\u200d\U0001f469', 'Zoë 男人 \U0001f468\u200d\U0001f469'),
        ('C:\\new', 'C:\\new'),
    ],
)
def test_control_characters_are_printed_as_codes(name, printed):
    assert terminal.printable(name) == printed


def test_line_ends_stay_in_text_of_several_lines():
    assert terminal.printable_lines('a\x07\nb\r\n') == 'a\\x07\nb\\r\n'
