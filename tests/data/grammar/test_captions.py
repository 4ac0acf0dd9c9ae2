"""The grammar never speaks against the labels, says everything it should, and reads as English.

What a caption claims is checked twice: by the facts it reports, and by words that give a claim
away, written by hand here and found in the text, whatever the grammar thinks it said.
"""

import collections
import itertools
import os
import re
import subprocess
import sys

import numpy as np
import pytest

from diface_jax.data.grammar import captions, phrases

UNION = sorted(captions.KNOWN_ATTRIBUTES)


def face(names: tuple[str, ...], true: str) -> dict[str, bool]:
    """Every label false but those named."""
    return {name: name in true.split() for name in names}


WOMAN = face(
    captions.CELEBA_40,
    'Arched_Eyebrows Attractive Big_Lips Brown_Hair Heavy_Makeup High_Cheekbones No_Beard Smiling '
    'Mouth_Slightly_Open Oval_Face Wavy_Hair Wearing_Earrings Wearing_Lipstick Young',
)
MAN = face(
    captions.LFWA_73,
    'Male White Senior Gray_Hair Eyeglasses Mustache Frowning Chubby Straight_Hair Big_Nose '
    'Oval_Face Receding_Hairline Bushy_Eyebrows Brown_Eyes Mouth_Closed Teeth_Not_Visible '
    'Double_Chin Wearing_Necktie Bags_Under_Eyes 5_o_Clock_Shadow Strong_Nose-Mouth_Lines Outdoor',
)

# Words that deny something, and what must then be labelled: any claim of a row. All of a row's
# matches are struck out before the words that affirm are looked for.
DENYING = (
    (r'not clean-shaven', 'not No_Beard'),
    (r'no beard or (?:mustache|stubble)', 'No_Beard'),
    (r'(?:no|without a) beard|beardless|not bearded|but beardless', 'No_Beard'),
    (r'(?:no|without) facial hair|no whiskers|no hair on \w+ face', 'No_Beard'),
    (r'(?:no|without a) mustache|no hair on \w+ upper lip', 'not Mustache'),
    (
        r'(?:no|without|not wearing) (?:glasses|spectacles|specs|eyewear)',
        'not Eyeglasses, No_Eyewear',
    ),
    (r'no smile|not smiling|without a smile|unsmiling', 'not Smiling'),
    (r'no longer young|not young', 'not Young'),
    (
        r'(?:no heavy|no obvious|little or no|hardly any|little) makeup|not heavily made up'
        r'|(?:no makeup|not made up) to speak of',
        'not Heavy_Makeup',
    ),
    (
        r'(?:no|without|not wearing) lipstick(?: on)?|unpainted lips|no lip color',
        'not Wearing_Lipstick',
    ),
    (r'not? (?:hat|headgear)(?: on)?|not wearing a hat|hatless|bare-headed', 'not Wearing_Hat'),
    (r'(?:no|without a|not wearing a) (?:neck)?tie(?: on)?|tieless', 'not Wearing_Necktie'),
    (
        r'(?:no|without|not wearing) earrings(?: on)?|no ear jewelry|no jewelry in \w+ ears',
        'not Wearing_Earrings',
    ),
    (
        r'(?:no|without a) fringe|(?:no|without) bangs|no hair over \w+ forehead'
        r'|(?:kept away from|hair (?:is |was )?off) \w+ forehead',
        'not Bangs',
    ),
    (r'no hair on top|little or no hair|hardly any hair on \w+ head', 'Bald'),
    (r'no receding hairline|not receding|not losing any hair', 'not Receding_Hairline'),
    (r'no teeth|not showing \w+ teeth|teeth (?:are |were )?not visible', 'Teeth_Not_Visible'),
    (r'not in color', 'not Color_Photo'),
    (r'not taken outdoors', 'not Outdoor'),
    (r'not posed|unposed', 'not Posed_Photo'),
    (r'not sharp', 'Blurry'),
)
NEGATION = r'\b(?:no|not|without|hardly|never|nothing|none|neither|nor)\b'
NOUN = (
    r'(?:\w*man|lady|gentleman|gent|fella|guy|fellow|chap|bloke|lad|girl|boy|male|female|person'
    r'|individual)'
)

