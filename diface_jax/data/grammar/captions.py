"""Attributes to English: a probabilistic grammar over the labels of CelebA and LFWA+.

`describe` describes a face in one to five sentences that vary and never contradict a label. It
draws the content (claims: attributes with a value), then the phrases (sayings, each of which makes
one or more of these claims), then the order and the style of the sentences. The words are in
`phrases.py`.
"""

import collections
import functools
import itertools
import math
import random
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

from diface_jax.data.grammar import phrases

CELEBA_40 = (
    '5_o_Clock_Shadow', 'Arched_Eyebrows', 'Attractive', 'Bags_Under_Eyes', 'Bald', 'Bangs',
    'Big_Lips', 'Big_Nose', 'Black_Hair', 'Blond_Hair', 'Blurry', 'Brown_Hair', 'Bushy_Eyebrows',
    'Chubby', 'Double_Chin', 'Eyeglasses', 'Goatee', 'Gray_Hair', 'Heavy_Makeup',
    'High_Cheekbones', 'Male', 'Mouth_Slightly_Open', 'Mustache', 'Narrow_Eyes', 'No_Beard',
    'Oval_Face', 'Pale_Skin', 'Pointy_Nose', 'Receding_Hairline', 'Rosy_Cheeks', 'Sideburns',
    'Smiling', 'Straight_Hair', 'Wavy_Hair', 'Wearing_Earrings', 'Wearing_Hat',
    'Wearing_Lipstick', 'Wearing_Necklace', 'Wearing_Necktie', 'Young',
)  # fmt: skip
LFWA_73 = (
    'Male', 'Asian', 'White', 'Black', 'Baby', 'Child', 'Youth', 'Middle_Aged', 'Senior',
    'Black_Hair', 'Blond_Hair', 'Brown_Hair', 'Bald', 'No_Eyewear', 'Eyeglasses', 'Sunglasses',
    'Mustache', 'Smiling', 'Frowning', 'Chubby', 'Blurry', 'Harsh_Lighting', 'Flash',
    'Soft_Lighting', 'Outdoor', 'Curly_Hair', 'Wavy_Hair', 'Straight_Hair', 'Receding_Hairline',
    'Bangs', 'Sideburns', 'Fully_Visible_Forehead', 'Partially_Visible_Forehead',
    'Obstructed_Forehead', 'Bushy_Eyebrows', 'Arched_Eyebrows', 'Narrow_Eyes', 'Eyes_Open',
    'Big_Nose', 'Pointy_Nose', 'Big_Lips', 'Mouth_Closed', 'Mouth_Slightly_Open',
    'Mouth_Wide_Open', 'Teeth_Not_Visible', 'No_Beard', 'Goatee', 'Round_Jaw', 'Double_Chin',
    'Wearing_Hat', 'Oval_Face', 'Square_Face', 'Round_Face', 'Color_Photo', 'Posed_Photo',
    'Attractive_Man', 'Attractive_Woman', 'Indian', 'Gray_Hair', 'Bags_Under_Eyes',
    'Heavy_Makeup', 'Rosy_Cheeks', 'Shiny_Skin', 'Pale_Skin', '5_o_Clock_Shadow',
    'Strong_Nose-Mouth_Lines', 'Wearing_Lipstick', 'Flushed_Face', 'High_Cheekbones',
    'Brown_Eyes', 'Wearing_Earrings', 'Wearing_Necktie', 'Wearing_Necklace',
)  # fmt: skip
KNOWN_ATTRIBUTES = frozenset(CELEBA_40 + LFWA_73)

MAX_SAYINGS = 20  # keeps a caption under 110 words
PER_SENTENCE = 7  # sayings of a sentence, at most
MAX_ADJECTIVES = 3
PLAIN = 6  # weight of plain words ("a big nose") relative to an idiom

Claim = tuple[str, bool]
SLOT = re.compile(r'\{(\w+)\}')


class Caption(NamedTuple):
    """A description of a face.

    Attributes:
      text: one to five sentences.
      facts: the claims of the text: attribute to value.
    """

    text: str
    facts: dict[str, bool]


def caption(labels: Mapping[str, bool], rng: np.random.Generator, coverage: float = 1.0) -> str:
    """The text of `describe`."""
    return describe(labels, rng, coverage).text


