"""The frozen text encoder, MiniLM-L6: sentences to vectors.

BERT (Devlin et al., 2018) with 6 layers of width 384, distilled (MiniLM, Wang et al., 2020) and
tuned on sentence pairs (sentence-transformers/all-MiniLM-L6-v2). Its own sentence vector, the mean
of the last hidden states, loses half of the content of a face's description. The hidden states at
the input and half way still hold the words, so they are pooled too (`pooled_states`). Its weights
come with the package, in float16; the network computes in float32.
"""

import dataclasses
import functools
import json
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np
import safetensors.numpy
import tokenizers
import tqdm
from absl import logging
from flax import nnx

from diface_jax.encoders import weights
from diface_jax.encoders.licence import UNKNOWN

MODEL = 'sentence-transformers/all-MiniLM-L6-v2'
MODEL_LICENCE = 'Apache-2.0'
MODEL_SHA256 = '553c9ff2a4d968014fb1c66fdb6f2c9dc19b3ac2360ba58a51c69e177e55d765'

POOLS = 6
SENTENCE_POOL = 2  # the mean of the last depth

_WEIGHTS = 'model.safetensors'
_SHIPPED = pathlib.Path(__file__).parents[2] / 'pretrained/all-MiniLM-L6-v2'
_WHAT_TO_GIVE = (
    f'Give no encoder, for {MODEL}, which comes with the package; a folder with config.json, '
    f'tokenizer.json and {_WEIGHTS}; or the name of a repository fetched with `hf download NAME`.'
)
# Lengths are padded to multiples of this: 10% of padding at 40 tokens, and few compilations.
_BUCKET = 8
# The few sentences of a search are padded further, to shapes of this many tokens in all: of another
# length, or number, they need no other program.
_FEW, _FEW_TOKENS = 64, 512
_FEW_LENGTHS = (32, 64, 128, 256, 512)

# The name table: our modules to tensors of the file. Several tensors are concatenated into one.
_EMBEDDINGS = {
    'words': ('embeddings.word_embeddings',),
    'positions': ('embeddings.position_embeddings',),
    'types': ('embeddings.token_type_embeddings',),
    'norm': ('embeddings.LayerNorm',),
}
_LAYER = {
    'qkv': tuple(f'encoder.layer.{{}}.attention.self.{name}' for name in ('query', 'key', 'value')),
    'mix': ('encoder.layer.{}.attention.output.dense',),
    'mix_norm': ('encoder.layer.{}.attention.output.LayerNorm',),
    'up': ('encoder.layer.{}.intermediate.dense',),
    'down': ('encoder.layer.{}.output.dense',),
    'down_norm': ('encoder.layer.{}.output.LayerNorm',),
}
_SKIPPED = {
    'embeddings.position_ids',  # a buffer, the integers from 0: nothing learned
    'pooler.dense.weight',  # the next-sentence head, which is not used
    'pooler.dense.bias',
}


class BertSizes(NamedTuple):
    """Sizes of a Bert, and the epsilon of its norms; named as in its config.json."""

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    max_position_embeddings: int
    type_vocab_size: int = 2
    layer_norm_eps: float = 1e-12


