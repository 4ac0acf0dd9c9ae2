"""The words of the caption grammar, as plain data: phrases for the labels of a face.

Format of the tables, from which `captions.py` composes sentences:

* Alternatives are separated by `|`; one that is listed twice is used twice as often.
* A key lists the claims its phrases make: `X` and `not X` must be labelled so; with a `?` a claim
  may also be unlabelled, but never denied; `unless X` bars the phrases where X is labelled.
* `{their}`, `{is}`, `{are}` are filled in to agree with the person and the tense; `{Big_Nose}` and
  the like by a word of `WORDS`. `a` becomes `an` where it must.
* Spelling is British; a caption that comes out American is respelt by `AMERICAN`.

Phrases are sorted by the places in a sentence they fit:

    noun    a ... | the ...               adj     a ... woman
    has     with ... | she has ...        is      she is ... | a woman who is ...
    wears   she wears ... | wearing ...   clause  a sentence of its own
    photo   the photo is ...              shot    a ... photo of
"""

from typing import NamedTuple

AMERICAN = {
    'grey': 'gray',
    'Grey': 'Gray',
    'moustache': 'mustache',
    'Moustache': 'Mustache',
    'colour': 'color',
    'make-up': 'makeup',
    'Make-up': 'Makeup',
    'jewellery': 'jewelry',
    'Jewellery': 'Jewelry',
}

# --- claims that exclude each other ------------------------------------------------------------

# At most one claim of a line can be true. If labels affirm two, neither is mentioned.
IMPOSSIBLE = (
    'Black_Hair, Brown_Hair, Blond_Hair, Gray_Hair',
    'Wavy_Hair, Straight_Hair',
    'Curly_Hair, Straight_Hair',
    'No_Beard, Goatee',
    'Smiling, Frowning',
    'Mouth_Closed, Mouth_Slightly_Open, Mouth_Wide_Open',
    'Mouth_Closed, not Teeth_Not_Visible',
    'No_Eyewear, Eyeglasses',
    'No_Eyewear, Sunglasses',
    'Fully_Visible_Forehead, Partially_Visible_Forehead, Obstructed_Forehead',
    'Oval_Face, Square_Face, Round_Face',
    'Asian, White, Black, Indian',
    'Baby, Youth, Middle_Aged, Senior',
    'Child, Middle_Aged, Senior',
    'Young, Middle_Aged, Senior',
    'not Young, Youth',
    'not Young, Child',
    'not Young, Baby',
    'Soft_Lighting, Harsh_Lighting',
)

# A claim is not made if a claim on the right is labelled, which is more specific, excludes it, or
# makes it unnatural (a woman without a moustache).
YIELDS = {
    'Wavy_Hair': 'Bald',
    'Curly_Hair': 'Bald',
    'Straight_Hair': 'Bald',
    'Bangs': 'Bald',
    'Black_Hair': 'Bald',
    'Brown_Hair': 'Bald',
    'Blond_Hair': 'Bald',
    'not Bangs': 'Bald, Obstructed_Forehead, Partially_Visible_Forehead',
    'not Receding_Hairline': 'Bald, not Male',
    'Fully_Visible_Forehead': 'Bangs',
    'Narrow_Eyes': 'not Eyes_Open',
    'Eyeglasses': 'Sunglasses',
    'Pale_Skin': 'Black',
    'not Smiling': 'Frowning',
    'not Mouth_Slightly_Open': 'Mouth_Wide_Open',
    'No_Beard': 'not Male',
    'not No_Beard': 'not Male',
    'not Mustache': 'not Male',
    'not Wearing_Necktie': 'not Male',
    'not Heavy_Makeup': 'Male',
    'not Wearing_Lipstick': 'Male',
    'not Wearing_Earrings': 'Male',
    'Attractive_Man': 'not Male',
    'Attractive_Woman': 'Male',
    'Young': 'Youth, Child, Baby',
    'Youth': 'Child',
    'Child': 'Baby',
    'not Young': 'Middle_Aged, Senior',
}

# The probability of a claim at full coverage: 1 for true labels and 0 for false ones, except these.
# People seldom mention what is absent, and negations are hard for the text encoder (the AUC of a
# linear read-out of 'Bangs' was 0.97 without mentioning bangs, 0.88 with "no bangs").
TRUE_CHANCE = 1.0
CHANCES = {
    'Male': 1.0,
    'not Male': 1.0,
    'not Young': 1.0,
    'not No_Beard': 1.0,
    'not Eyes_Open': 1.0,
    'not Color_Photo': 1.0,
    'not Eyeglasses': 0.15,
    'not Smiling': 0.15,
    'not Heavy_Makeup': 0.15,
    'not Wearing_Lipstick': 0.15,
    'not Mouth_Slightly_Open': 0.2,
    'not Teeth_Not_Visible': 0.2,
    'not Posed_Photo': 0.2,
    'not Wearing_Hat': 0.1,
    'not Bangs': 0.1,
    'not Wearing_Earrings': 0.1,
    'not Mustache': 0.1,
    'not Receding_Hairline': 0.1,
    'not Wearing_Necktie': 0.1,
    'not Outdoor': 0.15,
    # True of most faces or photographs, so seldom worth a word.
    'No_Eyewear': 0.3,
    'Eyes_Open': 0.3,
    'Color_Photo': 0.3,
    'Teeth_Not_Visible': 0.5,
    'Soft_Lighting': 0.5,
    'Fully_Visible_Forehead': 0.7,
}