# Words that affirm something, and what must then be labelled: any claim of a row.
AFFIRMING = (
    (r'\b(?:he|his|man|gentleman|gent|guy|fellow|fella|chap|bloke|male|lad|boy)\b', 'Male'),
    (r'\b(?:she|her|woman|lady|female|girl|brunette)\b', 'not Male'),
    (r'\blad\b|young lady|youthful|youngish', 'Young, Youth'),
    (r'\byoung\b|\bgirl\b', 'Young, Youth, Child, Baby'),
    (r'\bboy\b|child|\bkid\b|youngster|little girl', 'Child, Baby'),
    (r'baby|infant', 'Baby'),
    (r'\bolder\b|mature', 'not Young'),
    (r'middle-aged|middle age|middle years', 'not Young, Middle_Aged'),
    (r'elderly|\bold\b|(?<!-)\baged\b|advanced in years|great age', 'Senior'),
    (r'getting on in years|past \w+ youth', 'not Young'),
    (
        r'(?:good|nice)-looking|good looks|attractive|easy on|pleasant to|(?:pleas|appeal)ing face',
        'Attractive, Attractive_Man, Attractive_Woman',
    ),
    (rf'\bWhite {NOUN}|white {NOUN}|Caucasian|European', 'White'),
    (rf'\bBlack {NOUN}|dark-skinned|dark skin|African', 'Black'),
    (r'(?<!South )Asian', 'Asian'),
    (r'Indian|South Asian', 'Indian'),
    (r'(?:black|dark)(?:-haired| hair| waves| curls)', 'Black_Hair'),
    (r'\bblack\b', 'Black_Hair, Black, not Color_Photo'),
    (r'\b(?:brown|brownish|chestnut)(?:-brown)?(?:-haired| hair| waves| curls)', 'Brown_Hair'),
    (r'brunette|chestnut|brownish|brown shade', 'Brown_Hair'),
    (
        r'brown(?:-eyed| eyes| irises)|eyes(?: that)?(?: are| were)?(?: [na]\w+ and)? brown\b',
        'Brown_Eyes',
    ),
    (r'\bbrown\b', 'Brown_Hair, Brown_Eyes'),
    (r'blond|flaxen|golden|fair(?:-haired| hair| waves| curls)', 'Blond_Hair'),
    (r'gray|silver|salt-and-pepper', 'Gray_Hair'),
    (r'\bfair\b', 'Blond_Hair, Pale_Skin'),
    (r'pale|milky|porcelain|(?:fair|light)-skinned|light complexion', 'Pale_Skin'),
    (r'wav[ey]', 'Wavy_Hair'),
    (r'curl(?!y)|curly', 'Curly_Hair'),
    (r'straight(?!-faced| face)', 'Straight_Hair'),
    (r'\bbald', 'Bald'),
    (r'bangs|fringe', 'Bangs'),
    (r'hair falling over', 'Bangs'),
    (
        r'receding|thinning|losing hair|moved back|far back|from the forehead back',
        'Receding_Hairline',
    ),
    (
        r'full head of hair|full hairline|hairline (?:is |was )?full|plenty of hair',
        'not Receding_Hairline',
    ),
    (r'sideburns|side-whisker|hair down in front', 'Sideburns'),
    *[
        (r'(?:clean|smooth)[- ]shaven|freshly shaved', claim)
        for claim in ('No_Beard', 'not Goatee', 'not Mustache', 'not 5_o_Clock_Shadow')
    ],
    (r'bearded|\bbeard\b|facial hair|hair on \w+ face', 'not No_Beard'),
    (r'goatee|chin beard|chin tuft|tuft of|circle beard|beard on', 'Goatee'),
    (r'mustach|\btash\b|hair on \w+ upper lip|circle beard', 'Mustache'),
    (r'upper lip (?:is |was )?bare|bare upper lip', 'not Mustache'),
    (r"stubbl|unshaven|o'clock|designer|days' growth", '5_o_Clock_Shadow'),
    (r'bush', 'Bushy_Eyebrows'),
    (r'\barch|curved (?:eye)?brows|curve to \w+ eyebrows', 'Arched_Eyebrows'),
    (r'narrow|squint', 'Narrow_Eyes'),
    (r'eyes (?:both )?open|open eyes|open-eyed|eyes (?:are|were) open', 'Eyes_Open'),
    (
        r'eyes (?:are |were )?(?:closed|shut)|closed eyes|closing \w+ eyes|eyelids lowered',
        'not Eyes_Open',
    ),
    (r'\bbags\b|baggy|puffy|pouches', 'Bags_Under_Eyes'),
    (r'sunglasses|shades|dark glasses', 'Sunglasses'),
    (r'(?<!dark )\bglasses|spectacle|\bspecs|eyeglasses', 'Eyeglasses'),
    (
        r'(?:big|large|broad|wide|prominent|sizeable)(?: \w+)? nose|big-nosed|large side'
        r'|good-sized',
        'Big_Nose',
    ),
    (r'nose(?: is| was)? (?:big|large|broad|wide|prominent|sizeable)', 'Big_Nose'),
    (r'\bpoint|sharp', 'Pointy_Nose'),
    (
        r'smile lines|laughter lines|nose-to-mouth|from (?:\w+ )?nose to|lines beside',
        'Strong_Nose-Mouth_Lines',
    ),
    (r'\b(?:smil(?:e(?! lines)|ing)|grin|grinning|beaming)\b', 'Smiling'),
    (r'toothy|shows \w+ teeth|teeth in a smile', 'Smiling'),
    (r'\bserious|straight-faced|straight face|solemn', 'not Smiling'),
    (r'frown|scowl|furrowed|knitted', 'Frowning'),
    (
        r'(?:slightly|a little) open|parted|open(?:-mouthed|-lipped)? (?:smile|grin)'
        r'|smiling open-mouthed',
        'Mouth_Slightly_Open',
    ),
    (
        r'closed[- ](?:lip|mouth)|mouth (?:is |was )?(?:closed|shut)|lips (?:are |were )?'
        r'(?:together|closed)',
        'Mouth_Closed, not Mouth_Slightly_Open',
    ),
    (r'wide[- ]open|gaping|opened wide', 'Mouth_Wide_Open'),
    (r'open-mouthed', 'Mouth_Wide_Open, Mouth_Slightly_Open'),
    (r'teeth (?:are |were )?(?:hidden|covered|out of)', 'Teeth_Not_Visible'),
    (
        r'toothy|teeth (?:are |were )?(?:showing|visible|on show)|visible teeth|(?:shows|showing) '
        r'(?:\w+) teeth',
        'not Teeth_Not_Visible',
    ),
    (
        r'(?:full|thick|big|large|plump|fleshy)(?: painted| lipsticked)? lips'
        r'|(?:full|thick)-lipped|full mouth|full side'
        r'|lips (?:are |were )?(?:full|thick|big|large|plump|fleshy)',
        'Big_Lips',
    ),
    (r'lipstick|painted|lip color|made-up lips', 'Wearing_Lipstick'),
    (r'heavily made|makeup', 'Heavy_Makeup'),
    (r'oval|egg-shaped', 'Oval_Face'),
    (r'square|boxy', 'Square_Face'),
    (r'round(?:ed|ish)? face|moon|round (?:shape|outline)|face (?:is |was )?round', 'Round_Face'),
    (r'round-jawed|round(?:ed)? jaw|curve to \w+ jaw', 'Round_Jaw'),
    (r'double|second chin|under \w+ chin', 'Double_Chin'),
    (r'chubby|heavyset|overweight|stout|heavy (?:side|build)|weight', 'Chubby'),
    (r'cheekbones', 'High_Cheekbones'),
    (r'rosy|pink|blush|color in', 'Rosy_Cheeks'),
    (
        r'ruddy|red-faced|red in the|reddened|red tinge|\bred face|face (?:is |was )?red|flushed',
        'Flushed_Face',
    ),
    (r'flush', 'Flushed_Face, Rosy_Cheeks'),
    (r'shin[ey]|glossy|gleaming|oily|sheen', 'Shiny_Skin'),
    (
        r'(?:clear|uncovered|whole|bare) forehead'
        r'|forehead (?:is |was )?(?:uncovered|fully|visible)',
        'Fully_Visible_Forehead',
    ),
    (r'part(?:ly)? (?:covered|hidden|of)|half-covered', 'Partially_Visible_Forehead'),
    (
        r'(?<!ly )(?<!half-)\b(?:covered|hidden) forehead|forehead (?:is |was )?'
        r'(?:covered|hidden|out of)',
        'Obstructed_Forehead',
    ),
    (r'\bhat\b|headgear', 'Wearing_Hat'),
    (r'\b(?:neck)?tie\b', 'Wearing_Necktie'),
    (r'earrings|ear jewelry|(?:in|on) \w+ ears', 'Wearing_Earrings'),
    (r'necklace|jewelry round|ears and neck', 'Wearing_Necklace'),
    (r'blur|out[- ]of[- ]focus|fuzzy', 'Blurry'),
    (r'\bflash\b|flash-lit', 'Flash'),
    (r'harsh|hard light', 'Harsh_Lighting'),
    (r'soft(?:ly)? (?:lit|light)|gently lit', 'Soft_Lighting'),
    (r'outdoor|outside|open air', 'Outdoor'),
    (r'indoor|inside', 'not Outdoor'),
    (r'(?:in|full) color|a color (?:photo|picture|shot)', 'Color_Photo'),
    (r'black[- ]and[- ]white|monochrome', 'not Color_Photo'),
    (r'\bposed', 'Posed_Photo'),
    (r'candid', 'not Posed_Photo'),
)


