"""The files of an encoder's folder, and how its sentence vector is read (sentence-transformers)."""

import json
import pathlib
import re
from typing import Any, NamedTuple

from diface_jax.encoders.licence import UNKNOWN

WEIGHTS = 'model.safetensors'
CONFIG, TOKENIZER = 'config.json', 'tokenizer.json'

# From the names of sentence-transformers to ours.
_POOLINGS = {'mean': 'mean', 'cls': 'cls', 'lasttoken': 'last'}
_LICENCE = re.compile(r'^license:\s*(\S+)\s*$', re.MULTILINE)


class Reading(NamedTuple):
    """How a sentence becomes the encoder's own vector.

    Attributes:
      pooling: of the last hidden states: 'mean', 'cls' (the first token) or 'last' (the last one).
      prefix: put before each sentence, such as 'query: '.
    """

    pooling: str = 'mean'
    prefix: str = ''


def read_json(path: pathlib.Path) -> dict[str, Any]:
    """A JSON file of settings; {} where there is none, as sentence-transformers' for plain BERT.

    Raises:
      ValueError: it is not JSON; names the file.
    """
    if not path.is_file():
        return {}
    try:
        return json.loads(path.read_text(encoding='utf-8'))
    except ValueError as error:
        raise ValueError(f'{path} is not JSON ({error}): copy the model again') from error


def read_reading(folder: pathlib.Path, pooling: str) -> Reading:
    """Pooling and prefix of a folder, from the files of sentence-transformers.

    The pooling is that of `1_Pooling/config.json`. The prefix is the prompt that
    `config_sentence_transformers.json` has as its default; without a default the prompt 'query',
    since a description is what one searches with.

    Args:
      folder: of the encoder.
      pooling: of a folder without these files.

    Raises:
      ValueError: the folder asks for a pooling, or for a module after it, that is not implemented.
    """
    settings = read_json(folder / 'config_sentence_transformers.json')
    prompts = settings.get('prompts') or {}
    prefix = prompts.get(settings.get('default_prompt_name') or 'query', '')
    path = folder / _pooling_folder(folder) / CONFIG
    pooling_settings = read_json(path)
    if prefix and not pooling_settings.get('include_prompt', True):
        raise ValueError(f'{path} leaves the prompt out of the pooling, which is not implemented')
    return Reading(_pooling(path, pooling_settings) or pooling, prefix)


def _pooling_folder(folder: pathlib.Path) -> str:
    """The module that pools; ValueError for a module that is neither network, pooling nor norm."""
    pooling = '1_Pooling'
    for module in read_json(folder / 'modules.json') or ():
        kind = module['type'].rsplit('.', 1)[-1]
        if kind == 'Pooling':
            pooling = module['path']
        elif kind not in ('Transformer', 'Normalize'):
            raise ValueError(
                f'{folder / "modules.json"} has a module {kind}, which is not implemented: remove '
                'it from the list to use the pooled states before it'
            )
    return pooling


def _pooling(path: pathlib.Path, settings: dict[str, Any]) -> str | None:
    """The pooling of a Pooling module's settings; None where there are none."""
    if not settings:
        return None
    names = [
        flag.removeprefix('pooling_mode_').removesuffix('_tokens').removesuffix('_token')
        for flag, is_on in settings.items()
        if flag.startswith('pooling_mode_') and is_on
    ]
    asked = ' and '.join(names) or settings.get('pooling_mode', 'none')
    if asked not in _POOLINGS:
        raise ValueError(
            f'{path} asks for the pooling {asked}; implemented are {", ".join(_POOLINGS)}, one at '
            'a time'
        )
    return _POOLINGS[asked]


def read_max_tokens(folder: pathlib.Path) -> int | None:
    """The length that the encoder was tuned for, special tokens included; None if unknown."""
    return read_json(folder / 'sentence_bert_config.json').get('max_seq_length') or read_json(
        folder / 'tokenizer_config.json'
    ).get('model_max_length')


def read_licence(folder: pathlib.Path) -> str:
    """The licence of the weights by the head of README.md, such as 'apache-2.0', or UNKNOWN."""
    path = folder / 'README.md'
    if not path.is_file():
        return UNKNOWN
    _, _, card = path.read_text(encoding='utf-8').partition('---\n')
    match = _LICENCE.search(card.partition('\n---')[0])
    return match[1] if match else UNKNOWN


def weights_file(folder: pathlib.Path) -> pathlib.Path:
    """The file of weights, also under the name that OpenCLIP gives it."""
    open_clip = folder / 'open_clip_model.safetensors'
    has_usual_name = (folder / WEIGHTS).is_file() or not open_clip.is_file()
    return folder / WEIGHTS if has_usual_name else open_clip


def require_file(folder: pathlib.Path, name: str, what_to_do: str) -> None:
    """Raises FileNotFoundError, with what to do, unless a folder has a file."""
    if not (folder / name).is_file():
        raise FileNotFoundError(f'{folder} has no {name}. {what_to_do}')


def require_tokenizer(folder: pathlib.Path) -> None:
    """Raises FileNotFoundError unless a folder has a tokenizer.json; says how to write it."""
    require_file(
        folder,
        TOKENIZER,
        'Where transformers is installed, write it with `python -c "from transformers import '
        "AutoTokenizer; AutoTokenizer.from_pretrained('FOLDER').save_pretrained('FOLDER')\"`.",
    )