# --- the person --------------------------------------------------------------------------------

NOUNS = {
    '': 'person | person | person | individual',
    'Child': 'child | child | kid | youngster',
    'Baby': 'baby | baby | infant',
    'Male': 'male',
    'Male, unless Child, unless Baby': (
        'man | man | man | man | man | man | man | man | man | man | guy | guy | gentleman |'
        'gent | fellow | chap | bloke | fella'
    ),
    'Male, Young, unless Child, unless Baby': 'lad',
    'Male, Youth, unless Child, unless Baby': 'lad',
    'Male, Child': 'boy | boy | little boy | young boy',
    'Male, Baby': 'baby boy | little baby boy | infant boy',
    'not Male': 'female',
    'not Male, unless Child, unless Baby': (
        'woman | woman | woman | woman | woman | woman | woman | woman | woman | woman | woman |'
        'lady | lady | lady'
    ),
    'not Male, Young, unless Child, unless Baby': 'girl | girl | young lady',
    'not Male, Youth, unless Child, unless Baby': 'girl | girl | young lady',
    'not Male, Blond_Hair, unless Child, unless Baby': 'blonde',
    'not Male, Brown_Hair, unless Child, unless Baby': 'brunette',
    'not Male, Child': 'girl | girl | little girl | young girl',
    'not Male, Baby': 'baby girl | little baby girl | infant girl',
}

# Claims whose adjectives come last, in this order, right before the noun.
LAST_ADJECTIVES = (
    'not Young',
    'Senior',
    'Middle_Aged',
    'Youth',
    'Young',
    'White',
    'Black',
    'Indian',
    'Asian',
)

# --- parts of a face that several labels describe ----------------------------------------------

WORDS = {
    'Black_Hair': 'black | black | black | black | jet-black | raven-black | dark',
    'Brown_Hair': 'brown | brown | brown | brown | chestnut | chestnut-brown | brownish',
    'Blond_Hair': 'blonde | blonde | blond | blond | fair | golden | flaxen',
    'Gray_Hair': 'grey | grey | grey | greying | greyish | silver | silvery',
    'Wavy_Hair': 'wavy | wavy | wavy | softly wavy | loosely waved',
    'Curly_Hair': 'curly | curly | curly | curled | curling',
    'Straight_Hair': 'straight | straight | straight | straight | poker-straight',
    'Bangs': (
        'with bangs | with bangs | with a fringe | with a fringe | and a fringe | cut in a fringe |'
        'with a fringe over the forehead'
    ),
    'Big_Nose': 'big | big | large | large | broad | wide | prominent | sizeable',
    'Pointy_Nose': 'pointed | pointed | pointy | sharp',
    'brows': 'eyebrows | brows',
    'Bushy_Eyebrows': 'bushy | bushy | thick | thick | heavy | full',
    'Arched_Eyebrows': 'arched | arched | arched | arching | curved',
    'Narrow_Eyes': 'narrow | narrow | narrow | narrowed | squinting | squinty',
    'Brown_Eyes': 'brown',
    'Chubby': 'chubby | plump | full | fleshy',
    'Flushed_Face': 'flushed | red | ruddy | reddened',
    'Oval_Face': 'oval | oval | oval-shaped | egg-shaped',
    'Square_Face': 'square | square | squarish | square-shaped | boxy',
    'Round_Face': 'round | round | rounded | roundish | moon-shaped',
    'Pale_Skin': 'pale | pale | pale | fair | fair | light | milky | porcelain',
    'Shiny_Skin': 'shiny | shiny | glossy | gleaming | oily-looking',
    'Big_Lips': 'full | full | full | thick | big | large | plump | fleshy',
    'Rosy_Cheeks': 'rosy | rosy | pink | pinkish | reddish | blushing',
    'High_Cheekbones': 'high | high | high | prominent | raised | high-set',
}

_COLOURS = ('Black_Hair', 'Brown_Hair', 'Blond_Hair', 'Gray_Hair')


class FacePart(NamedTuple):
    """A part of a face and the attributes of its adjectives, one of each group, in this order."""

    noun: str  # with its article, if it takes one
    verb: str  # of a sentence about it; '' where none reads well
    before: tuple[tuple[str, ...], ...]  # adjectives
    after: tuple[str, ...] = ()
    claims: tuple[str, ...] = ()  # that the noun itself makes


PARTS = (
    FacePart(
        'hair', '{is}', (('Wavy_Hair',), ('Curly_Hair', 'Straight_Hair'), _COLOURS), ('Bangs',)
    ),
    FacePart('waves', '', (_COLOURS,), claims=('Wavy_Hair',)),
    FacePart('curls', '', (_COLOURS,), claims=('Curly_Hair',)),
    FacePart('{brows}', '{are}', (('Bushy_Eyebrows',), ('Arched_Eyebrows',))),
    FacePart('eyes', '{are}', (('Narrow_Eyes',), ('Brown_Eyes',))),
    FacePart('a nose', '{is}', (('Big_Nose',), ('Pointy_Nose',))),
    FacePart('a face', '{is}', (('Chubby',), ('Oval_Face', 'Square_Face', 'Round_Face'))),
    FacePart('a face', '{is}', (('Flushed_Face',),)),
    FacePart('skin', '{is}', (('Pale_Skin',), ('Shiny_Skin',))),
    FacePart('lips', '{are}', (('Big_Lips',),)),
    FacePart('cheeks', '{are}', (('Rosy_Cheeks',),)),
    FacePart('cheekbones', '{are}', (('High_Cheekbones',),)),
)

