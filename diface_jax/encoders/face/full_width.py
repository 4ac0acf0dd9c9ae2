"""The width of a face from which a photo counts as good; imported where nothing slow may be."""

# In pixels, from one side of dlib's box to the other: embeddings hardly gain from more.
FULL_WIDTH = 64.0