def claims_of(row: str) -> list[tuple[str, bool]]:
    return [(name.removeprefix('not '), not name.startswith('not ')) for name in row.split(', ')]


def american(text: str) -> str:
    """One spelling, for the tables of this file."""
    for british, respelt in (('grey', 'gray'), ('moust', 'must'), ('make-up', 'makeup')):
        text = re.sub(british, respelt, text, flags=re.IGNORECASE)
    return re.sub('colour', 'color', text, flags=re.I).replace('jewellery', 'jewelry')


def claims_in(text: str):
    """Pairs (words found, claims of which one must be labelled), by this file's tables."""
    text = american(text)
    for pattern, row in DENYING:
        for match in re.finditer(pattern, text, re.IGNORECASE):
            yield match[0], claims_of(row)
        text = re.sub(pattern, '-', text, flags=re.IGNORECASE)
    stray = re.search(NEGATION, text, re.IGNORECASE)
    assert not stray, f'a negation this test does not know: {text}'
    for pattern, row in AFFIRMING:
        # Patterns with a capital are names of peoples: case tells "Black man" from black hair.
        for match in re.finditer(pattern, text, 0 if re.search('[A-Z]', pattern) else re.I):
            yield match[0], claims_of(row)


def draw_labels(rng: np.random.Generator) -> dict[str, bool]:
    """Any labels at all, mostly full of contradictions."""
    names = (captions.CELEBA_40, captions.LFWA_73, UNION)[rng.integers(3)]
    known, true = rng.choice([0.2, 0.9, 1.0]), rng.choice([0.1, 0.3, 0.6])
    return {name: bool(rng.random() < true) for name in names if rng.random() < known}