# --- everything else ---------------------------------------------------------------------------

_YOUNG = {
    'adj': 'young | young | young | young | young | young | young | youngish | youthful',
    'is': 'young | fairly young | youthful | on the young side | still young',
    'has': 'a young face | a youthful face | youthful looks',
}
_CLEAN_SHAVEN = {
    'adj': 'clean-shaven | clean-shaven | clean-shaven | smooth-shaven',
    'is': (
        'clean-shaven | clean-shaven | clean-shaven | clean-shaven | clean-shaven |'
        'clean shaven | smooth-shaven | freshly shaved'
    ),
    'has': (
        'a clean-shaven face | a clean-shaven chin | no beard or moustache |'
        'no beard or stubble | smooth-shaven cheeks'
    ),
    'clause': '{their} face {is} clean-shaven',
}
_GOOD_LOOKING = {
    'adj': 'good-looking | good-looking | attractive | attractive | nice-looking',
    'is': 'good-looking | attractive | nice-looking | easy on the eye | pleasant to look at',
    'has': 'good looks | an attractive face | a pleasing face | an appealing face',
}
_NO_GLASSES = {
    'is': 'not wearing glasses | without glasses | not wearing spectacles',
    'wears': 'no glasses | no glasses | no spectacles | no specs',
    'has': 'no glasses | no glasses | no spectacles | no specs | no eyewear',
}
_MOUTH_CLOSED = {
    'has': (
        '{their} mouth closed | {their} mouth closed | {their} mouth shut | closed lips |'
        '{their} lips together | {their} lips closed | a closed mouth'
    ),
    'is': 'closed-mouthed',
    'clause': (
        '{their} mouth {is} closed | {their} mouth {is} shut | {their} lips {are} together |'
        '{their} lips {are} closed'
    ),
}
_CLOSED_SMILE = {
    'is': 'smiling with {their} mouth closed | smiling with closed lips',
    'has': (
        'a closed-lip smile | a closed-mouth smile | a closed-mouthed smile |'
        'a smile with closed lips'
    ),
}

HAIR = {
    'Black_Hair': {'adj': 'black-haired | dark-haired', 'is': 'black-haired | dark-haired'},
    'Brown_Hair': {'adj': 'brown-haired', 'is': 'brown-haired', 'has': 'hair of a brown shade'},
    'Blond_Hair': {
        'adj': 'blonde | blonde | blond | fair-haired | golden-haired',
        'is': 'blonde | blond | fair-haired',
    },
    'Gray_Hair': {
        'adj': 'grey-haired | grey-haired | silver-haired | greying',
        'is': 'going grey | greying | grey-haired | turning grey',
        'has': (
            'hair going grey | hair that has gone grey | hair turning grey | grey in {their} hair |'
            'a head of grey hair | salt-and-pepper hair'
        ),
    },
    'Wavy_Hair': {
        'adj': 'wavy-haired',
        'is': 'wavy-haired',
        'has': (
            'waves in {their} hair | hair falling in waves | hair with a wave in it |'
            'a wave to {their} hair | a head of waves'
        ),
        'clause': '{their} hair {is} in waves',
    },
    'Curly_Hair': {
        'adj': 'curly-haired',
        'is': 'curly-haired',
        'has': 'curls | a head of curls | hair in curls | hair that curls | curls in {their} hair',
    },
    'Straight_Hair': {
        'adj': 'straight-haired',
        'is': 'straight-haired',
        'has': (
            'hair hanging straight | hair that falls straight | hair worn straight |'
            'hair lying straight'
        ),
    },
    'Bangs': {
        'has': (
            'bangs | bangs | a fringe | a fringe | a fringe | hair falling over {their} forehead |'
            'a fringe across {their} forehead | hair cut in a fringe | bangs over {their} forehead'
        ),
        'clause': '{their} hair {is} cut in a fringe | {their} hair {is} cut with bangs',
    },
    'not Bangs': {
        'has': (
            'no fringe | no bangs | hair off {their} forehead | no hair over {their} forehead |'
            'hair kept away from {their} forehead'
        ),
        'clause': '{their} hair {is} off {their} forehead',
        'is': 'without a fringe | without bangs',
    },
    'Bald': {
        'adj': 'bald | bald | bald | balding | bald-headed',
        'is': 'bald | bald | bald | balding | bald on top | going bald | bald-headed',
        'has': (
            'a bald head | no hair on top | a bald crown | little or no hair | a bald scalp |'
            'hardly any hair on {their} head'
        ),
        'clause': '{their} head {is} bald',
    },
    'Bald, Gray_Hair': {
        'is': 'bald apart from some grey hair | bald on top with grey hair | bald and grey',
        'has': (
            'a bald head with some grey hair | little hair left and that grey |'
            'a bald head and grey hair at the edges'
        ),
    },
    'Bald, Receding_Hairline': {
        'is': 'bald from the forehead back | balding with the hairline far back',
        'has': 'a bald head and a hairline far back | a bald head and receding hair',
    },
    'Receding_Hairline': {
        'has': (
            'a receding hairline | a receding hairline | a hairline that {is} receding |'
            'hair thinning at the front | hair receding at the temples | receding hair |'
            'a hairline that has moved back'
        ),
        'is': 'receding at the temples | thinning at the front | losing hair at the front',
        'clause': '{their} hairline {is} receding | {their} hair {is} receding',
    },
    'not Receding_Hairline, not Bald?': {
        'has': 'a full head of hair | a full hairline | no receding hairline | plenty of hair',
        'is': 'not receding | not losing any hair',
        'clause': '{their} hairline {is} full',
    },
    'Sideburns': {
        'has': (
            'sideburns | sideburns | sideburns | side-whiskers | sideburns down {their} cheeks |'
            'sideburns beside {their} ears | hair down in front of {their} ears'
        ),
        'is': 'side-whiskered',
    },
}

