"""Sentences to padded batches of tokens, in few shapes so that little is compiled."""

import bisect
import pathlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Self

import numpy as np
import tokenizers
from absl import logging

# Lengths are padded to multiples of these: of the first where there are many sentences, for 3% of
# padding at 80 tokens; else of the second, for fewer compilations.
_MANY, _BUCKETS = 256, (4, 8)
# The few sentences of a search are padded further, to one of few shapes: of another length, or
# number, they need no other program. A batch holds four sentences; one where it is the only one of
# its length, or long.
_FEW, _FEW_ROWS, _FEW_TOKENS = 64, 4, 512
_FEW_LENGTHS = (16, 32, 64, 128, 256, 512)
# A GPU compiles each shape for seconds: sentences are padded to one of these lengths there.
_ACCELERATOR_LENGTHS = (16, 24, 32, 48, 64, 96, 128, 256, 384, 512)


class TokenBatch(NamedTuple):
    """Some of the sentences, padded.

    Attributes:
      rows: of the sentences; rows of the batch beyond these repeat the first ones.
      tokens_BxL: int32; 0 where there is no token.
      mask_BxL: bool, whether there is a token.
    """

    rows: np.ndarray
    tokens_BxL: np.ndarray
    mask_BxL: np.ndarray


class SentenceTokenizer(NamedTuple):
    """Splits sentences into tokens, with those that begin and end a sentence.

    Attributes:
      tokenizer: of the encoder.
      max_tokens: longer sentences are truncated; includes the special tokens.
      prefix: put before each sentence.
    """

    tokenizer: tokenizers.Tokenizer
    max_tokens: int
    prefix: str = ''

    @classmethod
    def from_file(cls, path: pathlib.Path, max_tokens: int, prefix: str = '') -> Self:
        """Reads a tokenizer.json.

        Raises:
          ValueError: it adds no special tokens, which every encoder here was trained with.
        """
        tokenizer = tokenizers.Tokenizer.from_file(str(path))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        if not tokenizer.num_special_tokens_to_add(is_pair=False):
            raise ValueError(
                f'{path} adds no token at the end of a sentence: it lacks a post_processor'
            )
        return cls(tokenizer, max_tokens, prefix)

    def ids(self, sentences: Sequence[str]) -> list[list[int]]:
        """The tokens of each sentence. Those that are truncated keep the token at the end.

        Raises:
          ValueError: a sentence is empty or blank; the message gives its index.
        """
        for index, sentence in enumerate(sentences):
            if not sentence.strip():
                raise ValueError(f'sentence {index} is empty: there is nothing to encode')
        if len(sentences) == 0:
            return []
        texts = [self.prefix + sentence for sentence in sentences]
        # The threads of a batch take longer to start than a few sentences need.
        few = len(texts) <= _FEW
        encoded_N = map(self.tokenizer.encode, texts) if few else self.tokenizer.encode_batch(texts)
        tokens_N = [encoded.ids for encoded in encoded_N]
        too_long = sum(len(tokens) > self.max_tokens for tokens in tokens_N)
        if too_long:
            logging.warning(
                '%d of %d sentences are longer than %d tokens and are truncated',
                too_long,
                len(tokens_N),
                self.max_tokens,
            )
        return [tokens[:-1][: self.max_tokens - 1] + tokens[-1:] for tokens in tokens_N]

    def batches(
        self, tokens_N: Sequence[Sequence[int]], batch_tokens: int, *, few_shapes: bool = False
    ) -> Iterator[TokenBatch]:
        """Batches of static shapes, the longest sentences first.

        Sentences of about the same length share a batch. Its length is a multiple of 8, or of 4
        where there are many; its number of rows the maximum that `batch_tokens` allows, in the last
        batch a power of two. Up to 64 sentences are padded to one of ten shapes.

        Args:
          tokens_N: from `ids`.
          batch_tokens: number of sentences times length in a batch.
          few_shapes: whether all batches are full, and of one of ten lengths, for devices that take
            long to compile.
        """
        lengths_N = np.array([len(tokens) for tokens in tokens_N], int)
        if len(tokens_N) <= _FEW:
            shapes = self._few_shapes(lengths_N)
        else:
            shapes = self._shapes(lengths_N, batch_tokens, few_shapes)
        for rows, shape in shapes:
            yield TokenBatch(rows, *pad_tokens([tokens_N[row] for row in rows], shape))

    def is_token(self, word: str) -> bool:
        """Whether a word is a single token of the vocabulary."""
        ids = self.tokenizer.encode(word, add_special_tokens=False).ids
        return len(ids) == 1 and ids[0] != self._unknown

    def split(self, sentence: str) -> tuple[str, str]:
        """The part of a sentence within `max_tokens`, in whole words, and the rest."""
        offsets = self.tokenizer.encode(self.prefix + sentence).offsets
        if len(offsets) <= self.max_tokens:
            return sentence, ''
        last = max(0, offsets[self.max_tokens - 1][0] - len(self.prefix))
        end = last
        while end and not sentence[end - 1].isspace():
            end -= 1
        # A single word that is too long is cut.
        end = end or last
        return sentence[:end].rstrip(), sentence[end:]

    @property
    def _unknown(self) -> int | None:
        model = self.tokenizer.model
        if isinstance(model, tokenizers.models.Unigram):
            return self.tokenizer.encode('\U0010ffff', add_special_tokens=False).ids[-1]
        return self.tokenizer.token_to_id(model.unk_token) if model.unk_token else None

    def _shapes(
        self, lengths_N: np.ndarray, batch_tokens: int, few_shapes: bool
    ) -> Iterator[tuple[np.ndarray, tuple[int, int]]]:
        """The rows of each batch and its static shape (B, L)."""
        longest_first = np.argsort(-lengths_N, kind='stable')
        bucket = _BUCKETS[len(lengths_N) <= _MANY]
        start = 0
        while start < len(longest_first):
            longest = int(lengths_N[longest_first[start]])
            if few_shapes and longest <= _ACCELERATOR_LENGTHS[-1]:
                padded = _ACCELERATOR_LENGTHS[bisect.bisect_left(_ACCELERATOR_LENGTHS, longest)]
            else:
                padded = -(-longest // bucket) * bucket
            length = min(padded, self.max_tokens)
            size = max(1, batch_tokens // length)
            rows = longest_first[start : start + size]
            full = size if few_shapes else min(size, 1 << (len(rows) - 1).bit_length())
            yield rows, (full, length)
            start += size

    def _few_shapes(self, lengths_N: np.ndarray) -> Iterator[tuple[np.ndarray, tuple[int, int]]]:
        """As `_shapes`, for the few sentences of a search."""
        padded_N = np.asarray(_FEW_LENGTHS)[np.searchsorted(_FEW_LENGTHS, lengths_N)]
        padded_N = np.minimum(padded_N, self.max_tokens)
        for length in np.unique(padded_N)[::-1].tolist():
            rows = np.flatnonzero(padded_N == length)
            size = _FEW_ROWS if _FEW_ROWS * length <= _FEW_TOKENS else 1
            for start in range(0, len(rows), size):
                batch = rows[start : start + size]
                yield batch, (1 if len(rows) == 1 else size, length)


def pad_tokens(
    tokens_by_row: list[list[int]], shape: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """tokens_BxL and mask_BxL of this shape; missing rows repeat the first ones."""
    tokens_BxL, mask_BxL = np.zeros(shape, np.int32), np.zeros(shape, bool)
    for row in range(shape[0]):
        tokens = tokens_by_row[row % len(tokens_by_row)]
        tokens_BxL[row, : len(tokens)] = tokens
        mask_BxL[row, : len(tokens)] = True
    return tokens_BxL, mask_BxL
