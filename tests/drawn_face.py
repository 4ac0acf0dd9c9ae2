"""A face drawn with a few ellipses, good enough for the detector at any size."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

# Where the predictor sees the landmarks, as fractions of the side.
LANDMARKS_5x2 = np.array(
    [(0.65, 0.48), (0.563, 0.487), (0.355, 0.475), (0.443, 0.487), (0.504, 0.68)]
)

_SKIN = (225, 180, 150)
_EYES = (80, 120)
_ELLIPSES = (
    ((45, 20, 155, 180), (60, 40, 30)),  # hair
    ((52, 35, 148, 185), _SKIN),
    *(((x - 17, 74, x + 17, 84), (70, 45, 35)) for x in _EYES),  # eyebrows
    *(((x - 17, 80, x + 17, 90), _SKIN) for x in _EYES),
    *(((x - 14, 88, x + 14, 104), (245, 240, 235)) for x in _EYES),
    *(((x - 7, 88, x + 7, 104), (40, 30, 25)) for x in _EYES),
    ((91, 100, 109, 132), (205, 155, 130)),  # nose
    ((86, 124, 114, 138), (190, 135, 115)),
    ((78, 146, 122, 164), (150, 60, 60)),  # mouth
)


def draw(side: int) -> np.ndarray:
    """A frontal face in the middle of a square image: side x side x 3, uint8 RGB."""
    image = Image.new('RGB', (side, side), (90, 110, 140))
    pen = ImageDraw.Draw(image)
    for box, colour in _ELLIPSES:
        pen.ellipse([edge * side / 200 for edge in box], fill=colour)
    return np.asarray(image.filter(ImageFilter.GaussianBlur(side / 60)))