FACIAL_HAIR = {
    'No_Beard, not Goatee, not Mustache, not 5_o_Clock_Shadow': _CLEAN_SHAVEN,
    'No_Beard, not Goatee, not Mustache, not 5_o_Clock_Shadow, not Sideburns': {
        **_CLEAN_SHAVEN,
        'has': (
            'no facial hair | no facial hair | no whiskers | no hair on {their} face |'
            'a clean-shaven face | no beard or moustache | no beard or stubble'
        ),
    },
    'No_Beard, Mustache': {
        'has': 'a moustache but no beard | a moustache and no beard',
        'is': 'moustached but beardless',
    },
    'No_Beard, 5_o_Clock_Shadow': {
        'has': (
            "stubble but no beard | no beard but stubble | a five o'clock shadow but no beard |"
            'no beard but some stubble'
        ),
        'is': 'unshaven but beardless | stubbly but beardless',
    },
    'No_Beard': {
        'adj': 'beardless',
        'is': 'beardless | without a beard | not bearded',
        'has': 'no beard | no beard | no beard | a beardless face | a beardless chin',
        'clause': '{their} chin {is} beardless',
    },
    'not No_Beard': {
        'adj': 'bearded',
        'is': 'bearded | not clean-shaven',
        'has': (
            'some facial hair | some facial hair | facial hair | a beard | a beard |'
            'hair on {their} face | some growth of beard'
        ),
    },
    'not No_Beard, Goatee': {
        'has': 'a goatee beard | a chin beard | a beard on {their} chin | a beard cut as a goatee',
    },
    'not No_Beard, Goatee, Mustache': {
        'has': (
            'a goatee beard and moustache | a moustache and chin beard |'
            'a moustache and goatee beard | a circle beard'
        ),
    },
    'not No_Beard, Mustache': {
        'has': 'a beard and moustache | a moustache and beard | a beard with a moustache',
        'is': 'bearded and moustached',
    },
    'not No_Beard, 5_o_Clock_Shadow': {
        'has': (
            "a stubbly beard | a stubble beard | a few days' growth of beard | heavy stubble |"
            'stubble grown into a beard | thick stubble'
        ),
        'is': 'unshaven with a stubbly beard | bearded and stubbly',
    },
    'not No_Beard, Sideburns': {
        'has': 'a beard and sideburns | sideburns and a beard | a beard with sideburns',
        'is': 'bearded with sideburns',
    },
    'Goatee': {
        'adj': 'goateed',
        'is': 'goateed',
        'has': (
            'a goatee | a goatee | a goatee | a goatee on {their} chin | a chin tuft |'
            'a tuft of hair on {their} chin'
        ),
    },
    'Goatee, Mustache': {
        'has': 'a moustache and goatee | a goatee and moustache | a goatee with a moustache',
        'is': 'moustached and goateed',
    },
    'Goatee, 5_o_Clock_Shadow': {
        'has': 'a goatee and stubble | stubble and a goatee | a goatee among stubble',
        'is': 'goateed and stubbly',
    },
    'Mustache': {
        'adj': 'moustached | mustachioed',
        'is': 'moustached',
        'has': (
            'a moustache | a moustache | a moustache | a moustache on {their} upper lip |'
            'hair on {their} upper lip | a tash'
        ),
    },
    'not Mustache': {
        'has': 'no moustache | no moustache | a bare upper lip | no hair on {their} upper lip',
        'is': 'without a moustache',
        'clause': '{their} upper lip {is} bare',
    },
    '5_o_Clock_Shadow': {
        'adj': 'unshaven | stubbly',
        'is': 'unshaven | stubbly | stubbled',
        'has': (
            "stubble | stubble | stubble | a five o'clock shadow | a five o'clock shadow |"
            "some stubble | a bit of stubble | a day's growth of stubble | designer stubble |"
            'stubble on {their} jaw | stubble on {their} chin'
        ),
        'clause': '{their} jaw {is} shadowed with stubble | {their} chin {is} stubbly',
    },
    'Mustache, 5_o_Clock_Shadow': {
        'has': 'a moustache and stubble | stubble and a moustache',
        'is': 'moustached and unshaven',
    },
}

