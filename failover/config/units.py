"""The words of failover.yaml: durations, sizes, names, addresses, networks.

Every parser takes what YAML gave and returns the value, or raises ``Wrong`` with what is wrong
and what to write instead.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime
from enum import StrEnum
from ipaddress import IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

from pydantic_core import PydanticCustomError

from failover.access import Access
from failover.config.problems import did_you_mean
from failover.policy import Address, Network, Url
from failover.transport import Wire

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3, "TiB": 1024**4}
_QUANTITY = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?) *([A-Za-z]+)")

_PLAIN_PATH = re.compile("(?:/[A-Za-z0-9_-][A-Za-z0-9._-]*)+")
_PREFIX = re.compile("[0-9]{1,3}")
# IPv6 that ends at an IPv4 address somewhere: mapped, NAT64 (RFC 6052, 8215), Teredo, 6to4.
TRANSLATED = tuple(
    IPv6Network(each)
    for each in ("::ffff:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "2001::/32", "2002::/16")
)
WIDEST_PREFIX = {4: 8, 6: 16}  # a network wider than this is nobody's own

Choice = TypeVar("Choice", bound=StrEnum)


class Wrong(ValueError):
    """A value that cannot be used; the hint says what to write."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def checked(parse: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """``parse`` as pydantic wants it: ``Wrong`` becomes an error with message and hint."""

    def validate(value: Any) -> Any:
        try:
            return parse(value)
        except Wrong as wrong:
            context = {"message": wrong.message, "hint": wrong.hint}
            raise PydanticCustomError("wrong", "{message}", context) from None

    return validate


def said(value: Any) -> str:
    """A value as a message repeats it: quoted, and not for ever."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:56]}…{text[-1]}"


def duration_s(value: Any) -> float:
    """``6s``, ``500ms``, ``2h`` in seconds."""
    hint = "a number and a unit: 500ms, 6s, 10min, 2h, 1d"
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise _without_unit(value, "s", hint)
    match = _QUANTITY.fullmatch(_text(value, hint).strip())
    if match is None or match[2] not in _SECONDS:
        raise Wrong(f"{said(value)} is not a duration", hint)
    return float(match[1]) * _SECONDS[match[2]]


def _without_unit(value: float, unit: str, hint: str) -> Wrong:
    usual = 0 <= value < 10**9
    number = f"{value:g}" if usual else said(value)
    return Wrong(f"{number} has no unit", f"did you mean {number}{unit}?" if usual else hint)


def size_bytes(value: Any) -> int:
    """``16MiB``, ``64GiB`` in bytes."""
    hint = "a number and a unit: 512KiB, 16MiB, 64GiB"
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise _without_unit(value, "MiB", hint)
    match = _QUANTITY.fullmatch(_text(value, hint).strip())
    if match is None:
        raise Wrong(f"{said(value)} is not a size", hint)
    if match[2] not in _BYTES:
        near = {unit.lower().replace("i", ""): unit for unit in _BYTES}
        meant = near.get(match[2].lower().replace("i", ""))
        raise Wrong(
            f"{said(value)} has no known unit",
            f"did you mean {match[1]}{meant}?" if meant else hint,
        )
    return int(float(match[1]) * _BYTES[match[2]])


def word(pattern: str, what: str, example: str) -> Callable[[Any], str]:
    """A parser of names that match ``pattern``."""
    compiled = re.compile(pattern)

    def parse(value: Any) -> str:
        text = _text(value, f"for example {example}")
        if not compiled.fullmatch(text):
            raise Wrong(
                f"{said(text)} cannot be the name of a {what}", f"{_RULES[pattern]}: {example}"
            )
        return text

    return parse


# Sites and clusters name Patroni scopes ("<cluster>-<site>"), slots, databases and roles.
PLAIN = r"[a-z][a-z0-9_]{0,30}"
HOST = r"[a-z0-9](?:[a-z0-9.-]{0,61}[a-z0-9])?"
SCOPE = r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}"  # of Patroni: one name in a path of ZooKeeper
# As PostgreSQL has them in its catalogues, without quotes; a dot inside a name is not understood.
COLUMN = r"[^.\s\x00]{1,63}"
TABLE = rf"{COLUMN}\.{COLUMN}\.{COLUMN}"
SETTING = r"[a-z_]+(?:\.[a-z_]+)?"
# Of a resolver: labels of letters, digits and hyphens, at least one dot, no address in disguise.
NAME = (
    r"(?=.{1,253}$)(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z][A-Za-z0-9-]{0,61}"
)
_RULES = {
    SCOPE: "letters, digits, -, _ and ., at most 63",
    SETTING: "as PostgreSQL calls it, small letters",
    COLUMN: "as in the catalogue, without quotes",
    TABLE: "database, schema and table, without quotes",
    PLAIN: "a small letter, then small letters, digits or _, at most 31",
    HOST: "small letters, digits, - and ., at most 63",
}


def address(value: Any) -> Address:
    """One host's IP address: never a name, which a resolver could move abroad."""
    hint = "an IP address, for example 10.77.1.11"
    try:
        parsed = ip_address(_text(value, hint))
    except ValueError as error:
        if isinstance(error, Wrong):
            raise
        raise Wrong(f"{said(value)} is not an IP address", hint) from None
    if isinstance(parsed, IPv6Address) and (
        parsed.scope_id or any(parsed in each for each in TRANSLATED)
    ):
        raise Wrong(f"{said(value)} is not a plain address", hint)
    if parsed.is_unspecified or parsed.is_loopback or parsed.is_multicast or parsed.is_link_local:
        raise Wrong(f"{parsed} cannot be reached from another site", hint)
    return parsed


