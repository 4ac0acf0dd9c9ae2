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

from diface_jax.data import captions, phrases

UNION = sorted(captions.KNOWN)

WOMAN = dict.fromkeys(captions.CELEBA_40, False) | dict.fromkeys(
    'Arched_Eyebrows Attractive Big_Lips Brown_Hair Heavy_Makeup High_Cheekbones No_Beard Oval_Face '
    'Smiling Mouth_Slightly_Open Wavy_Hair Wearing_Earrings Wearing_Lipstick Young'.split(),
    True,
)
MAN = dict.fromkeys(captions.LFWA_73, False) | dict.fromkeys(
    'Male White Senior Gray_Hair Eyeglasses Mustache Frowning Chubby Straight_Hair Big_Nose Oval_Face '
    'Receding_Hairline Bushy_Eyebrows Brown_Eyes Mouth_Closed Double_Chin Wearing_Necktie '
    'Bags_Under_Eyes 5_o_Clock_Shadow Strong_Nose-Mouth_Lines Outdoor'.split(),
    True,
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
    (r'eyes not shut', 'Eyes_Open'),
    (r'not in color', 'not Color_Photo'),
    (r'not taken outdoors', 'not Outdoor'),
    (r'not posed|unposed', 'not Posed_Photo'),
    (r'not sharp', 'Blurry'),
)
NEGATION = r'\b(?:no|not|without|hardly|never|nothing|none|neither|nor)\b'
NOUN = r'(?:\w*man|lady|gentleman|guy|fellow|chap|bloke|lad|girl|boy|male|female|person|individual)'

# Words that affirm something, and what must then be labelled: any claim of a row.
AFFIRMING = (
    (r'\b(?:he|his|man|gentleman|guy|fellow|chap|bloke|male|lad|boy)\b', 'Male'),
    (r'\b(?:she|her|woman|lady|female|girl|blonde (?:with|who|in|I)|brunette)\b', 'not Male'),
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
    (r'gray|silver', 'Gray_Hair'),
    (r'\bfair\b', 'Blond_Hair, Pale_Skin'),
    (r'pale|milky|(?:fair|light)-skinned|light complexion', 'Pale_Skin'),
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
    (r'eyes open|open eyes|open-eyed|eyes (?:are|were) open', 'Eyes_Open'),
    (
        r'eyes (?:are |were )?(?:closed|shut)|closed eyes|closing \w+ eyes|eyelids lowered',
        'not Eyes_Open',
    ),
    (r'\bbags\b|baggy|puffy|pouches', 'Bags_Under_Eyes'),
    (r'sunglasses|shades|dark glasses', 'Sunglasses'),
    (r'(?<!dark )\bglasses|spectacle|\bspecs|eyeglasses', 'Eyeglasses'),
    (
        r'(?:big|large|broad|wide|prominent|sizeable)(?: \w+)? nose|big-nosed|large side|good-sized',
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
    (r'\bserious|straight-faced|straight face', 'not Smiling'),
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
        r'(?:full|thick|big|large|plump|fleshy)(?: painted)? lips|full, lipsticked lips|(?:full|thick)-lipped'
        r'|full mouth|full side|lips (?:are |were )?(?:full|thick|big|large|plump|fleshy)',
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
        r'(?:clear|uncovered|whole|bare) forehead|forehead (?:is |was )?(?:uncovered|fully|visible)',
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


def found(text: str):
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
    faces = [draw_labels(rng) for _ in range(6000)]
    shares = rng.choice([0.3, 0.7, 1.0, 1.0], size=len(faces))
    return [
        (labels, captions.describe(labels, rng, float(share)))
        for labels, share in zip(faces, shares, strict=True)
    ]


def test_facts_agree_with_the_labels(drawn):
    assert sum(len(said.facts) for _, said in drawn) > 20_000
    for labels, said in drawn:
        assert said.facts.items() <= labels.items()


def test_words_agree_with_the_labels(drawn):
    for labels, said in drawn:
        for words, claims in found(said.text):
            assert any(labels.get(name) == value for name, value in claims), (
                f'"{words}" needs {claims}: {said.text} {labels}'
            )


def test_words_agree_with_the_facts():
    """What the words give away is among the reported facts."""
    rng = np.random.default_rng(1)
    for _ in range(2000):
        said = captions.describe(draw_labels(rng), rng)
        for words, claims in found(said.text):
            assert any(said.facts.get(name) == value for name, value in claims), (
                f'"{words}": {said}'
            )