EYES_AND_NOSE = {
    'Bushy_Eyebrows': {
        'adj': 'bushy-browed',
        'is': 'bushy-browed',
        'has': 'eyebrows that {are} bushy',
    },
    'Arched_Eyebrows': {
        'has': (
            'eyebrows that arch | an arch to {their} brows | a curve to {their} eyebrows |'
            'eyebrows in an arch'
        ),
        'clause': '{their} eyebrows {are} shaped in an arch',
    },
    'Narrow_Eyes': {
        'adj': 'narrow-eyed',
        'is': 'narrow-eyed',
        'has': 'eyes that look narrow | eyes on the narrow side',
    },
    'Brown_Eyes': {
        'adj': 'brown-eyed',
        'is': 'brown-eyed',
        'has': 'eyes that {are} brown | brown irises',
    },
    'Eyes_Open': {
        'has': '{their} eyes open | both eyes open | open eyes | {their} eyes both open',
        'is': 'open-eyed',
        'clause': '{their} eyes {are} open',
    },
    'not Eyes_Open': {
        'has': '{their} eyes closed | {their} eyes shut | closed eyes | {their} eyelids lowered',
        'is': 'closing {their} eyes',
        'clause': '{their} eyes {are} closed | {their} eyes {are} shut',
    },
    'Bags_Under_Eyes': {
        'is': 'baggy-eyed | baggy under the eyes | puffy under the eyes',
        'has': (
            'bags under {their} eyes | bags under {their} eyes | bags under {their} eyes |'
            'bags under the eyes | puffy bags under {their} eyes | pouches under {their} eyes |'
            'bags beneath {their} eyes | baggy eyes'
        ),
        'clause': '{their} eyes {are} baggy underneath',
    },
    'Eyeglasses': {
        'adj': 'bespectacled',
        'is': 'bespectacled | in glasses',
        'wears': (
            'glasses | glasses | glasses | spectacles | specs | eyeglasses | a pair of glasses |'
            'a pair of specs'
        ),
        'has': 'glasses | glasses on | glasses on {their} nose | spectacles',
    },
    'Sunglasses': {
        'is': 'in sunglasses | in shades',
        'wears': 'sunglasses | sunglasses | shades | dark glasses | a pair of sunglasses',
        'has': 'sunglasses on | {their} eyes behind sunglasses | shades on',
    },
    'not Eyeglasses, not Sunglasses?, No_Eyewear?': _NO_GLASSES,
    'No_Eyewear, not Eyeglasses?, not Sunglasses?': _NO_GLASSES,
    'Big_Nose': {
        'is': 'big-nosed',
        'has': 'a nose on the large side | a good-sized nose | quite a big nose',
    },
    'Pointy_Nose': {
        'is': 'sharp-nosed',
        'has': (
            'a nose that comes to a point | a nose with a pointed tip | a pointed tip to'
            ' {their} nose | a nose ending in a point'
        ),
    },
    'Strong_Nose-Mouth_Lines': {
        'has': (
            'deep lines from nose to mouth | deep smile lines | strong smile lines |'
            'pronounced laughter lines | deep creases from {their} nose to {their} mouth |'
            'strong lines beside {their} mouth'
        ),
        'clause': '{their} nose-to-mouth lines {are} deep | {their} smile lines {are} strong',
    },
}