def describe(
    labels: Mapping[str, bool], rng: np.random.Generator, coverage: float = 1.0
) -> Caption:
    """Describes a face by its labels.

    Args:
      labels: attribute (of CELEBA_40 or LFWA_73) to value; any subset of the attributes.
      rng: of all random choices; one number is drawn from it.
      coverage: probability with which each label may be mentioned; with 0 the text is "a person".

    Returns:
      One to five sentences, and the labels that they mention. Labels that contradict each other
      are not mentioned (`phrases.IMPOSSIBLE`, `phrases.YIELDS`).

    Raises:
      ValueError: an attribute is unknown, or `coverage` is outside [0, 1].
    """
    if unknown := sorted(set(labels) - KNOWN_ATTRIBUTES):
        raise ValueError(f'the grammar knows no attribute {unknown}; see CELEBA_40 and LFWA_73')
    if not 0 <= coverage <= 1:
        raise ValueError(f'coverage must be between 0 and 1, not {coverage}')
    draw = random.Random(int(rng.integers(2**63)))
    labelled = {(name, bool(value)) for name, value in labels.items()}
    allowed = [claim for claim in _consistent(labelled) if draw.random() < coverage]
    chosen = _choose(labelled, allowed, draw)
    facts = dict(claim for saying in chosen for claim in saying.claims if claim in labelled)
    return Caption(_Writer(draw, facts).write(*chosen), facts)


def vocabulary() -> frozenset[str]:
    """The words of the grammar, in lower case, in British and American spelling."""
    lines = [*itertools.chain(*WORDS.values(), *phrases.PRONOUNS.values()), GLUE]
    for verbs in (*phrases.VERBS.values(), *phrases.SLOTS.values()):
        lines += verbs.values()
    for saying in (*SAYINGS, *NOUNS):
        lines += itertools.chain(*saying.forms.values())
    for style in phrases.STYLES:
        lines += (style.openings, style.remarks, style.lists)
    lines += (phrases.SHOT, phrases.PHOTO_SENTENCES, phrases.PHOTO_NOTES)
    text = SLOT.sub(' ', '\n'.join(lines)).lower()
    return frozenset(WORD.findall(text)) | frozenset(WORD.findall(_american(text)))


# --- the lexicon, parsed -----------------------------------------------------------------------


class _Saying(NamedTuple):
    """Phrases by form, and the claims they make."""

    claims: tuple[Claim, ...]
    needed: frozenset[Claim]  # of the claims, those that must be labelled
    barred: frozenset[Claim]  # labels that exclude the phrases
    forms: Mapping[str, tuple[str, ...]]
    ways: int  # number of phrases

    def fits(self, labelled: set[Claim], unmentioned: set[Claim]) -> bool:
        """Whether it agrees with the labels and mentions only unmentioned ones."""
        return (
            self.needed <= unmentioned
            and self.barred.isdisjoint(labelled)
            and labelled.intersection(self.claims) <= unmentioned
        )

    def weight(self, unmentioned: set[Claim]) -> int:
        """Relative probability: higher for several unmentioned claims, or for many phrases."""
        return len(unmentioned.intersection(self.claims)) ** 2 * self.ways


@functools.cache
def _alternatives(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split('|'))


def _claim(text: str) -> Claim:
    name = text.removeprefix('not ')
    return name, name == text


def _claims(text: str) -> list[Claim]:
    return [_claim(part) for part in text.split(', ') if part]


def _saying(key: str, forms: Mapping[str, str]) -> _Saying:
    """Parses an entry of a table of `phrases`, which describes the format."""
    parts = [part for part in key.split(', ') if part]
    claims = [part for part in parts if not part.startswith('unless ')]
    barred = {_claim(part.removeprefix('unless ')) for part in parts if part not in claims}
    implied = [_claim(part.removesuffix('?')) for part in claims if part.endswith('?')]
    alternatives = {form: _alternatives(text) for form, text in forms.items()}
    return _Saying(
        claims=tuple(_claim(part.removesuffix('?')) for part in claims),
        needed=frozenset(_claim(part) for part in claims if not part.endswith('?')),
        barred=frozenset(barred | {(name, not value) for name, value in implied}),
        forms=alternatives,
        ways=sum(map(len, alternatives.values())),
    )


