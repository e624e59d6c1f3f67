"""YAML text to plain values, with the line of everything.

A key given twice is a mistake here: YAML's own loader would silently take the last one. Nothing
but YAML's plain scalars, lists and mappings is constructed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import yaml

from failover.config.problems import Location, Problem, path_text

_NOT_YAML = "correct the YAML first: nothing else can be checked before it parses"


VALUES_MAX = 20_000  # a few lines of aliases of aliases stand for more than fits any memory


class _TooMuch(Exception):
    """More than VALUES_MAX."""


@dataclass(slots=True)
class Document:
    """The values of the file, the line (from 1) of each location, and the mistakes so far.

    At a location in ``secrets`` no further mistake is noted: a message might repeat the value.
    """

    value: Any = None
    lines: dict[Location, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    secrets: set[Location] = field(default_factory=set)
    values: int = 0  # so far

    def problem(self, location: Location, message: str, hint: str = "") -> None:
        """Note a mistake at a location; its line is that of the nearest thing that exists."""
        if location not in self.secrets:
            self.problems.append(Problem(path_text(location), message, hint, self.line(location)))

    def line(self, location: Location) -> int | None:
        """The line of a location, or of the nearest thing around it."""
        while location and location not in self.lines:
            location = location[:-1]
        return self.lines.get(location)


def read_document(text: str) -> Document:
    """Parse. What cannot be parsed at all leaves ``value`` None and one problem with its line."""
    document = Document()
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is not None:
            document.value = _value(loader, node, (), document, ())
    except yaml.YAMLError as error:
        return Document(problems=[_syntax_problem(error)])
    except RecursionError:
        return Document(problems=[Problem("", "nested too deeply", _NOT_YAML)])
    except _TooMuch:
        said = f"more than {VALUES_MAX} values, aliases written out"
        return Document(problems=[Problem("", said, "leave out what repeats itself")])
    if document.value is None and not document.problems:
        document.problems = [Problem("", "the file is empty", "start from deploy/failover.yaml")]
    return document


def _syntax_problem(error: yaml.YAMLError) -> Problem:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    said = getattr(error, "problem", None) or str(error).splitlines()[0]
    return Problem("", f"not YAML: {said}", _NOT_YAML, mark.line + 1 if mark else None)


def _value(
    loader: yaml.SafeLoader,
    node: yaml.Node,
    location: Location,
    document: Document,
    above: tuple[yaml.Node, ...],
) -> Any:
    document.lines.setdefault(location, node.start_mark.line + 1)
    document.values += 1
    if document.values > VALUES_MAX:
        raise _TooMuch
    if node in above:
        document.problem(location, "an anchor that contains itself", "write it out")
        return None
    inside = (*above, node)
    if isinstance(node, yaml.SequenceNode):
        return [
            _value(loader, item, (*location, index), document, inside)
            for index, item in enumerate(node.value)
        ]
    if isinstance(node, yaml.MappingNode):
        return _mapping(loader, node, location, document, inside)
    try:
        return loader.construct_object(node)
    except ValueError as error:  # "2021-13-45" looks like a date and is none
        document.problem(location, f"cannot be read: {error}", "quote it if it is meant as text")
    except (LookupError, AttributeError, TypeError, OverflowError):  # `!!int ""`: PyYAML's own
        document.problem(location, f"is no {node.tag.rpartition(':')[2]}", "leave its tag out")
    return None


def _mapping(
    loader: yaml.SafeLoader,
    node: yaml.MappingNode,
    location: Location,
    document: Document,
    above: tuple[yaml.Node, ...],
) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
        if key is None or key_node.tag not in ("tag:yaml.org,2002:str",):
            where = path_text(location)
            said = f"the key {key!r} is not text" if key is not None else "a key is not text"
            document.problems.append(Problem(where, said, f'quote it: "{key}"', line))
            if key is None:
                continue
        here = (*location, key)
        if key in values:
            first = document.lines[here]
            document.problems.append(
                Problem(path_text(here), f"given twice, first in line {first}", "keep one", line)
            )
            continue
        document.lines[here] = line
        values[key] = _value(loader, value_node, here, document, above)
    return values