MOUTH = {
    'Smiling': {
        'adj': 'smiling | smiling | smiling | grinning | beaming',
        'is': 'smiling | smiling | smiling | smiling | grinning | beaming',
        'has': (
            'a smile | a smile | a smile on {their} face | a grin | a cheerful smile |'
            'a friendly smile | a pleasant smile'
        ),
        'clause': '{their} face {is} smiling',
    },
    'Smiling, Mouth_Slightly_Open': {
        'is': (
            'smiling with {their} mouth slightly open | smiling with {their} lips parted |'
            'grinning with {their} mouth a little open | smiling open-mouthed'
        ),
        'has': (
            'an open-mouthed smile | a smile with parted lips | an open smile |'
            'an open-lipped grin | an open-mouthed grin | a wide smile | a big smile'
        ),
    },
    'Smiling, not Mouth_Slightly_Open, not Mouth_Wide_Open?, Mouth_Closed?': _CLOSED_SMILE,
    'Smiling, Mouth_Closed, not Mouth_Slightly_Open?, not Mouth_Wide_Open?': _CLOSED_SMILE,
    'Smiling, not Teeth_Not_Visible': {
        'is': 'smiling with {their} teeth showing | showing {their} teeth in a smile',
        'has': 'a toothy smile | a toothy grin | a smile that shows {their} teeth',
    },
    'not Smiling': {
        'adj': 'unsmiling | serious | serious-looking | straight-faced | solemn',
        'is': 'not smiling | not smiling | unsmiling | serious | straight-faced | without a smile',
        'has': (
            'no smile | no smile | a serious expression | a serious look | a straight face |'
            'an unsmiling expression'
        ),
        'clause': '{their} expression {is} serious | {their} face {is} unsmiling',
    },
    'Frowning': {
        'adj': 'frowning | scowling',
        'is': 'frowning | frowning | frowning | scowling',
        'has': 'a frown | a frown on {their} face | a furrowed brow | a scowl | knitted brows',
        'clause': '{their} brow {is} furrowed',
    },
    'Mouth_Slightly_Open': {
        'has': (
            '{their} mouth slightly open | {their} mouth slightly open | {their} lips parted |'
            '{their} mouth a little open | parted lips | slightly parted lips'
        ),
        'clause': (
            '{their} mouth {is} slightly open | {their} lips {are} parted |'
            '{their} mouth {is} a little open'
        ),
    },
    'not Mouth_Slightly_Open, not Mouth_Wide_Open?, Mouth_Closed?': _MOUTH_CLOSED,
    'Mouth_Closed, not Mouth_Slightly_Open?, not Mouth_Wide_Open?': _MOUTH_CLOSED,
    'Mouth_Wide_Open': {
        'has': (
            '{their} mouth wide open | {their} mouth wide open | a wide-open mouth |'
            '{their} mouth opened wide | a gaping mouth'
        ),
        'is': 'open-mouthed',
        'clause': '{their} mouth {is} wide open | {their} mouth {is} gaping',
    },
    'Teeth_Not_Visible': {
        'has': (
            'no teeth showing | {their} teeth hidden | no teeth on show | {their} teeth covered |'
            '{their} teeth out of sight'
        ),
        'is': 'not showing {their} teeth | not showing any teeth',
        'clause': '{their} teeth {are} not visible | {their} teeth {are} hidden',
    },
    'not Teeth_Not_Visible': {
        'has': '{their} teeth showing | visible teeth | {their} teeth on show',
        'is': 'showing {their} teeth | showing some teeth',
        'clause': '{their} teeth {are} showing | {their} teeth {are} visible',
    },
    'Big_Lips': {
        'adj': 'full-lipped',
        'is': 'full-lipped | thick-lipped',
        'has': 'lips on the full side | a full mouth',
    },
    'Big_Lips, Wearing_Lipstick': {
        'has': (
            'full painted lips | full lips with lipstick | full lipsticked lips |'
            'thick lips coloured with lipstick | big lips in lipstick'
        ),
        'clause': '{their} lips {are} full and painted',
    },
    'Wearing_Lipstick': {
        'wears': 'lipstick | lipstick | lipstick | lip colour',
        'has': (
            'lipstick | lipstick on | lipstick on {their} lips | painted lips | lipsticked lips |'
            'made-up lips'
        ),
        'clause': '{their} lips {are} painted | {their} lips {are} coloured with lipstick',
    },
    'not Wearing_Lipstick': {
        'wears': 'no lipstick',
        'is': 'not wearing lipstick | without lipstick',
        'has': 'no lipstick | no lipstick on | unpainted lips | no lip colour',
    },
}

FACE = {
    'Oval_Face': {
        'is': 'oval-faced',
        'has': 'a face shaped like an oval | an oval shape to {their} face',
    },
    'Square_Face': {
        'adj': 'square-faced',
        'is': 'square-faced',
        'has': 'a square shape to {their} face | a square outline to {their} face',
    },
    'Round_Face': {
        'adj': 'round-faced',
        'is': 'round-faced | moon-faced',
        'has': 'a round shape to {their} face | a round outline to {their} face',
    },
    'Round_Jaw': {
        'is': 'round-jawed',
        'has': (
            'a round jaw | a rounded jaw | a rounded jawline | a round jawline |'
            'a curve to {their} jaw'
        ),
        'clause': '{their} jaw {is} round | {their} jaw {is} rounded',
    },
    'Double_Chin': {
        'adj': 'double-chinned',
        'is': 'double-chinned',
        'has': (
            'a double chin | a double chin | a double chin | a second chin |'
            'a fold under {their} chin | extra flesh under {their} chin'
        ),
        'clause': '{their} chin {is} a double one',
    },
    'Chubby': {
        'adj': 'chubby | chubby | plump | heavyset | overweight | stout',
        'is': (
            'chubby | chubby | plump | heavyset | overweight | on the heavy side |'
            'carrying some weight'
        ),
        'has': 'a chubby build | a heavy build | some extra weight',
    },
    'Chubby, Double_Chin': {
        'has': (
            'a chubby face and a double chin | a plump face with a double chin |'
            'a fleshy face with a double chin'
        ),
        'is': 'chubby with a double chin | plump and double-chinned',
    },
    'High_Cheekbones': {
        'has': (
            'cheekbones set high | cheekbones that stand out | cheekbones that sit high |'
            'striking cheekbones'
        ),
    },
    'Rosy_Cheeks': {
        'adj': 'rosy-cheeked | pink-cheeked',
        'is': 'rosy-cheeked | pink in the cheeks',
        'has': (
            'colour in {their} cheeks | a pink flush on {their} cheeks |'
            'a rosy glow to {their} cheeks | a blush on {their} cheeks'
        ),
    },
    'Flushed_Face': {
        'adj': 'flushed | red-faced',
        'is': 'flushed | red in the face | red-faced | flushed in the face',
        'has': 'a flush over {their} face | a red tinge to {their} face',
    },
    'Pale_Skin': {
        'adj': 'pale | pale-skinned | fair-skinned',
        'is': 'pale | pale-skinned | fair-skinned | light-skinned',
        'has': 'a pale complexion | a fair complexion | a pale face | a light complexion',
    },
    'Shiny_Skin': {
        'is': 'shiny-skinned',
        'has': 'a shine on {their} skin | a sheen on {their} skin | a shiny face | a sheen of oil',
    },
    'Heavy_Makeup': {
        'adj': 'heavily made-up',
        'is': 'heavily made up | heavily made up | in full make-up',
        'wears': (
            'heavy make-up | heavy make-up | heavy make-up | thick make-up | plenty of make-up |'
            'full make-up'
        ),
        'has': 'heavy make-up | heavy make-up on | a heavily made-up face | a full face of make-up',
        'clause': '{their} make-up {is} heavy | {their} face {is} heavily made up',
    },
    'Heavy_Makeup, Wearing_Lipstick': {
        'is': 'heavily made up with lipstick | in heavy make-up and lipstick',
        'wears': (
            'heavy make-up and lipstick | lipstick and heavy make-up |'
            'plenty of make-up and lipstick | lipstick and thick make-up'
        ),
        'has': 'heavy make-up and lipstick | heavy make-up and painted lips',
    },
    'not Heavy_Makeup': {
        'is': 'not heavily made up',
        'wears': 'no heavy make-up | little or no make-up | hardly any make-up',
        'has': 'no heavy make-up | little or no make-up | hardly any make-up | little make-up',
    },
    'not Heavy_Makeup, not Wearing_Lipstick': {
        'is': 'not made up to speak of',
        'wears': 'no obvious make-up | no make-up to speak of',
        'has': 'no obvious make-up | no make-up to speak of',
    },
    'Fully_Visible_Forehead': {
        'has': (
            'a clear forehead | an uncovered forehead | {their} forehead fully visible |'
            '{their} whole forehead showing | a bare forehead'
        ),
        'clause': '{their} forehead {is} uncovered | {their} whole forehead {is} visible',
    },
    'Partially_Visible_Forehead': {
        'has': (
            'a partly covered forehead | {their} forehead partly hidden |'
            'only part of {their} forehead showing | a half-covered forehead'
        ),
        'clause': '{their} forehead {is} partly covered | {their} forehead {is} partly hidden',
    },
    'Obstructed_Forehead': {
        'has': (
            '{their} forehead covered | {their} forehead hidden | a covered forehead |'
            'a hidden forehead | {their} forehead out of sight'
        ),
        'clause': '{their} forehead {is} covered | {their} forehead {is} hidden',
    },
}

