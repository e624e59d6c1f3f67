"""failover.yaml to a Policy; every mistake at once, each with its path and a hint.

Invariant: a Policy comes from here only when the whole file is right; nothing is guessed and no
secret is read from, or printed of, the file. Must not look at any host: what is really running is
compared elsewhere.
"""

from __future__ import annotations

from pathlib import Path

from failover.config.build import build
from failover.config.crosschecks import cross_check
from failover.config.document import read_document
from failover.config.names import Resolver, name_problems
from failover.config.problems import ConfigError, Problem
from failover.config.validation import validate
from failover.policy import Policy

__all__ = ["ConfigError", "Problem", "load", "parse"]


def load(path: Path | str, *, resolver: Resolver | None = None) -> Policy:
    """The policy in a file. ConfigError with every mistake when it is not usable.

    With a ``resolver`` (``names.resolve``) a name that stands for an address outside is one.
    """
    source = Path(path)
    try:
        text = source.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ConfigError(str(path), [Problem("", "not text in UTF-8")]) from None
    except OSError as error:
        what = (error.strerror or type(error).__name__).lower()
        hint = "name it with --config PATH; an example is deploy/failover.yaml"
        raise ConfigError(str(path), [Problem("", f"cannot be read: {what}", hint)]) from None
    policy = parse(text, source=str(path))
    if resolver is not None and (outside := name_problems(policy, resolver)):
        raise ConfigError(str(path), outside)
    return policy


def parse(text: str, *, source: str = "failover.yaml") -> Policy:
    """The policy in a text. ConfigError with every mistake when it is not usable."""
    document = read_document(text)
    if document.value is None:
        raise ConfigError(source, document.problems)
    file = validate(document)
    cross_check(document)
    if file is None or document.problems:
        raise ConfigError(source, sorted(document.problems, key=lambda p: (p.line or 0, p.path)))
    return build(file)
