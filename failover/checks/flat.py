"""Foreign documents (YAML, JSON) as flat settings: dotted key → text. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

Flat = Mapping[str, str]
_TRUE, _FALSE = ("true", "on", "yes"), ("false", "off", "no")


def flat(document: object) -> Flat:
    """Nested mappings become dotted keys; a list is one value; null is the same as absent."""
    return dict(_items("", document))


def _items(prefix: str, value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and (value or not prefix):
        for key, inner in value.items():
            yield from _items(f"{prefix}.{key}" if prefix else str(key), inner)
    elif value is not None:
        yield prefix, _text(value)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list | dict):
        return json.dumps(value, sort_keys=True)
    text = str(value)
    word = text.lower()
    return "on" if word in _TRUE else "off" if word in _FALSE else text


def only(settings: Flat, prefixes: tuple[str, ...]) -> Flat:
    """Those whose key is one of these or lies below one."""
    return {key: value for key, value in settings.items() if is_below(key, prefixes)}


def without(settings: Flat, prefixes: tuple[str, ...]) -> Flat:
    return {key: value for key, value in settings.items() if not is_below(key, prefixes)}


def without_defaults(settings: Flat, defaults: Flat) -> Flat:
    """What is written out as it would be anyway is the same as absent."""
    return {key: value for key, value in settings.items() if defaults.get(key) != value}


def is_below(key: str, prefixes: tuple[str, ...]) -> bool:
    return any(key == prefix or key.startswith(f"{prefix}.") for prefix in prefixes)


def differences(found: Flat, wanted: Flat) -> tuple[str, ...]:
    """What is missing or has another value, in words; what stands there besides is ``extra``."""
    return tuple(
        f"{key} is {found[key]}, not {value}" if key in found else f"{key} is not set ({value})"
        for key, value in sorted(wanted.items())
        if found.get(key) != value
    )


def extra(found: Flat, wanted: Flat) -> tuple[str, ...]:
    return tuple(f"{key} is {found[key]}" for key in sorted(found) if key not in wanted)