WORN = {
    'Wearing_Hat': {
        'is': 'in a hat',
        'wears': (
            'a hat | a hat | a hat | a cap or hat | some kind of hat | headgear |'
            'a hat on {their} head'
        ),
        'has': 'a hat | a hat on | a hat on {their} head | {their} head under a hat',
    },
    'not Wearing_Hat': {
        'is': 'bare-headed | hatless | not wearing a hat',
        'wears': 'no hat | no hat | no headgear',
        'has': 'no hat | no hat on | no headgear',
    },
    'Wearing_Necktie': {
        'wears': 'a tie | a tie | a tie | a necktie | a necktie | a tie round {their} neck',
        'has': 'a tie on | a tie round {their} neck | a necktie | a tie at {their} collar',
    },
    'not Wearing_Necktie': {
        'is': 'without a tie | not wearing a tie | tieless',
        'wears': 'no tie | no necktie',
        'has': 'no tie | no tie on | no necktie',
    },
    'Wearing_Earrings': {
        'wears': 'earrings | earrings | earrings | a pair of earrings | ear jewellery',
        'has': (
            'earrings | earrings on | earrings in {their} ears | jewellery in {their} ears |'
            'a pair of earrings'
        ),
    },
    'not Wearing_Earrings': {
        'is': 'not wearing earrings | without earrings',
        'wears': 'no earrings | no earrings | no ear jewellery',
        'has': 'no earrings | no earrings on | no jewellery in {their} ears',
    },
    'Wearing_Necklace': {
        'wears': 'a necklace | a necklace | a necklace | a necklace round {their} neck',
        'has': (
            'a necklace | a necklace on | a necklace round {their} neck |'
            'a necklace at {their} throat | jewellery round {their} neck'
        ),
    },
    'Wearing_Earrings, Wearing_Necklace': {
        'wears': (
            'earrings and a necklace | a necklace and earrings |jewellery on {their} ears and neck'
        ),
        'has': 'earrings and a necklace | a necklace and earrings on',
    },
}

AGE_RACE_LOOKS = {
    'Young': _YOUNG,
    'Youth': _YOUNG,
    'not Young': {
        'adj': 'older | older | older | mature',
        'is': (
            'older | no longer young | not young | getting on in years | past {their} youth |'
            'of mature years'
        ),
        'has': 'an older face | a mature face',
    },
    'not Young, Middle_Aged?, not Senior?': {
        'adj': 'middle-aged | middle-aged | middle-aged',
        'is': 'middle-aged | middle-aged | middle-aged or older',
    },
    'Middle_Aged': {
        'adj': 'middle-aged',
        'is': 'middle-aged | middle-aged | in middle age | in {their} middle years',
        'has': 'a middle-aged face | the face of middle age',
    },
    'Senior': {
        'adj': 'elderly | elderly | elderly | old | aged',
        'is': 'elderly | elderly | old | advanced in years | of a great age',
        'has': 'an elderly face | an old face',
    },
    'White': {
        'adj': 'white | white | white | Caucasian',
        'is': 'white | Caucasian | of white European appearance | of European descent',
        'has': 'Caucasian features | Caucasian looks',
    },
    'Black': {
        'adj': 'Black | Black | Black | dark-skinned',
        'is': 'Black | Black | dark-skinned | of African descent',
        'has': 'dark skin | an African or African American appearance | African features',
    },
    'Asian': {
        'adj': 'Asian | Asian | Asian | East Asian | Asian-looking',
        'is': 'Asian | East Asian | of Asian descent | of Asian appearance | Asian-looking',
        'has': 'Asian features | an Asian appearance',
    },
    'Indian': {
        'adj': 'Indian | Indian | South Asian | Indian-looking',
        'is': 'Indian | South Asian | of Indian descent | of South Asian appearance',
        'has': 'South Asian features | an Indian appearance',
    },
    'Attractive': _GOOD_LOOKING,
    'Attractive_Man': _GOOD_LOOKING,
    'Attractive_Woman': _GOOD_LOOKING,
}

