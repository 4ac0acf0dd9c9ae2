"""Dataclasses built from the sections of a config, with the type and range of every value checked.

A field's annotation says what it takes: `bool`, `int`, `float`, `str`, `dict`, another dataclass, a
tuple, or `Annotated[int, between(1, 10)]` with any number of rules.
"""

import dataclasses
import difflib
import numbers
import reprlib
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, NamedTuple


class Rule(NamedTuple):
    """Which values a setting may have, the same in words, and why where that is not obvious."""

    allows: Callable[[Any], bool]
    words: str
    why: str = ''


def between(low: float, high: float, why: str = '') -> Rule:
    """Numbers from `low` to `high`, both included."""
    return Rule(lambda value: low <= value <= high, f'between {low:g} and {high:g}', why)


def at_least(low: int) -> Rule:
    """Numbers that are not below `low`."""
    return Rule(lambda value: value >= low, f'at least {low}')


def one_of(*choices: str) -> Rule:
    """A few words."""
    return Rule(lambda value: value in choices, f'one of {", ".join(choices)}')


def build_section(section: type, values: Any, path: str) -> Any:
    """A section from its values by key.

    Args:
      section: a dataclass; its `__post_init__` may raise ValueError, which starts with the key.
      values: of all its fields.
      path: of the section, for messages.

    Raises:
      ValueError: a key is unknown or missing, or a value cannot be used; names the key.
    """
    if not isinstance(values, Mapping):
        raise ValueError(f'{path} must be a section with settings of its own, not {values!r}')
    types = typing.get_type_hints(section, include_extras=True)
    for key in values:
        if key not in types:
            raise ValueError(unknown_key(path, key, types))
    for key in types:
        if key not in values:
            raise ValueError(
                f"{path}.{key} is missing: start from config_files.load('celeba'), which has every "
                'setting'
            )
    fields = {key: value_of(types[key], values[key], f'{path}.{key}') for key in types}
    try:
        return section(**fields)
    except ValueError as error:
        raise ValueError(f'{path}.{error}') from error


def value_of(kind: Any, value: Any, path: str) -> Any:
    """A value of an annotated type; ValueError, with the path, where it is of another."""
    if dataclasses.is_dataclass(kind):
        return build_section(kind, value, path)
    if typing.get_origin(kind) is tuple:
        return _tuple(typing.get_args(kind), value, path)
    if typing.get_origin(kind) is Annotated:
        kind, *rules = typing.get_args(kind)
        value = value_of(kind, value, path)
        for rule in rules:
            _check(rule, value, path)
        return value
    name, fits = _KINDS[typing.get_origin(kind) or kind]
    if not fits(value):
        raise ValueError(f'{path} must be {name}, not {reprlib.repr(value)}')
    return value


def _tuple(kinds: tuple[Any, ...], value: Any, path: str) -> tuple[Any, ...]:
    count = len(value) if isinstance(value, tuple | list) else 0
    wanted = 'one or more values' if ... in kinds else f'{len(kinds)} values'
    if ... in kinds:
        kinds = kinds[:1] * max(1, count)
    if count != len(kinds):
        raise ValueError(
            f'{path} must be {wanted}, not {reprlib.repr(value)}: give all of them at once, as '
            f'--{path}="(A, B, C)"'
        )
    return tuple(value_of(kind, item, path) for kind, item in zip(kinds, value, strict=True))


_KINDS = {
    bool: ('True or False', lambda value: isinstance(value, bool)),
    int: ('a whole number', lambda value: _is_number(value, numbers.Integral)),
    float: ('a number', lambda value: _is_number(value, numbers.Real)),
    str: ('a text', lambda value: isinstance(value, str)),
    dict: ('a section of options', lambda value: isinstance(value, Mapping)),
}


def _is_number(value: Any, kind: type) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def _check(rule: Rule, value: Any, path: str) -> None:
    if not rule.allows(value):
        why = f': {rule.why}' if rule.why else ''
        raise ValueError(f'{path} must be {rule.words}, not {reprlib.repr(value)}{why}')


# Keys of version 0.1, with their names now.
RENAMED_KEYS = {
    'config.also': 'config.second_data',
    'config.captions.whole': 'config.captions.full',
    'config.captions.said': 'config.captions.coverage',
    'config.contrast.own_weight': 'config.contrast.same_photo_weight',
    'config.encoders.words': "config.encoders.text_layers ('several' or 'last')",
    'config.encoders.appearance': 'config.encoders.appearance_dim',
    'config.train.resident': 'config.train.data_on_device',
    'config.evaluate.root': 'config.evaluate.data.root',
    'config.evaluate.layout': 'config.evaluate.data.layout',
    'config.evaluate.shares': 'config.evaluate.data.shares',
    'config.evaluate.split_seed': 'config.evaluate.data.split_seed',
    'config.evaluate.literal_steps': 'config.evaluate.literal_num_steps',
    'config.evaluate.mistakes': 'config.evaluate.num_failure_cases',
    'config.evaluate.panels': 'config.evaluate.num_examples',
    'config.evaluate.path_steps': 'config.evaluate.path_num_steps',
    'config.evaluate.photos_an_attribute': 'config.evaluate.photos_per_attribute',
    'config.evaluate.towers': 'config.evaluate.two_tower',
    'config.evaluate.two_tower.own_weight': 'config.evaluate.two_tower.same_photo_weight',
    'config.sweep.texts': 'config.sweep.num_texts',
}


def unknown_key(path: str, key: str, known: Iterable[str]) -> str:
    """A sentence about a key that a section does not have, with the nearest that it has."""
    if new := RENAMED_KEYS.get(f'{path}.{key}'):
        return f'{path}.{key} is now {new}'
    near = difflib.get_close_matches(key, known, n=1)
    advice = f'did you mean {near[0]}?' if near else f'choose from {", ".join(known)}'
    return f'{path}.{key} is no setting: {advice}'