@pytest.fixture(scope='module')
def drawn():
    rng = np.random.default_rng(0)
    faces = [draw_labels(rng) for _ in range(2500)]
    shares = rng.choice([0.3, 0.7, 1.0, 1.0], size=len(faces))
    return [
        (labels, captions.describe(labels, rng, float(share)))
        for labels, share in zip(faces, shares, strict=True)
    ]


def test_facts_agree_with_the_labels(drawn):
    assert sum(len(descriptions.facts) for _, descriptions in drawn) > 12_000
    for labels, descriptions in drawn:
        assert descriptions.facts.items() <= labels.items()


def test_words_agree_with_the_labels(drawn):
    for labels, descriptions in drawn:
        for words, claims in claims_in(descriptions.text):
            assert any(labels.get(name) == value for name, value in claims), (
                f'"{words}" needs {claims}: {descriptions.text} {labels}'
            )


def test_words_agree_with_the_facts():
    """What the words give away is among the reported facts."""
    rng = np.random.default_rng(1)
    for _ in range(1000):
        descriptions = captions.describe(draw_labels(rng), rng)
        for words, claims in claims_in(descriptions.text):
            assert any(descriptions.facts.get(name) == value for name, value in claims), (
                f'"{words}": {descriptions}'
            )


@pytest.mark.parametrize('attribute', UNION)
def test_every_attribute_can_be_said(attribute):
    """With no other label to go by, it is reported, and in words this file's tables know."""
    rng = np.random.default_rng(2)
    descriptions = [captions.describe({attribute: True}, rng) for _ in range(100)]
    assert sum(attribute in description.facts for description in descriptions) > 20
    given_away = [
        claims for description in descriptions for _, claims in claims_in(description.text)
    ]
    assert any((attribute, True) in claims for claims in given_away)