def _part_sayings(part: phrases.FacePart) -> Iterator[_Saying]:
    """Every choice of adjectives a part of the face can take: "a big nose", "a big sharp nose"."""
    article, noun = ('a ', part.noun[2:]) if part.noun.startswith('a ') else ('', part.noun)
    for *before, after in itertools.product(
        *[(None, *group) for group in part.before], (None, *part.after)
    ):
        adjectives = [f'{{{name}}}' for name in before if name]
        if not adjectives:
            continue
        tail = f' {{{after}}}' if after else ''
        forms = {'has': [f'{article}{" ".join([*adjectives, noun])}{tail}'] * PLAIN}
        if part.verb and not after:
            forms['clause'] = [f'{{their}} {noun} {part.verb} {" and ".join(adjectives)}'] * 2
        key = ', '.join(name for name in (*part.claims, *before, after) if name)
        yield _saying(key, {form: ' | '.join(texts) for form, texts in forms.items()})


def _bars() -> dict[Claim, frozenset[Claim]]:
    """Claim to the labels that exclude it."""
    bars = collections.defaultdict(set)
    for line in phrases.IMPOSSIBLE:
        for claim, contradiction in itertools.permutations(_claims(line), 2):
            bars[claim].add(contradiction)
    for text, stronger in phrases.YIELDS.items():
        bars[_claim(text)].update(_claims(stronger))
    return {claim: frozenset(excluding) for claim, excluding in bars.items()}


def _by_claim(sayings: Iterable[_Saying]) -> dict[Claim, list[_Saying]]:
    index = collections.defaultdict(list)
    for saying in sayings:
        for claim in saying.claims:
            index[claim].append(saying)
    return dict(index)


WORDS = {name: _alternatives(text) for name, text in phrases.WORDS.items()}
NOUNS = tuple(_saying(key, {'noun': text}) for key, text in phrases.NOUNS.items())
SAYINGS = (
    *itertools.starmap(_saying, phrases.SAYINGS.items()),
    *itertools.chain.from_iterable(map(_part_sayings, phrases.PARTS)),
)
SAYINGS_OF = _by_claim(SAYINGS)
BARS = _bars()
CHANCES = {(name, True): phrases.TRUE_CHANCE for name in KNOWN_ATTRIBUTES}
CHANCES |= {_claim(text): chance for text, chance in phrases.CHANCES.items()}
LAST_ADJECTIVES = [_claim(text) for text in phrases.LAST_ADJECTIVES]

# --- content -----------------------------------------------------------------------------------

# Only the noun can make these claims, so it must.
CLAIMS_OF_NOUN = frozenset(_claims('Male, not Male, Child, Baby'))


def _consistent(labelled: set[Claim]) -> list[Claim]:
    """The labels that no label excludes, sorted."""
    excluded = {claim for claim in BARS.keys() & labelled if not BARS[claim].isdisjoint(labelled)}
    return sorted(labelled - excluded)


def _choose(labelled: set[Claim], allowed: list[Claim], draw: random.Random) -> list[_Saying]:
    """A noun for the person, then sayings; together they make each claim at most once."""
    unmentioned = set(allowed)
    noun = _choose_noun(labelled, unmentioned, draw)
    unmentioned.difference_update(noun.claims)
    wanted = [claim for claim in allowed if draw.random() < CHANCES.get(claim, 0)]
    draw.shuffle(wanted)
    wanted.sort(key=CHANCES.__getitem__, reverse=True)  # optional claims come last
    chosen = []
    for claim in wanted:
        if claim not in unmentioned or len(chosen) == MAX_SAYINGS:
            continue
        fitting = [s for s in SAYINGS_OF.get(claim, ()) if s.fits(labelled, unmentioned)]
        if fitting:
            chosen += draw.choices(fitting, [saying.weight(unmentioned) for saying in fitting])
            unmentioned.difference_update(chosen[-1].claims)
    draw.shuffle(chosen)
    return [noun, *chosen]


def _choose_noun(labelled: set[Claim], unmentioned: set[Claim], draw: random.Random) -> _Saying:
    required = unmentioned & CLAIMS_OF_NOUN
    fitting = [n for n in NOUNS if required <= n.needed and n.fits(labelled, unmentioned)]
    return draw.choices(fitting, [noun.ways for noun in fitting])[0]


# --- wording -----------------------------------------------------------------------------------

