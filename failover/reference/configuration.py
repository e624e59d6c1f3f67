"""docs/configuration.md, from the models of failover.yaml.

``tests/unit/test_reference.py`` demands that it is current; `make reference` writes it anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from types import UnionType
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from failover.config.schema import FileModel
from failover.config.values import Written
from failover.reference.markdown import table

_TOP = """\
# Configuration

Made from `failover/config/schema.py` by `make reference`; do not edit.

`failover.yaml` has the intentions of the operator and is the same file at every site; everything
else is rendered from it (`failover config render`). A key that is not known is a mistake. `failover
config check` lists every mistake at once. Secrets are refused: they are files in
`/etc/failover/secrets/`. An example: `deploy/failover.yaml`, the lab's.

A key without a default has to be given. `NAME` in a path is a name of your choice, `[]` an item of
a list.
"""
_PLAIN = {str: "text", int: "whole number", bool: "`true` or `false`"}
_UNITS = (("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024), ("B", 1))
_TIMES = (("h", 3600.0), ("min", 60.0), ("s", 1.0), ("ms", 0.001))


def page() -> str:
    """The whole page."""
    return "\n".join([_TOP, *_chapters("", FileModel)])


def models(path: str = "", model: type[BaseModel] = FileModel) -> Iterator[tuple[str, Any]]:
    """Every model with where it stands, the file's first."""
    yield path, model
    for name, info in model.model_fields.items():
        for suffix, inner in _inner(info.annotation):
            yield from models(f"{path}{'.' * bool(path)}{name}{suffix}", inner)


def _chapters(path: str, model: type[BaseModel]) -> Iterator[str]:
    for where, each in models(path, model):
        rows = (
            (
                f"`{name}`",
                _type(info.annotation, info.metadata),
                _default(info),
                str(info.description),
            )
            for name, info in each.model_fields.items()
        )
        title = f"`{where}`" if where else "The file"
        yield f"## {title}\n\n{table(('key', 'value', 'default', 'meaning'), rows)}"


def _inner(annotation: Any) -> Iterator[tuple[str, type[BaseModel]]]:
    """The models inside of a value, each with what stands between: `[]` or a name."""
    plain, _beside = _opened(annotation)
    if isinstance(plain, type) and issubclass(plain, BaseModel):
        yield "", plain
    elif get_origin(plain) is list:
        for suffix, model in _inner(get_args(plain)[0]):
            yield f"[]{suffix}", model
    elif get_origin(plain) is dict:
        key, value = get_args(plain)
        for suffix, model in _inner(value):
            yield f".{_type(key, ())}{suffix}", model


def _type(annotation: Any, metadata: Any) -> str:
    """How a value is written, in words."""
    plain, own = _opened(annotation)
    written = [each.how for each in (*metadata, *own) if isinstance(each, Written)]
    if written:
        return written[0]
    if isinstance(plain, type) and issubclass(plain, StrEnum):
        return ", ".join(f"`{each.value}`" for each in plain)
    if isinstance(plain, type) and issubclass(plain, BaseModel):
        return "mapping, below"
    if get_origin(plain) is list:
        inner = _type(get_args(plain)[0], ())
        return "list, below" if inner == "mapping, below" else f"list of {inner}"
    if get_origin(plain) is dict:
        key, value = (_type(each, ()) for each in get_args(plain))
        return f"by `{key}`: {value}"
    return _PLAIN[plain]


def _opened(annotation: Any) -> tuple[Any, tuple[Any, ...]]:
    """Without ``| None`` and without what stands beside the type, and that."""
    if get_origin(annotation) is UnionType or str(get_origin(annotation)) == "typing.Union":
        given = [each for each in get_args(annotation) if each is not type(None)]
        return _opened(given[0]) if len(given) == 1 else (annotation, ())
    if get_origin(annotation) is Annotated:
        plain, *metadata = get_args(annotation)
        return plain, tuple(metadata)
    return annotation, ()


def _default(info: FieldInfo) -> str:
    value = info.default
    if info.is_required():
        return "**to be given**"
    if value is None or isinstance(value, BaseModel) or value in ([], {}):
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    how = _type(info.annotation, info.metadata)
    if how.startswith("size"):
        unit, factor = next((u, f) for u, f in _UNITS if value % f == 0)
        return f"`{value // factor}{unit}`"
    if how.startswith("duration"):
        unit, seconds = next((u, s) for u, s in _TIMES if value % s == 0)
        return f"`{value / seconds:g}{unit}`"
    if isinstance(value, list):
        return "all of them"
    return f"`{value}`"