@pytest.mark.parametrize(
    ('attribute', 'labels'),
    [
        ('Bangs', {}),
        ('Color_Photo', {}),
        ('Eyeglasses', {}),
        ('Eyes_Open', {}),
        ('Heavy_Makeup', {'Male': False}),
        ('Male', {}),
        ('Mouth_Slightly_Open', {}),
        ('Mustache', {'Male': True}),
        ('No_Beard', {'Male': True}),
        ('Outdoor', {}),
        ('Posed_Photo', {}),
        ('Receding_Hairline', {'Male': True}),
        ('Smiling', {}),
        ('Teeth_Not_Visible', {}),
        ('Wearing_Earrings', {'Male': False}),
        ('Wearing_Hat', {}),
        ('Wearing_Lipstick', {'Male': False}),
        ('Wearing_Necktie', {'Male': True}),
        ('Young', {}),
    ],
)
def test_what_a_face_lacks_can_be_said(attribute, labels):
    rng = np.random.default_rng(3)
    descriptions = [captions.describe({**labels, attribute: False}, rng) for _ in range(200)]
    telling = [
        description for description in descriptions if description.facts.get(attribute) is False
    ]
    assert len(telling) > 10
    for description in telling:
        assert any((attribute, False) in claims for _, claims in claims_in(description.text)), (
            description
        )


@pytest.mark.parametrize(
    'phrase',
    ['clean-shaven', 'stubble', "five o'clock shadow", 'specs', 'hair going grey', 'thick'],
)
def test_witness_words(phrase):
    clean = face(captions.CELEBA_40, 'Male No_Beard')
    rough = face(
        captions.CELEBA_40,
        'Male 5_o_Clock_Shadow Eyeglasses Gray_Hair Big_Lips Bushy_Eyebrows',
    )
    rng = np.random.default_rng(4)
    assert any(phrase in captions.caption(man, rng) for _ in range(300) for man in (clean, rough))


@pytest.mark.parametrize('labels', [WOMAN, MAN], ids=['woman', 'man'])
def test_nearly_everything_true_is_said(labels):
    rng = np.random.default_rng(5)
    descriptions = [captions.describe(labels, rng).facts for _ in range(300)]
    seldom = ('No_Beard', 'Teeth_Not_Visible')
    for attribute, value in labels.items():
        share = sum(attribute in facts for facts in descriptions) / len(descriptions)
        if attribute == 'Male':
            assert share == 1
        elif value and attribute not in seldom:
            assert share > 0.9, attribute


def test_nobody_says_a_woman_has_no_beard():
    rng = np.random.default_rng(6)
    for _ in range(1000):
        facts = captions.describe(draw_labels(rng) | {'Male': False}, rng).facts
        assert 'No_Beard' not in facts
        assert facts.get('Mustache') is not False


@pytest.mark.parametrize(
    ('labels', 'mentioned'),
    [
        ({'Bald': True, 'Wavy_Hair': True}, {'Bald': True}),
        ({'No_Beard': True, 'Goatee': True}, {}),
        ({'Straight_Hair': True, 'Wavy_Hair': True}, {}),
        ({'Eyeglasses': True, 'No_Eyewear': True}, {}),
        ({'Mouth_Closed': True, 'Mouth_Wide_Open': True}, {}),
        ({'Young': False, 'Youth': True}, {}),
        ({'Middle_Aged': True, 'Senior': True}, {}),
        ({'No_Beard': True, 'Mustache': True}, {'No_Beard': True, 'Mustache': True}),
    ],
)
def test_labels_that_contradict_each_other(labels, mentioned):
    rng = np.random.default_rng(7)
    descriptions = [captions.describe(labels, rng) for _ in range(200)]
    assert max((description.facts for description in descriptions), key=len) == mentioned
    assert all(description.facts.items() <= mentioned.items() for description in descriptions)