GLUE = 'a an and with who wearing'
IN_OPENING = ('has', 'is', 'wears')  # forms of a sentence that introduces the person
IN_REMARK = ('has', 'is', 'wears', 'clause')
NOTE_CHANCE = 0.3  # of a caption in keywords: "Young woman, wavy blond hair, smiling."
ARTICLE = re.compile(r'^(?:an?|the|his|her|their) ')
NEGATION = re.compile(r'\b(?:no|not|without) |^(?:little|hardly) ')
UNLISTED = re.compile(r'^no | on$')  # "you can see no hat", "... a hat on"
BEFORE_VOWEL = re.compile(r'\b([Aa])(?= [aeiouAEIOU])')
WORD = re.compile(r"[a-z0-9][a-z0-9'-]*")


def _american(text: str) -> str:
    for british, american in phrases.AMERICAN.items():
        text = text.replace(british, american)
    return text


class _Writer:
    """Puts sayings into sentences, in one style, person and tense."""

    def __init__(self, draw: random.Random, facts: Mapping[str, bool]) -> None:
        self.draw = draw
        self.style = draw.choice(phrases.STYLES)
        male = facts.get('Male')
        self.they, their = phrases.PRONOUNS[male]
        self.slots = {'their': their, **phrases.SLOTS[self.style.past]}
        self.verbs = phrases.VERBS[self.style.past, False]
        self.their_verbs = phrases.VERBS[self.style.past, male is None]
        self.articles = draw.random() < 0.5  # kept where there is no sentence
        self.remarks = self._shuffled(self.style.remarks)
        self.lists = self._shuffled(self.style.lists)

    def write(self, noun: _Saying, *sayings: _Saying) -> str:
        """The whole caption; the first saying is the person's noun."""
        photo = [saying for saying in sayings if 'photo' in saying.forms]
        face = [saying for saying in sayings if 'photo' not in saying.forms]
        person, face = self._noun_phrase(noun, face)
        if self.draw.random() < NOTE_CHANCE:
            sentences = [*self._notes(person, face), *self._photo(photo, phrases.PHOTO_NOTES)]
        else:
            sentences = [*self._prose(person, face, photo)]
            sentences += self._photo(photo, phrases.PHOTO_SENTENCES)
        text = ' '.join(f'{sentence[0].upper()}{sentence[1:]}.' for sentence in sentences)
        text = BEFORE_VOWEL.sub(r'\1n', text)
        return _american(text) if self.draw.random() < 0.5 else text

    def _noun_phrase(self, noun: _Saying, face: list[_Saying]) -> tuple[str, list[_Saying]]:
        """A phrase such as "smiling, pale young woman", and the sayings it does not use."""
        first, last, rest = [], {}, []
        for saying in face:
            claim, words = saying.claims[0], saying.forms.get('adj')
            if not words or len(first) + len(last) == MAX_ADJECTIVES:
                rest.append(saying)
            elif claim in LAST_ADJECTIVES and self.draw.random() < 0.9:
                last[claim] = self.draw.choice(words)
            elif claim not in LAST_ADJECTIVES and self.draw.random() < 0.4:
                first.append(self.draw.choice(words))
            else:
                rest.append(saying)
        ordered = [last[claim] for claim in LAST_ADJECTIVES if claim in last]
        words = [*filter(None, [', '.join(first)]), *ordered, self.draw.choice(noun.forms['noun'])]
        return ' '.join(words), rest

    def _prose(self, person: str, face: list[_Saying], photo: list[_Saying]) -> Iterator[str]:
        most = max(1, min(4, len(face) // 2))
        least = max(1, math.ceil(len(face) / PER_SENTENCE))
        count = self.draw.randint(min(least, most), most)
        yield self._opening(person, face[::count], photo)
        for start in range(1, count):
            yield self._remark(face[start::count])

    def _opening(self, person: str, sayings: list[_Saying], photo: list[_Saying]) -> str:
        """The sentence that introduces the person; it may use up a saying of `photo`."""
        frame = self._pick(self.style.openings)
        if '{does}' in frame and sayings:
            return self._sentence(frame.replace('{noun}', person), sayings, self.verbs, IN_OPENING)
        shots = [saying for saying in photo if 'shot' in saying.forms]
        if '{does}' in frame:
            frame = '{person}'
        if shots and not self.style.past and self.draw.random() < 0.4:
            shot = self.draw.choice(shots)
            photo.remove(shot)
            frame = self._pick(phrases.SHOT).replace('{shot}', self.draw.choice(shot.forms['shot']))
        leads = {'has': ' with ', 'wears': ' wearing ', 'is': f' who {self.verbs["is"]} '}
        groups = self._grouped(sayings, IN_OPENING)
        modifiers = [leads[form] + self._list(things) for form, things in groups.items()]
        article = '' if frame == '{person}' and not self.articles else 'a '
        return frame.replace('{person}', f'{article}{person}{",".join(modifiers)}')

    def _remark(self, sayings: list[_Saying]) -> str:
        """A further sentence."""
        kind = self.draw.random()
        if kind < 0.2:
            return ', '.join(self._fragment(saying) for saying in sayings)
        if kind < 0.4 and self.lists and all('has' in saying.forms for saying in sayings):
            things = [self._fill(self.draw.choice(saying.forms['has'])) for saying in sayings]
            if not any(UNLISTED.search(thing) for thing in things):
                return self.lists.pop().replace('{things}', self._list(things))
        frame = self.remarks.pop().replace('{they}', self.they)
        return self._sentence(frame, sayings, self.their_verbs, IN_REMARK)

    def _sentence(
        self, frame: str, sayings: list[_Saying], verbs: Mapping[str, str], places: tuple[str, ...]
    ) -> str:
        """Fills `{does}` of a frame: "she has a big nose and is smiling, and her lips are full"."""
        groups = self._grouped(sayings, places)
        clauses = groups.pop('clause', [])
        does = [f'{verbs[form]} {self._list(things)}' for form, things in groups.items()]
        if not does:
            return self._list(clauses)
        sentence = frame.replace('{does}', self._list(does))
        if clauses:
            sentence += self.draw.choice((', and ', '; ')) + self._list(clauses)
        return sentence

    def _notes(self, person: str, face: list[_Saying]) -> list[str]:
        """Keywords: "Young woman, big nose, smiling. No glasses."."""
        count = self.draw.randint(1, max(1, min(3, len(face) // 3)))
        fragments = [self._fragment(saying) for saying in face]
        notes = [fragments[start::count] for start in range(count)]
        notes[0].insert(0, person)
        if self.draw.random() < 0.2:
            notes.reverse()
        return [', '.join(note) for note in notes]

    def _photo(self, sayings: list[_Saying], frames: str) -> list[str]:
        """The sentence about the photo; none without sayings."""
        if not sayings:
            return []
        things = [self.draw.choice(saying.forms['photo']) for saying in sayings]
        return [self._pick(frames).replace('{things}', self._list(things))]

    def _grouped(self, sayings: list[_Saying], places: tuple[str, ...]) -> dict[str, list[str]]:
        """A phrase of each saying, by form."""
        groups = {}
        for saying in sayings:
            form, phrase = self._phrase(saying, places)
            groups.setdefault(form, []).append(self._fill(phrase))
        return groups

    def _fragment(self, saying: _Saying) -> str:
        """A phrase that stands alone: "big nose", "her mouth slightly open", "wearing a hat"."""
        form, phrase = self._phrase(saying, IN_REMARK)
        phrase = self._fill(phrase, verbless=form == 'clause').replace('  ', ' ')
        if form == 'wears' and self.draw.random() < 0.5:
            return f'wearing {phrase}'
        return phrase if self.articles else ARTICLE.sub('', phrase)

    def _phrase(self, saying: _Saying, places: tuple[str, ...]) -> tuple[str, str]:
        """A phrase of the saying whose form is among `places`, and that form."""
        return self.draw.choice(
            [(form, phrase) for form in places for phrase in saying.forms.get(form, ())]
        )

    def _pick(self, alternatives: str) -> str:
        return self.draw.choice(_alternatives(alternatives))

    def _shuffled(self, alternatives: str) -> list[str]:
        frames = list(_alternatives(alternatives))
        self.draw.shuffle(frames)
        return frames

    def _fill(self, phrase: str, verbless: bool = False) -> str:
        def word(slot: re.Match) -> str:
            if verbless and slot[1] in ('is', 'are'):
                return ''
            return self.slots.get(slot[1]) or self.draw.choice(WORDS[slot[1]])

        return SLOT.sub(word, phrase)

    def _list(self, things: list[str]) -> str:
        """A list such as "a, b and no c"; negations go last, so that they cover nothing else."""

        def denial(thing: str) -> int:
            negation = NEGATION.search(thing)
            if not negation:
                return 0
            return 1 if negation.start() else 2

        *before, last = sorted(things, key=denial)
        if not before:
            return last
        comma = ',' if len(before) > 1 and self.draw.random() < 0.3 else ''
        return f'{", ".join(before)}{comma} and {last}'