class Bert(nnx.Module):
    """BERT's encoder: post-norm transformer layers, stacked so that XLA compiles a single layer.

    Args:
        sizes: of the network; gelu and absolute positions are assumed.
    """

    def __init__(self, sizes: BertSizes, *, rngs: nnx.Rngs) -> None:
        width = sizes.hidden_size
        self.words = nnx.Embed(sizes.vocab_size, width, rngs=rngs)
        self.positions = nnx.Embed(sizes.max_position_embeddings, width, rngs=rngs)
        self.types = nnx.Embed(sizes.type_vocab_size, width, rngs=rngs)
        self.norm = _layer_norm(sizes, rngs)

        @nnx.split_rngs(splits=sizes.num_hidden_layers)
        @nnx.vmap
        def stack(rngs: nnx.Rngs) -> _Layer:
            return _Layer(sizes, rngs=rngs)

        self.layers = stack(rngs)

    def __call__(self, tokens_BxL: jax.Array, mask_BxL: jax.Array) -> jax.Array:
        """Hidden states [S, B, L, C], float32, of the input and of each layer.

        Tokens where the mask is False are not attended to.
        """
        position_L = jnp.arange(tokens_BxL.shape[1])
        x_BxLxC = self.words(tokens_BxL) + self.positions(position_L) + self.types.embedding[0]

        @nnx.scan(in_axes=(0, nnx.Carry), out_axes=(nnx.Carry, 0))
        def run(layer: _Layer, x_BxLxC: jax.Array) -> tuple[jax.Array, jax.Array]:
            x_BxLxC = layer(x_BxLxC, mask_BxL)
            return x_BxLxC, x_BxLxC

        x_BxLxC = self.norm(x_BxLxC)
        return jnp.concatenate([x_BxLxC[None], run(self.layers, x_BxLxC)[1]])


class _Layer(nnx.Module):
    def __init__(self, sizes: BertSizes, *, rngs: nnx.Rngs) -> None:
        width = sizes.hidden_size
        self.heads = sizes.num_attention_heads
        self.qkv = nnx.Linear(width, 3 * width, rngs=rngs)
        self.mix = nnx.Linear(width, width, rngs=rngs)
        self.mix_norm = _layer_norm(sizes, rngs)
        self.up = nnx.Linear(width, sizes.intermediate_size, rngs=rngs)
        self.down = nnx.Linear(sizes.intermediate_size, width, rngs=rngs)
        self.down_norm = _layer_norm(sizes, rngs)

    def __call__(self, x_BxLxC: jax.Array, mask_BxL: jax.Array) -> jax.Array:
        qkv_BxLx3xHxK = self.qkv(x_BxLxC).reshape(*x_BxLxC.shape[:2], 3, self.heads, -1)
        seen_BxLxHxK = jax.nn.dot_product_attention(
            *jnp.unstack(qkv_BxLx3xHxK, axis=2), mask=mask_BxL[:, None, None, :]
        )
        x_BxLxC = self.mix_norm(x_BxLxC + self.mix(seen_BxLxHxK.reshape(x_BxLxC.shape)))
        hidden = jax.nn.gelu(self.up(x_BxLxC), approximate=False)
        return self.down_norm(x_BxLxC + self.down(hidden))


def _layer_norm(sizes: BertSizes, rngs: nnx.Rngs) -> nnx.LayerNorm:
    return nnx.LayerNorm(
        sizes.hidden_size, epsilon=sizes.layer_norm_eps, use_fast_variance=False, rngs=rngs
    )


def load_bert(folder: pathlib.Path | str) -> Bert:
    """The Bert of a folder: built by its config.json, with the weights of its model.safetensors.

    Raises:
        ValueError: the config asks for an unsupported network, a tensor is missing or has another
            shape than the config says, or the name table lacks a tensor of the file.
    """
    folder = pathlib.Path(folder)
    sizes = _read_sizes(folder)
    tensors = safetensors.numpy.load_file(folder / _WEIGHTS)
    graphdef, abstract = nnx.split(nnx.eval_shape(lambda: Bert(sizes, rngs=nnx.Rngs(0))))
    state = nnx.from_flat_state(
        (path, variable.replace(_take(tensors, path, variable.shape)))
        for path, variable in nnx.to_flat_state(abstract)
    )
    unused = tensors.keys() - _SKIPPED
    if unused:
        raise ValueError(
            f'{folder / _WEIGHTS} has {len(unused)} tensors that Bert does not use, such as '
            f'{min(unused)}'
        )
    return nnx.merge(graphdef, jax.device_put(state))


