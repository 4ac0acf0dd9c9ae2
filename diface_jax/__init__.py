"""DiFace in JAX: recognise faces from words (arXiv 2312.01367)."""

import os

# transformers is used for its tokenizers: that PyTorch is missing is as it should be.
os.environ.setdefault('TRANSFORMERS_NO_ADVISORY_WARNINGS', '1')