def test_a_child_is_no_man():
    rng = np.random.default_rng(8)
    boy = {'Male': True, 'Child': True}
    for share, labels in itertools.product((0.3, 1.0), (boy, boy | {'Young': True})):
        texts = [captions.caption(labels, rng, share) for _ in range(300)]
        assert not any(
            re.search(r'\b(?:man|guy|gent|gentleman|fellow|fella|chap|bloke|lad)\b', text)
            for text in texts
        )


def test_pronouns_and_verbs_agree(drawn):
    for labels, descriptions in drawn:
        male = descriptions.facts.get('Male')
        assert male in (None, labels.get('Male'))
        words = collections.Counter(re.findall(r"[a-z']+", descriptions.text.lower()))
        others = {True: 'she her they their', False: 'he his they their', None: 'he his she her'}
        assert not words.keys() & set(others[male].split()), descriptions.text
        assert not re.search(r'\b[Tt]hey (?:also )?(?:is|has|was|wears)\b', descriptions.text)
        assert not re.search(
            r'\b(?:[Hh]e|[Ss]he) (?:also )?(?:are|have|were|wear)\b', descriptions.text
        )


def test_reads_as_english(drawn):
    for _, descriptions in drawn:
        text = descriptions.text
        assert not re.search(r'[{}|_]|  | [,.;:]|[,;:]{2}|\.\.|[,;:]\.|\.[^ ]', text), text
        assert re.match('[A-Z]', text), text
        assert all(re.match('[A-Z]', sentence) for sentence in text.split('. ')), text
        assert text.endswith('.')
        assert not re.search(r'\b[Aa] [aeiou]|\b[Aa]n [^aeiou]', text, re.IGNORECASE), text
        assert not re.search(r'\b(\w+) \1\b', text, re.IGNORECASE), text


def test_a_negation_does_not_cover_what_follows(drawn):
    """Not "with no hat and a beard" nor "who is not smiling and bald"."""
    verbs = 'is|was|are|were|has|have|had|wears?|wore|her|his|their'
    denials = 'no|not|without|little|hardly'
    for _, descriptions in drawn:
        within = rf'(?:(?!\b(?:{verbs}|and)\b)[^,.;])+'
        scope = re.search(
            rf' (?:no|not|without) {within} and (?!{verbs}|{denials})', descriptions.text
        )
        assert not scope, descriptions.text


def test_one_to_five_sentences_of_at_most_110_words(drawn):
    lengths = collections.Counter(descriptions.text.count('.') for _, descriptions in drawn)
    assert set(lengths) == {1, 2, 3, 4, 5}
    assert max(len(descriptions.text.split()) for _, descriptions in drawn) <= 110


def test_usual_length():
    rng = np.random.default_rng(9)
    words = [len(captions.caption(WOMAN, rng).split()) for _ in range(500)]
    assert 25 < np.mean(words) < 45


def test_same_seed_same_text():
    def texts(seed):
        rng = np.random.default_rng(seed)
        return [captions.caption(labels, rng) for labels in (WOMAN, MAN) for _ in range(50)]

    assert texts(10) == texts(10)
    assert texts(10) != texts(11)
    backwards = dict(reversed(WOMAN.items()))
    assert captions.caption(backwards, np.random.default_rng(12)) == captions.caption(
        WOMAN, np.random.default_rng(12)
    )


def test_same_text_in_another_process():
    """Not a matter of the order of sets, which Python draws anew for each process."""
    program = (
        'import numpy as np; from diface_jax.data.grammar import captions as c;'
        'print(*(c.caption(dict.fromkeys(c.CELEBA_40[i:], True), np.random.default_rng(i))'
        ' for i in range(20)))'
    )
    texts = [
        subprocess.run(
            [sys.executable, '-c', program],
            env=os.environ | {'PYTHONHASHSEED': seed},
            check=True,
            capture_output=True,
        ).stdout
        for seed in ('1', '2')
    ]
    assert texts[0] == texts[1]
    assert len(texts[0]) > 1000


@pytest.mark.parametrize('labels', [WOMAN, MAN], ids=['woman', 'man'])
def test_many_texts_for_one_face(labels):
    rng = np.random.default_rng(13)
    assert len({captions.caption(labels, rng) for _ in range(1000)}) >= 900