PHOTO = {
    'Blurry': {
        'photo': 'blurry | blurry | blurred | out of focus | not sharp | fuzzy',
        'shot': 'blurry | blurred | fuzzy',
    },
    'Flash': {
        'photo': 'taken with flash | taken with a flash | lit by a flash | shot with flash',
        'shot': 'flash-lit | flash',
    },
    'Harsh_Lighting': {
        'photo': 'harshly lit | in harsh light | lit by hard light | taken in harsh lighting',
        'shot': 'harshly lit | hard-lit',
    },
    'Soft_Lighting': {
        'photo': 'softly lit | in soft light | gently lit | taken in soft lighting',
        'shot': 'softly lit | gently lit',
    },
    'Outdoor': {
        'photo': (
            'taken outdoors | taken outdoors | taken outside | shot in the open air |shot outside'
        ),
        'shot': 'outdoor | open-air',
    },
    'not Outdoor': {
        'photo': 'taken indoors | taken indoors | taken inside | not taken outdoors',
        'shot': 'indoor',
    },
    'Color_Photo': {
        'photo': 'in colour | in colour | in full colour | taken in colour | shot in colour',
        'shot': 'colour | full-colour',
    },
    'not Color_Photo': {
        'photo': 'in black and white | black and white | not in colour | monochrome',
        'shot': 'black-and-white | monochrome',
    },
    'Posed_Photo': {
        'photo': 'posed | posed | carefully posed | formally posed | clearly posed',
        'shot': 'posed | carefully posed',
    },
    'not Posed_Photo': {
        'photo': 'candid | candid | unposed | not posed',
        'shot': 'candid | unposed',
    },
}

SAYINGS = HAIR | FACIAL_HAIR | EYES_AND_NOSE | MOUTH | FACE | WORN | AGE_RACE_LOOKS | PHOTO

# --- sentences ---------------------------------------------------------------------------------

PRONOUNS = {True: ('he', 'his'), False: ('she', 'her'), None: ('they', 'their')}

# Verbs of the phrases, by past tense; verbs of the person by (past tense, plural).
SLOTS = {False: {'is': 'is', 'are': 'are'}, True: {'is': 'was', 'are': 'were'}}
VERBS = {
    (False, False): {'is': 'is', 'has': 'has', 'wears': 'wears'},
    (False, True): {'is': 'are', 'has': 'have', 'wears': 'wear'},
    (True, False): {'is': 'was', 'has': 'had', 'wears': 'wore'},
    (True, True): {'is': 'were', 'has': 'had', 'wears': 'wore'},
}


class SpeakingStyle(NamedTuple):
    """A way of speaking; frames for the first sentence, for further ones, and for mere lists."""

    openings: str
    remarks: str
    lists: str
    past: bool = False


_PLAIN = SpeakingStyle(
    openings=(
        '{person} | {person} | {person} | {person} | this is {person} | the photo shows {person} |'
        'the picture shows {person} | here is {person} | the {noun} {does} | the {noun} {does} |'
        'this {noun} {does} | the {noun} in the photo {does}'
    ),
    remarks='{they} {does} | {they} {does} | {they} {does} | {they} also {does}',
    lists='you can see {things} | other features are {things} | also {things}',
)
_WITNESS = SpeakingStyle(
    openings=(
        'I saw {person} | I saw {person} | it was {person} | what I saw was {person} |'
        'I remember {person} | there was {person} | the {noun} I saw {does} | the {noun} {does}'
    ),
    remarks='{they} {does} | {they} {does} | {they} {does} | {they} also {does}',
    lists='I noticed {things} | I remember {things} | I could see {things}',
    past=True,
)
_SEARCH = SpeakingStyle(
    openings=(
        'looking for {person} | searching for {person} | find {person} | photos of {person} |'
        'a photo of {person} | {person}'
    ),
    remarks='{they} {does} | {they} {does} | {they} also {does}',
    lists='also {things} | look for {things}',
)
STYLES = (_PLAIN, _PLAIN, _WITNESS, _SEARCH)  # beside notes, which have no sentences

SHOT = 'a {shot} photo of {person} | a {shot} picture of {person} | a {shot} shot of {person}'
PHOTO_SENTENCES = 'the photo is {things} | the picture is {things} | this photo is {things}'
PHOTO_NOTES = 'photo {things} | photo: {things} | picture: {things}'
