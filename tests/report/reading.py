"""Reads a page back: its elements, and the cells of its tables by what stands around them."""

import html.parser
from typing import NamedTuple

VOID = {'meta', 'link', 'br', 'hr', 'img', 'input', 'col'}


class Cell(NamedTuple):
    caption: str
    group: str
    row: str
    column: str
    kind: str
    text: str
    below: str


class Page(html.parser.HTMLParser):
    """A page that closes every element it opens, as an HTML parser sees it."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.cells, self.text = [], [], ''
        self._open, self._here = [], {}
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.elements.append((tag, attrs))
        if tag in VOID:
            return
        self._open.append(tag)
        if tag == 'table':
            self._here = {'caption': '', 'group': '', 'row': '', 'columns': []}
        elif tag == 'tbody':
            self._here['group'] = ''
        elif tag == 'th' and attrs['scope'] == 'col':
            self._here['columns'].append('')
        elif tag == 'th' and attrs['scope'] == 'row':
            self._here.update(row='', cells=[])
        elif tag == 'td':
            self._here['cells'].append([attrs.get('class', ''), '', ''])
        self._scope = attrs.get('scope') if tag == 'th' else None if tag == 'td' else self._scope

    _scope = None

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag
        if tag == 'tr' and self._here.get('cells'):
            names = self._here['columns'][1:]
            for column, (kind, text, below) in zip(names, self._here.pop('cells'), strict=True):
                around = (self._here['caption'], self._here['group'], self._here['row'])
                self.cells.append(Cell(*around, column, kind, text, below))

    def handle_data(self, data):
        self.text += data
        if 'caption' in self._open:
            self._here['caption'] += data
        elif 'td' in self._open:
            self._here['cells'][-1][2 if 'small' in self._open else 1] += data
        elif 'th' in self._open:
            if self._scope == 'col':
                self._here['columns'][-1] += data
            else:
                self._here['group' if self._scope == 'rowgroup' else 'row'] += data

    def all(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]