def test_a_share_is_left_unsaid():
    rng = np.random.default_rng(14)
    facts = {
        share: np.mean([len(captions.describe(WOMAN, rng, share).facts) for _ in range(300)])
        for share in (0.0, 0.25, 0.5, 1.0)
    }
    assert facts[0.0] == 0
    assert 0 < facts[0.25] < 0.4 * facts[1.0]
    assert 1.5 * facts[0.25] < facts[0.5] < 0.7 * facts[1.0]


@pytest.mark.parametrize(('labels', 'share'), [({}, 1.0), (WOMAN, 0.0)], ids=['no label', 'unsaid'])
def test_nothing_to_say(labels, share):
    rng = np.random.default_rng(15)
    for _ in range(100):
        descriptions = captions.describe(labels, rng, share)
        assert re.search(r'\b(?:person|individual)\.$', descriptions.text, re.IGNORECASE)
        assert descriptions.facts == {}


def test_numpy_labels():
    """Labels may be numpy's booleans."""
    labels = {name: np.bool_(value) for name, value in WOMAN.items()}
    descriptions = captions.describe(labels, np.random.default_rng(16))
    assert descriptions == captions.describe(WOMAN, np.random.default_rng(16))


def test_unknown_attribute():
    with pytest.raises(ValueError, match=r'knows no attribute .*Grey_Hair'):
        captions.caption({'Grey_Hair': True}, np.random.default_rng(0))


@pytest.mark.parametrize('share', [-0.1, 1.1, float('nan')])
def test_share_outside_its_range(share):
    with pytest.raises(ValueError, match='between 0 and 1'):
        captions.caption({}, np.random.default_rng(0), share)


def test_vocabulary(drawn):
    words = captions.vocabulary()
    print(f'the grammar knows {len(words)} words')
    assert {'moustache', 'mustache', 'gray', 'grey', 'stubble', 'an'} <= words
    used = {
        word
        for _, descriptions in drawn
        for word in re.findall(r"[\w'-]+", descriptions.text.lower())
    }
    assert used <= words
    assert len(words) < 1.1 * len(used)  # nor does it list what is never said


def test_the_lexicon_is_complete():
    """No claim is misspelt, and every saying has a place in any sentence."""
    texts = [*phrases.IMPOSSIBLE, *phrases.YIELDS, *phrases.YIELDS.values(), *phrases.CHANCES]
    named = {name for text in texts for name, _ in claims_of(text)}
    named |= {name for saying in captions.SAYINGS + captions.NOUNS for name, _ in saying.claims}
    assert named == captions.KNOWN_ATTRIBUTES
    for saying in captions.SAYINGS:
        assert saying.forms.keys() & {'has', 'is', 'wears', 'photo'}, saying.claims


@pytest.mark.parametrize('attribute', UNION)
def test_many_ways_to_say_each(attribute):
    ways = set(captions.WORDS.get(attribute, ()))
    for saying in captions.SAYINGS + captions.NOUNS:
        if (attribute, True) in saying.claims:
            ways.update((form, words) for form, texts in saying.forms.items() for words in texts)
    assert len(ways) >= 6


def test_names_of_the_real_labels(shared):
    celeba = (shared / 'data/celeba/list_attr_celeba.txt').read_text().splitlines()
    assert tuple(celeba[1].split()) == captions.CELEBA_40
    with (shared / 'data/lfw/lfwa_73.csv').open() as lines:
        assert tuple(next(lines).strip().split(',')[1:]) == captions.LFWA_73


def test_real_labels(shared):
    """On faces as they come: short enough to encode, and no two captions alike."""
    lines = (shared / 'data/celeba/list_attr_celeba.txt').read_text().splitlines()[2:1002]
    faces = [
        dict(zip(captions.CELEBA_40, (value == '1' for value in line.split()[1:]), strict=True))
        for line in lines
    ]
    rng = np.random.default_rng(17)
    texts = [captions.caption(face, rng) for face in faces]
    assert 20 < np.mean([len(text.split()) for text in texts]) < 40
    assert len(set(texts)) > 990
    for text, face in itertools.islice(zip(texts, faces, strict=True), 500):
        for words, claims in claims_in(text):
            assert any(face.get(name) == value for name, value in claims), f'"{words}": {text}'