def _read_sizes(folder: pathlib.Path) -> BertSizes:
    config = _settings(folder / 'config.json')
    model, activation = config.get('model_type'), config.get('hidden_act', 'gelu')
    if model != 'bert' or activation != 'gelu':
        raise ValueError(
            f'{folder} holds a {model} with {activation}; only bert with gelu is supported'
        )
    return BertSizes(**{name: config[name] for name in BertSizes._fields if name in config})


def _take(
    tensors: dict[str, np.ndarray], path: tuple[str, ...], shape: tuple[int, ...]
) -> np.ndarray:
    """Removes the tensors of a parameter from the dictionary and stacks those of all layers."""
    *_, module, leaf = path
    if path[0] != 'layers':
        return _join(tensors, _EMBEDDINGS[module], leaf, shape)
    names_by_layer = [[name.format(layer) for name in _LAYER[module]] for layer in range(shape[0])]
    return np.stack([_join(tensors, names, leaf, shape[1:]) for names in names_by_layer])


def _join(
    tensors: dict[str, np.ndarray], names: Sequence[str], leaf: str, shape: tuple[int, ...]
) -> np.ndarray:
    """Removes the named tensors and joins them along the output axis.

    Matrices of PyTorch are [output, input].
    """
    rows, *rest = reversed(shape) if leaf == 'kernel' else shape
    kind = 'bias' if leaf == 'bias' else 'weight'
    parts = []
    for name in names:
        part = tensors.pop(f'{name}.{kind}', None)
        expected = (rows // len(names), *rest)
        if part is None:
            raise ValueError(f'{_WEIGHTS} has no tensor {name}.{kind}')
        if part.shape != expected:
            raise ValueError(f'{_WEIGHTS}: {name}.{kind} is {part.shape}, not {expected}')
        parts.append(part.astype(np.float32))
    joined = np.concatenate(parts)
    return joined.T if leaf == 'kernel' else joined


@functools.partial(jax.jit, static_argnums=0)
def pooled_states(
    graphdef: nnx.GraphDef, state: nnx.State, tokens_BxL: jax.Array, mask_BxL: jax.Array
) -> jax.Array:
    """The hidden states of a Bert, pooled over the tokens where the mask is True.

    Returns:
      [B, POOLS * width]: the mean over tokens at the input, half way and at the last layer, then
      the maximum at each of these. The third is the vector that MiniLM was tuned for, unscaled.
    """
    # The default of bfloat16 on accelerators would give a text other vectors there.
    with jax.default_matmul_precision('highest'):
        hidden_SxBxLxC = nnx.merge(graphdef, state)(tokens_BxL, mask_BxL)
    last = len(hidden_SxBxLxC) - 1
    depths_3xBxLxC = hidden_SxBxLxC[jnp.array([0, last // 2, last])]
    mask_BxLx1 = mask_BxL[:, :, None]
    mean_3xBxC = jnp.mean(depths_3xBxLxC, axis=2, where=mask_BxLx1)
    max_3xBxC = jnp.max(depths_3xBxLxC, axis=2, where=mask_BxLx1, initial=-jnp.inf)
    return jnp.concatenate([*mean_3xBxC, *max_3xBxC], axis=-1)


@dataclasses.dataclass(frozen=True, eq=False)
class TextEncoder:
    """Encodes sentences as pooled hidden states; `load_text_encoder` makes one.

    Attributes:
        name: name of the model, for data cards and checkpoints.
        sha256: hash of the file of weights.
        width: width of a hidden state; the vector of a sentence holds POOLS of them.
        max_tokens: longer sentences are truncated; includes [CLS] and [SEP].
    """

    name: str
    sha256: str
    width: int
    max_tokens: int
    _tokenizer: tokenizers.Tokenizer = dataclasses.field(repr=False)
    _graphdef: nnx.GraphDef = dataclasses.field(repr=False)
    _state: nnx.State = dataclasses.field(repr=False)

    @property
    def licence(self) -> str:
        """Of the weights; unknown for all but those that come with the package."""
        return MODEL_LICENCE if self.sha256 == MODEL_SHA256 else UNKNOWN

    @classmethod
    def from_folder(cls, folder: pathlib.Path, name: str) -> Self:
        """Reads config, tokenizer and weights; raises the errors of `load_text_encoder`."""
        _check_folder(folder)
        graphdef, state = nnx.split(load_bert(folder))
        tokenizer = tokenizers.Tokenizer.from_file(str(folder / 'tokenizer.json'))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        positions, width = state['positions']['embedding'].shape
        max_tokens = min(positions, _max_tokens(folder) or positions)
        digest = weights.sha256_of_file(folder / _WEIGHTS)
        return cls(name, digest, width, max_tokens, tokenizer, graphdef, state)

    def encode(
        self, sentences: Sequence[str], *, batch_tokens: int = 1024, progress: bool = False
    ) -> np.ndarray:
        """The `pooled_states` of N sentences, in order; [N, POOLS * width], float32.

        Sentences of similar length share batches of static shapes: the length is a multiple of 8,
        the number of rows a power of two or the maximum that `batch_tokens` allows. Up to 64
        sentences are padded to one of five shapes.

        Args:
            sentences: in English. Those over `max_tokens` are truncated, with a warning.
            batch_tokens: number of sentences times length in a batch; 1,000 is fastest on 2 cores.
            progress: whether to show a progress bar.

        Raises:
            ValueError: a sentence is empty or blank; the message gives its index.
        """
        tokens_N = self._tokenize(sentences)
        pool_NxP = np.empty((len(tokens_N), POOLS * self.width), np.float32)
        with tqdm.tqdm(total=len(tokens_N), unit=' sentences', disable=not progress) as bar:
            for rows, shape in self._batches([len(tokens) for tokens in tokens_N], batch_tokens):
                tokens_BxL, mask_BxL = _pad([tokens_N[row] for row in rows], shape)
                pool_BxP = pooled_states(self._graphdef, self._state, tokens_BxL, mask_BxL)
                pool_NxP[rows] = pool_BxP[: len(rows)]
                bar.update(len(rows))
        return pool_NxP

    def is_token(self, word: str) -> bool:
        """Whether a word is a single token of the vocabulary."""
        tokens = self._tokenizer.encode(word, add_special_tokens=False).tokens
        return len(tokens) == 1 and tokens[0] != self._tokenizer.model.unk_token

    def split(self, sentence: str) -> tuple[str, str]:
        """The part of a sentence within `max_tokens`, in whole words, and the rest."""
        offsets = self._tokenizer.encode(sentence).offsets
        if len(offsets) <= self.max_tokens:
            return sentence, ''
        end = offsets[self.max_tokens - 1][0]
        while end and not sentence[end - 1].isspace():
            end -= 1
        # A single word that is too long is cut.
        end = end or offsets[self.max_tokens - 1][0]
        return sentence[:end].rstrip(), sentence[end:]

    def _tokenize(self, sentences: Sequence[str]) -> list[list[int]]:
        for index, sentence in enumerate(sentences):
            if not sentence.strip():
                raise ValueError(f'sentence {index} is empty: there is nothing to encode')
        if len(sentences) == 0:
            return []
        tokens_N = [encoded.ids for encoded in self._tokenizer.encode_batch(list(sentences))]
        too_long = sum(len(tokens) > self.max_tokens for tokens in tokens_N)
        if too_long:
            logging.warning(
                '%d of %d sentences are longer than %d tokens and are truncated',
                too_long,
                len(tokens_N),
                self.max_tokens,
            )
        # Keep the last token, [SEP].
        return [tokens[:-1][: self.max_tokens - 1] + tokens[-1:] for tokens in tokens_N]

    def _batches(
        self, lengths_N: Sequence[int], batch_tokens: int
    ) -> Iterator[tuple[np.ndarray, tuple[int, int]]]:
        """The rows of each batch and its static shape (B, L); the longest sentences come first."""
        is_few = len(lengths_N) <= _FEW
        if is_few:
            padded_N = np.asarray(_FEW_LENGTHS)[np.searchsorted(_FEW_LENGTHS, lengths_N)]
        else:
            padded_N = -(-np.asarray(lengths_N, int) // _BUCKET) * _BUCKET
        padded_N = np.minimum(padded_N, self.max_tokens)
        for length in np.unique(padded_N)[::-1].tolist():
            rows = np.flatnonzero(padded_N == length)
            if is_few:
                size = max(1, _FEW_TOKENS // length)
            else:
                size = min(max(1, batch_tokens // length), 1 << (len(rows) - 1).bit_length())
            for start in range(0, len(rows), size):
                yield rows[start : start + size], (size, length)


def _pad(tokens_by_row: list[list[int]], shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """tokens_BxL and mask_BxL of this shape; missing rows repeat the first ones."""
    tokens_BxL, mask_BxL = np.zeros(shape, np.int32), np.zeros(shape, bool)
    for row in range(shape[0]):
        tokens = tokens_by_row[row % len(tokens_by_row)]
        tokens_BxL[row, : len(tokens)] = tokens
        mask_BxL[row, : len(tokens)] = True
    return tokens_BxL, mask_BxL


def _check_folder(folder: pathlib.Path) -> None:
    for name in ('config.json', 'tokenizer.json', _WEIGHTS):
        if not (folder / name).is_file():
            raise FileNotFoundError(f'{folder} has no {name}. {_WHAT_TO_GIVE}')
    pooling = _settings(folder / '1_Pooling/config.json')
    if not pooling.get('pooling_mode_mean_tokens', True):
        raise ValueError(f'{folder} does not use mean pooling, the only pooling implemented here')


def _max_tokens(folder: pathlib.Path) -> int | None:
    return _settings(folder / 'sentence_bert_config.json').get('max_seq_length') or _settings(
        folder / 'tokenizer_config.json'
    ).get('model_max_length')


def _settings(path: pathlib.Path) -> dict[str, Any]:
    """A JSON file of settings; {} where there is none, as sentence-transformers' for plain BERT."""
    return json.loads(path.read_text()) if path.is_file() else {}


def load_text_encoder(source: str | None = None) -> TextEncoder:
    """Loads the text encoder, without network access.

    Args:
        source: a folder with config.json, tokenizer.json and model.safetensors, or a repository of
            the Hugging Face hub that is in the local cache. By default the float16 copy of
            all-MiniLM-L6-v2 that comes with the package, whose hash is checked. Other weights are
            not checked: compare the `sha256` of the encoder.

    Raises:
        FileNotFoundError: the files are missing; the message says what to do.
        ValueError: the files do not hold a supported model.
    """
    if source is None:
        weights.check_sha256(_SHIPPED / _WEIGHTS, MODEL_SHA256)
        return TextEncoder.from_folder(_SHIPPED, MODEL)
    if pathlib.Path(source).is_dir():
        return TextEncoder.from_folder(pathlib.Path(source), pathlib.Path(source).resolve().name)
    return TextEncoder.from_folder(_in_hub_cache(source), source)


def _in_hub_cache(repository: str) -> pathlib.Path:
    import huggingface_hub  # takes 0.3 s, and is seldom needed

    try:
        path = huggingface_hub.try_to_load_from_cache(repository, _WEIGHTS)
    except huggingface_hub.errors.HFValidationError:  # not the name of a repository, but a path
        path = None
    if not isinstance(path, str):
        raise FileNotFoundError(
            f'{repository} is neither a folder nor in the hub cache. {_WHAT_TO_GIVE}'
        )
    return pathlib.Path(path).parent
