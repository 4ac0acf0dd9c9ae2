"""The text encoder: sentences to vectors. It is frozen, but for adapters that were trained before.

By default MiniLM-L6 (Wang et al., 2020), tuned on sentence pairs: all-MiniLM-L6-v2, whose weights
come with the package in float16; the network computes in float32. Any other encoder is a folder or
a repository of the Hugging Face hub; its config.json says which network it is.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Sequence
from typing import Self

import jax
import numpy as np
from flax import nnx

from diface_jax.encoders import folder_files, weights
from diface_jax.encoders.clip import clip_files
from diface_jax.encoders.folder_files import Reading
from diface_jax.encoders.text import bert, mpnet, pooling, t5
from diface_jax.encoders.text.adapters import Adapters, adapt, adapters_sha256, check_adapters
from diface_jax.encoders.text.sentence_tokens import SentenceTokenizer, pad_tokens
from diface_jax.runtime.batch_threads import run_batches

MODEL = 'sentence-transformers/all-MiniLM-L6-v2'
MODEL_SHA256 = '553c9ff2a4d968014fb1c66fdb6f2c9dc19b3ac2360ba58a51c69e177e55d765'
MODEL_LICENCE = 'Apache-2.0'

_SHIPPED = pathlib.Path(__file__).parents[2] / 'pretrained/all-MiniLM-L6-v2'
_WHAT_TO_GIVE = (
    f'Give no encoder, for {MODEL}, which comes with the package; a folder with '
    f'{folder_files.CONFIG}, {folder_files.TOKENIZER} and {folder_files.WEIGHTS}; or the name of a '
    'repository fetched with `hf download NAME`.'
)


@dataclasses.dataclass(frozen=True, eq=False)
class TextEncoder:
    """Encodes sentences as pooled hidden states; `load_text_encoder` makes one.

    Attributes:
        name: name of the model, for data cards and checkpoints.
        sha256: hash of the file of weights and, if there are any, of the adapters.
        licence: of the weights, as their README.md gives it, or `licence.UNKNOWN`.
        width: width of a hidden state; the vector of a sentence holds `pooling.POOLS` of them.
        reading: how its own sentence vector is pooled, and its prefix.
        adapters: that were added to its last layers; None where it is frozen.
    """

    name: str
    sha256: str
    licence: str
    width: int
    reading: Reading
    _tokenizer: SentenceTokenizer = dataclasses.field(repr=False)
    _graphdef: nnx.GraphDef = dataclasses.field(repr=False)
    _state: nnx.State = dataclasses.field(repr=False)
    adapters: Adapters | None = dataclasses.field(default=None, repr=False)
    _frozen_sha256: str = ''

    @classmethod
    def from_folder(cls, folder: pathlib.Path, name: str, licence: str | None = None) -> Self:
        """Reads config, tokenizer and weights; raises the errors of `load_text_encoder`."""
        _check_folder(folder)
        network = _load_network(folder)
        reading = folder_files.read_reading(folder, network.pooling)
        asked = folder_files.read_max_tokens(folder) or network.max_tokens
        tokenizer = SentenceTokenizer.from_file(
            folder / folder_files.TOKENIZER, min(network.max_tokens, asked), reading.prefix
        )
        return cls(
            name,
            weights.sha256_of_file(folder_files.weights_file(folder)),
            licence or folder_files.read_licence(folder),
            network.width,
            reading,
            tokenizer,
            *nnx.split(network),
        )

    def with_adapters(self, adapters: Adapters) -> Self:
        """The encoder with adapters added; ValueError if they do not fit, or it has some."""
        if self.adapters:
            raise ValueError(f'{self.name} has adapters already')
        layers = self._state['layers']
        check_adapters(layers, adapters)
        return dataclasses.replace(
            self,
            sha256=adapters_sha256(self.sha256, adapters),
            _state=self._state_with(adapt(layers, adapters)),
            adapters=adapters,
            _frozen_sha256=self.sha256,
        )

    def lower_layers(self, count: int) -> Self:
        """The encoder without its last layers: `token_states` gives the states after `count`."""
        lower = jax.tree.map(lambda layer_SxX: layer_SxX[:count], self._state['layers'])
        return dataclasses.replace(self, _state=self._state_with(lower))

    def _state_with(self, layers: nnx.State) -> nnx.State:
        """The state with other layers, nested as before: a program takes both."""
        return nnx.state(nnx.merge(self._graphdef, nnx.State({**self._state, 'layers': layers})))

    @property
    def frozen(self) -> dict[str, str]:
        """Name and hash of the encoder without adapters."""
        return {'name': self.name, 'sha256': self._frozen_sha256 or self.sha256}

    @property
    def network(self) -> nnx.Module:
        """The network in use, with its adapters."""
        return nnx.merge(self._graphdef, self._state)

    @property
    def num_layers(self) -> int:
        """The number of layers."""
        return len(self._state['layers']['mix']['kernel'][...])

    @property
    def max_tokens(self) -> int:
        """Longer sentences are truncated; includes the special tokens at both ends."""
        return self._tokenizer.max_tokens

    @property
    def unusual_reading(self) -> dict[str, str]:
        """Pooling and prefix where they are not the mean and none, on which vectors depend too."""
        usual = Reading()._asdict()
        return {
            name: value for name, value in self.reading._asdict().items() if value != usual[name]
        }

    def encode(
        self,
        sentences: Sequence[str],
        *,
        batch_tokens: int = 512,
        on_encoded: Callable[[int], object] | None = None,
    ) -> np.ndarray:
        """The `pooled_states` of N sentences, in order; [N, POOLS * width], float32.

        Args:
            sentences: in English. Those over `max_tokens` are truncated, with a warning.
            batch_tokens: number of sentences times length in a batch; 512 is fastest on 2 cores.
            on_encoded: called with the number of sentences of each batch, to show progress.

        Raises:
            ValueError: a sentence is empty or blank; the message gives its index.
        """
        tokens_N = self._tokenizer.ids(sentences)
        pool_NxP = np.empty((len(tokens_N), pooling.POOLS * self.width), np.float32)
        pool = functools.partial(
            pooling.pooled_states, self._graphdef, self._state, pooling=self.reading.pooling
        )
        batches = list(self._tokenizer.batches(tokens_N, batch_tokens))
        pooled = run_batches(
            lambda tokens_BxL, mask_BxL: np.asarray(pool(tokens_BxL, mask_BxL)),
            [batch[1:] for batch in batches],
        )
        for batch, pool_BxP in zip(batches, pooled, strict=True):
            pool_NxP[batch.rows] = pool_BxP[: len(batch.rows)]
            if on_encoded:
                on_encoded(len(batch.rows))
        return pool_NxP

    def of_tokens(self, tokens_BxL: jax.Array, mask_BxL: jax.Array) -> jax.Array:
        """The `pooled_states` of tokens, with this encoder's weights; JAX can trace it."""
        # Copied, as nnx accepts variables of the trace that it runs in alone.
        state = jax.tree.map(lambda leaf: leaf, self._state)
        return pooling.pooled_states(
            self._graphdef, state, tokens_BxL, mask_BxL, pooling=self.reading.pooling
        )

    def tokens(self, sentences: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """tokens_BxL and mask_BxL of sentences, padded to the longest.

        Raises:
            ValueError: a sentence is empty or blank; the message gives its index.
        """
        tokens_N = self._tokenizer.ids(sentences)
        return pad_tokens(tokens_N, (len(tokens_N), max(map(len, tokens_N))))

    @property
    def tokenizer_json(self) -> str:
        """The tokenizer, as a `tokenizer.json` of the library tokenizers."""
        return self._tokenizer.tokenizer.to_str()

    def token_states(
        self, sentences: Sequence[str], *, batch_tokens: int = 1024
    ) -> tuple[np.ndarray, np.ndarray]:
        """The last hidden states of all tokens of N sentences, special ones included.

        Args:
            sentences: as for `encode`.
            batch_tokens: as for `encode`.

        Returns:
            state_NxLxC, float32, 0 where there is no token; and mask_NxL, bool, whether there is
            one. L is the length of the longest sentence.

        Raises:
            ValueError: a sentence is empty or blank; the message gives its index.
        """
        tokens_N = self._tokenizer.ids(sentences)
        longest = max(map(len, tokens_N), default=0)
        state_NxLxC = np.zeros((len(tokens_N), longest, self.width), np.float32)
        mask_NxL = np.zeros(state_NxLxC.shape[:2], bool)
        for rows, tokens_BxL, mask_BxL in self._tokenizer.batches(tokens_N, batch_tokens):
            length = min(mask_BxL.shape[1], longest)
            state_BxLxC = pooling.last_states(self._graphdef, self._state, tokens_BxL, mask_BxL)
            mask_NxL[rows, :length] = mask_BxL[: len(rows), :length]
            state_NxLxC[rows, :length] = state_BxLxC[: len(rows), :length]
        return state_NxLxC * mask_NxL[:, :, None], mask_NxL

    def is_token(self, word: str) -> bool:
        """Whether a word is a single token of the vocabulary."""
        return self._tokenizer.is_token(word)

    def split(self, sentence: str) -> tuple[str, str]:
        """The part of a sentence within `max_tokens`, in whole words, and the rest."""
        return self._tokenizer.split(sentence)


def _check_folder(folder: pathlib.Path) -> None:
    if not clip_files.is_open_clip(folder):
        folder_files.require_file(folder, folder_files.CONFIG, _WHAT_TO_GIVE)
        folder_files.require_file(folder, folder_files.WEIGHTS, _WHAT_TO_GIVE)
    folder_files.require_tokenizer(folder)


def _load_network(folder: pathlib.Path) -> nnx.Module:
    """The network that config.json names, with its weights; from tokens and mask to hidden states.

    Its attributes are its `width`, its `max_tokens`, and the `pooling` of its own sentence vector.
    """
    if clip_files.is_open_clip(folder):
        return clip_files.load_clip_text(folder)
    kind = folder_files.read_json(folder / folder_files.CONFIG).get('model_type')
    match kind:
        case 'bert' | 'roberta' | 'xlm-roberta':
            return bert.load_bert(folder)
        case 'mpnet':
            return mpnet.load_mpnet(folder)
        case 'clip' | 'clip_text_model':
            return clip_files.load_clip_text(folder)
        case 't5':
            return t5.load_t5(folder)
    raise ValueError(
        f'{folder} holds a {kind}; the supported model_type of a text encoder are bert, roberta, '
        'xlm-roberta, mpnet, clip, clip_text_model and t5'
    )


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
        weights.check_sha256(_SHIPPED / folder_files.WEIGHTS, MODEL_SHA256)
        return TextEncoder.from_folder(_SHIPPED, MODEL, MODEL_LICENCE)
    if pathlib.Path(source).is_dir():
        return TextEncoder.from_folder(pathlib.Path(source), pathlib.Path(source).resolve().name)
    return TextEncoder.from_folder(_in_hub_cache(source), source)


def _in_hub_cache(repository: str) -> pathlib.Path:
    import huggingface_hub  # takes 0.3 s, and is seldom needed

    try:
        path = huggingface_hub.try_to_load_from_cache(repository, folder_files.WEIGHTS)
    except huggingface_hub.errors.HFValidationError:  # not the name of a repository, but a path
        path = None
    if not isinstance(path, str):
        raise FileNotFoundError(
            f'{repository} is neither a folder nor in the hub cache. {_WHAT_TO_GIVE}'
        )
    return pathlib.Path(path).parent
