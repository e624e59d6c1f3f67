"""The same frozen values, made faster; for processes that do nothing but run schedules.

A frozen dataclass sets its fields through ``object.__setattr__`` one by one, one of pydantic
validates what typed code passes to it, and ``dataclasses.replace`` asks for every field by name: a
fifth of a campaign's time. Nothing but the speed changes. That nobody writes to a frozen value is
then not noticed, so the tests run without this; that both ways tell the same history is tested
(test_campaign.py).
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from dataclasses import MISSING, Field
from functools import cached_property
from typing import Any

from pydantic.fields import FieldInfo

PACKAGE = "failover"


def make_values_quickly() -> None:
    """From now on, in this process."""
    for module in [m for name, m in sys.modules.items() if name.partition(".")[0] == PACKAGE]:
        for name, value in list(vars(module).items()):
            if value is dataclasses.replace:
                setattr(module, name, _replace)
            elif isinstance(value, type) and value.__module__ == module.__name__:
                _make_quick(value)
                _without_locks(value)


def _make_quick(kind: type[Any]) -> None:
    parameters = vars(kind).get("__dataclass_params__")
    if parameters is None or not parameters.frozen or not parameters.init:
        return
    if any(isinstance(field.default, FieldInfo) for field in dataclasses.fields(kind)):
        return  # pydantic has more to say of its defaults
    kind.__init__ = _init_of(kind)
    for name in ("__setattr__", "__delattr__"):
        if name in vars(kind):
            delattr(kind, name)


class _Cached(cached_property[Any]):
    """Up to Python 3.11 a lock is taken for every value that is worked out."""

    def __get__(self, instance: Any, owner: type[Any] | None = None) -> Any:
        if instance is None:
            return self
        value = instance.__dict__[self.attrname] = self.func(instance)
        return value


def _without_locks(kind: type[Any]) -> None:
    for name, value in list(vars(kind).items()):
        if type(value) is cached_property:
            quick = _Cached(value.func)
            quick.__set_name__(kind, name)
            setattr(kind, name, quick)


def _init_of(kind: type[Any]) -> Callable[..., None]:
    """As dataclasses writes it for a class that is not frozen."""
    known: dict[str, Any] = {"MISSING": MISSING}
    arguments, lines = [], []
    for field in dataclasses.fields(kind):
        value = field.name
        if not field.init:
            raise TypeError(f"{kind.__name__}.{field.name}: a field without init is not foreseen")
        arguments.append(_argument(field, known))
        if field.default_factory is not MISSING:
            value = f"factory_{value}() if {value} is MISSING else {value}"
        lines.append(f"    self.{field.name} = {value}")
    if hasattr(kind, "__post_init__"):
        lines.append("    self.__post_init__()")
    text = f"def __init__(self, {', '.join(arguments)}):\n" + "\n".join(lines or ["    pass"])
    exec(text, known)
    made: Callable[..., None] = known["__init__"]
    return made


def _argument(field: Field[Any], known: dict[str, Any]) -> str:
    if field.default_factory is not MISSING:
        known[f"factory_{field.name}"] = field.default_factory
        return f"{field.name}=MISSING"
    if field.default is not MISSING:
        known[f"default_{field.name}"] = field.default
        return f"{field.name}=default_{field.name}"
    return field.name


_names: dict[type[Any], tuple[str, ...]] = {}


def _replace(value: Any, /, **changes: Any) -> Any:
    """``dataclasses.replace``, with the names of the fields known."""
    kind = type(value)
    names = _names.get(kind)
    if names is None:
        names = _names[kind] = tuple(field.name for field in dataclasses.fields(kind))
    for name in names:
        if name not in changes:
            changes[name] = getattr(value, name)
    return kind(**changes)
