"""The mistakes in the shape of failover.yaml, each as a problem with a hint.

Invariant: what looks like a secret is refused and never repeated in a message.
"""

from __future__ import annotations

import re
from types import UnionType
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from failover.config import units
from failover.config.document import Document
from failover.config.problems import Location, did_you_mean
from failover.config.schema import SECRETS_DIRECTORY, FileModel

_SECRET_KEY = units.SECRET_WORD
_SECRET_VALUE = re.compile(r"passw\w*\s*[=:]|://[^/\s:@]*:[^/\s@]+@|-----BEGIN", re.I)


def validate(document: Document) -> FileModel | None:
    """The file's values in their types; None, with every mistake noted, where they have none."""
    _refuse_secrets(document, document.value, ())
    try:
        return FileModel.model_validate(document.value)
    except ValidationError as error:
        for detail in error.errors(include_url=False, include_input=False):
            _note(document, detail)
        return None


def _refuse_secrets(document: Document, value: Any, location: Location) -> None:
    """Secrets are refused by the look of their key or value, and never repeated in a message."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if _SECRET_KEY.search(key):
                _refuse(document, (*location, key), "secrets do not belong in this file")
            else:
                _refuse_secrets(document, inner, (*location, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            _refuse_secrets(document, inner, (*location, index))
    elif isinstance(value, str) and _SECRET_VALUE.search(value):
        _refuse(document, location, "this looks like a secret")


def _refuse(document: Document, location: Location, message: str) -> None:
    hint = f"put it into {SECRETS_DIRECTORY}/, mode 0600; this file is the same at every site"
    document.problem(location, message, hint)
    document.secrets.add(location)


_KINDS = {
    "string_type": ("must be text", ""),
    "bool_type": ("must be true or false", ""),
    "int_type": ("must be a whole number", ""),
    "dict_type": ("must be a mapping", "lines of `key: value`"),
    "model_type": ("must be a mapping", "lines of `key: value`"),
    "list_type": ("must be a list", "[one, two], or lines of `- one`"),
    "too_short": ("must not be empty", ""),
    "string_pattern_mismatch": ("is not a path in ZooKeeper", "for example /service"),
}


def _note(document: Document, detail: Any) -> None:
    """One error of pydantic as a problem."""
    kind, context = detail["type"], detail.get("ctx", {})
    location: Location = tuple(detail["loc"])
    if location and location[-1] == "[key]":
        location = location[:-1]
    if location and location[-1] == "network" and location not in document.lines:
        location = location[:-1]  # said in short
    if kind == "extra_forbidden":
        hint = did_you_mean(str(location[-1]), _fields(location[:-1]))
        document.problem(location, "unknown key", hint)
    elif kind == "missing":
        document.problem(location, "is missing", _example(location))
    elif kind == "wrong":
        document.problem(location, context["message"], context["hint"])
    elif kind in ("greater_than_equal", "less_than_equal"):
        limit = "at least" if kind == "greater_than_equal" else "at most"
        document.problem(location, f"must be {limit} {context.get('ge', context.get('le'))}")
    else:
        message, hint = _KINDS.get(kind, (detail["msg"], ""))
        document.problem(location, message, hint)


def _fields(location: Location) -> dict[str, FieldInfo]:
    """The fields of the model at a location; empty where there is no model."""
    current: Any = FileModel
    for part in location:
        current = _unwrapped(current)
        if isinstance(current, type) and issubclass(current, BaseModel):
            info = current.model_fields.get(str(part))
            current = info.annotation if info else None
        elif get_origin(current) in (dict, list):
            current = get_args(current)[-1]
        else:
            return {}
    current = _unwrapped(current)
    if isinstance(current, type) and issubclass(current, BaseModel):
        return current.model_fields
    return {}


def _unwrapped(annotation: Any) -> Any:
    """Without what only validates, and without ``| None``."""
    if get_origin(annotation) is Annotated:
        return get_args(annotation)[0]
    given = [each for each in get_args(annotation) if each is not type(None)]
    return given[0] if get_origin(annotation) is UnionType and len(given) == 1 else annotation


def _example(location: Location) -> str:
    info = _fields(location[:-1]).get(str(location[-1]))
    if info is None or not info.examples:
        return ""
    return "for example " + " or ".join(f"`{location[-1]}: {each}`" for each in info.examples)