def address_or_name(value: Any) -> Address | str:
    """One host: an IP address, or a full name that a resolver knows."""
    hint = "an IP address, or a full name, for example backup.example.id"
    text = _text(value, hint)
    if re.fullmatch(NAME, text):
        return text.lower()
    try:
        return address(text)
    except Wrong as wrong:
        raise Wrong(wrong.message.replace("an IP address", "an address or a name"), hint) from None


PORTS = {"http": 80, "https": 443}
SECRET_WORD = re.compile(r"passw|passphrase|secret|token|credential|private_?key|api_?key", re.I)


def url(value: Any) -> Url:
    """Where a webhook is: http or https, an address or a full name, nothing secret."""
    hint = "for example https://hooks.example.id/failover"
    text = _text(value, hint)
    try:
        parts = urlsplit(text)
        port = PORTS.get(parts.scheme, 0) if parts.port is None else parts.port
        if parts.port == 0:
            raise ValueError("nothing listens on port 0")
    except ValueError:
        raise Wrong(f"{said(text)} is not a URL", hint) from None
    query = parse_qsl(parts.query, keep_blank_values=True)
    if parts.username is not None or any(SECRET_WORD.search(key) for key, _ in query):
        raise Wrong("a URL must not hold a secret", "into a file, and name that: bearer_file")
    if parts.scheme not in PORTS or parts.hostname is None or not text.isprintable():
        raise Wrong(f"{said(text)} is not a URL of http or https", hint)
    if parts.fragment or " " in text:
        raise Wrong(f"{said(text)} has a fragment or a space", hint)
    return Url(text, address_or_name(parts.hostname), port)


def absolute_path(value: Any) -> str:
    """The path of one file, the same on every host that uses it."""
    hint = "for example /etc/failover/secrets/hooks.bearer"
    text = _text(value, hint)
    if not text.startswith("/") or text.endswith("/") or not text.isprintable():
        raise Wrong(f"{said(text)} is not the absolute path of a file", hint)
    return text


def day(value: Any) -> date:
    """``2027-06-30``, as YAML reads it or quoted."""
    hint = "a day, for example 2027-06-30"
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    try:
        return date.fromisoformat(_text(value, hint))
    except ValueError as error:
        if isinstance(error, Wrong):
            raise
        raise Wrong(f"{said(value)} is not a day", hint) from None


def words(value: Any) -> str:
    """One line for a human, and not an empty one."""
    text = _text(value, "in words")
    if not text.strip() or not text.isprintable():
        raise Wrong(f"{said(text)} says nothing", "in words, on one line")
    return text.strip()


def network(value: Any) -> Network:
    """One declared network, not so wide that it is everybody's."""
    hint = "a network, for example 10.77.1.0/24"
    text = _text(value, hint)
    if "/" not in text:
        raise Wrong(f"{said(text)} has no prefix length", hint)
    try:
        parsed = ip_network(text, strict=False)
    except ValueError:
        raise Wrong(f"{said(text)} is not a network", hint) from None
    if not _PREFIX.fullmatch(text.split("/")[1]):
        raise Wrong(f"{said(text)} has no prefix length", f"did you mean {parsed}?")
    if parsed.prefixlen < WIDEST_PREFIX[parsed.version]:
        raise Wrong(
            f"{text} is open to the world",
            f"declare the site's own networks, /{WIDEST_PREFIX[parsed.version]} at the widest",
        )
    if parsed.version == 6 and any(parsed.overlaps(each) for each in TRANSLATED):
        raise Wrong(f"{text} is a network of mapped IPv4 addresses", "declare it as IPv4")
    if str(parsed.network_address) != text.split("/")[0]:
        raise Wrong(f"{text} has bits outside its prefix", f"did you mean {parsed}?")
    return parsed


def plain_directory(value: Any) -> str:
    """An absolute path that every file format that it is written into takes as it is."""
    text = absolute_path(value)
    if _PLAIN_PATH.fullmatch(text) is None:
        raise Wrong(f"{said(text)} has characters that not every file takes", "A-Z a-z 0-9 . _ - /")
    return text


def wire(value: Any) -> Wire:
    """``off``, ``accept``, ``use``, ``require``; true and false are the two ends."""
    if isinstance(value, bool):  # which is also what YAML makes of a bare `off`
        return Wire.REQUIRE if value else Wire.OFF
    return choice(Wire)(value)


def access(value: Any) -> Access:
    """``off``, ``use``, ``require``; true and false are the two ends."""
    if isinstance(value, bool):  # which is also what YAML makes of a bare `off`
        return Access.REQUIRE if value else Access.OFF
    return choice(Access)(value)


def choice(options: type[Choice]) -> Callable[[Any], Choice]:
    """A parser of the members of an enumeration."""

    def parse(value: Any) -> Choice:
        known = [option.value for option in options]
        if value not in known:
            raise Wrong(f"{said(value)} is not known", did_you_mean(str(value), known))
        return options(value)

    return parse


def _text(value: Any, hint: str) -> str:
    if not isinstance(value, str):
        raise Wrong(f"{said(value)} is not text", hint)
    return value
