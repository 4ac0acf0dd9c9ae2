"""Concepts that free-hand sentences say or deny: red hair, freckles, a frown, ...

The patterns are in free_hand/concepts.json. A sentence is read by clause. It *says* a concept where
a clause names it without denying it, and it says *otherwise* where a clause denies it ('no
freckles') or says something else about the same part ('smooth skin'). It is *silent* in all other
cases: the part is not mentioned, or only with a doubt ('freckles maybe').
"""

import dataclasses
import enum
import functools
import json
import pathlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

SHIPPED = pathlib.Path(__file__).parent / 'free_hand' / 'concepts.json'

_NAME = re.compile(r'\{([a-z_]+)\}')
_GAP = r'(?:[a-z0-9]+ ){0,4}?'
# "hair's red" is read as 'hair red', "isn't" as 'isnt'.
_APOSTROPHE = re.compile(r"['’](?:(?:s|re)\b)?")
_FILLERS = re.compile(r',? *\b(um|uh|er|you know|kind of|kinda|sort of|i mean)\b,?')
_QUESTION = re.compile(r'([^.?!;]+)\?\s*([^.?!]*)')
_CLAUSE_END = re.compile(r'[.,;:!?()]| - |\b(?:but|though|although|while|whereas)\b')
_DENIAL = re.compile(
    r'\b(no|not|without|never|neither|nor|none|hardly|barely|lacks|lacking|free of'
    r'|(is|are|was|were|does|do|did|has|have|had|ca|wo)nt)\b'
)
_DOUBT = re.compile(r'\b(maybe|perhaps|possibly|probably|might|could be|not sure|cant tell)\b')


class Statement(enum.Enum):
    """What a sentence says of a concept."""

    SAYS = 'says'
    OTHERWISE = 'otherwise'
    SILENT = 'silent'


@dataclasses.dataclass(frozen=True)
class Concept:
    """A concept and the patterns that find it in a clause.

    Attributes:
      name: what it is called in tables.
      query: a short search text for it.
      says: names the concept.
      unclear: may mean it. A match of `says` inside one of `unclear` does not count, and a sentence
        with one of `unclear` does not say otherwise.
      otherwise: says something else about the same part.
    """

    name: str
    query: str
    says: re.Pattern[str]
    unclear: re.Pattern[str] | None
    otherwise: re.Pattern[str]

    def statement(self, sentence: str) -> Statement:
        """What a sentence says of this concept."""
        clauses = read_clauses(sentence)
        said = [match for clause in clauses for match in self._said(clause)]
        if 'affirmed' in said:
            return Statement.SAYS
        if 'doubted' in said or (self.unclear and any(map(self.unclear.search, clauses))):
            return Statement.SILENT
        if 'denied' in said or any(self._says_otherwise(clause) for clause in clauses):
            return Statement.OTHERWISE
        return Statement.SILENT

    def _said(self, clause: str) -> Iterator[str]:
        """For each time that a clause names the concept: 'affirmed', 'denied' or 'doubted'."""
        unclear = [match.span() for match in self.unclear.finditer(clause)] if self.unclear else []
        for match in self.says.finditer(clause):
            if any(start <= match.start() and match.end() <= end for start, end in unclear):
                continue
            if _DOUBT.search(clause):
                yield 'doubted'
            elif _DENIAL.search(clause, 0, match.start()):
                yield 'denied'
            else:
                yield 'affirmed'

    def _says_otherwise(self, clause: str) -> bool:
        match = None if _DOUBT.search(clause) else self.otherwise.search(clause)
        return match is not None and not _DENIAL.search(clause, 0, match.start())


def read_concepts(path: pathlib.Path = SHIPPED) -> list[Concept]:
    """The concepts of a table of patterns; the one that comes with the project by default.

    Args:
      path: a JSON file with "words" (lists of words by name) and "concepts". A pattern is a regular
        expression that starts and ends with whole words; `{name}` stands for one of those words,
        and ` ... ` for up to four other words.

    Raises:
      OSError: there is no such file.
      ValueError: it is no JSON, or a pattern cannot be used (names the concept).
    """
    table = json.loads(path.read_text(encoding='utf-8'))
    return [_concept(row, table['words'], path) for row in table['concepts']]


def _concept(row: Mapping[str, Any], words: Mapping[str, str], path: pathlib.Path) -> Concept:
    try:
        patterns = {kind: _pattern(row[kind], words) for kind in ('says', 'unclear', 'otherwise')}
    except (KeyError, re.error) as error:
        raise ValueError(f'{path}: concept "{row.get("name")}": {error!r}') from error
    return Concept(row['name'], row['query'], **patterns)


def _pattern(patterns: Sequence[str], words: Mapping[str, str]) -> re.Pattern[str] | None:
    if not patterns:
        return None
    joined = '|'.join(f'(?:{pattern})' for pattern in patterns)
    joined = _NAME.sub(lambda name: f'(?:{words[name[1]]})', joined)
    return re.compile(rf'\b(?:{joined.replace(" ... ", " " + _GAP)})\b')


@functools.lru_cache(maxsize=4096)
def read_clauses(sentence: str) -> tuple[str, ...]:
    """The clauses of a sentence, in lower case, without hyphens, apostrophes and fillers.

    An answer is joined to its question: 'Hair? Red, long.' is read as 'red hair', 'long hair'.
    """
    text = _APOSTROPHE.sub('', sentence.lower()).replace('-', ' ')
    text = _FILLERS.sub(' ', _QUESTION.sub(_join_answers, text))
    clauses = (' '.join(clause.split()) for clause in _CLAUSE_END.split(text))
    return tuple(clause for clause in clauses if clause)


def _join_answers(match: re.Match[str]) -> str:
    question, answers = match.groups()
    # Only the last clause before the question mark is the question.
    topic = question.split(',')[-1].strip()
    first, *others = answers.split(',')
    if _DENIAL.search(first):  # 'Dimples? No, smooth cheeks.'
        return ', '.join([f'{first.strip()} {topic}', *others])
    return ', '.join(f'{answer.strip()} {topic}' for answer in (first, *others))
