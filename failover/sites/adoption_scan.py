"""Reads a Patroni pair that this project did not make: REST, ZooKeeper's words, PostgreSQL.

Invariant: nothing is written. REST: GET alone. PostgreSQL: one read-only session per member, as
whoever the operator names (``pg_monitor`` is enough). ZooKeeper's servers are asked without a
session. Whatever is silent is a value with its reason.
"""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import psycopg

from failover.adoption.facts import Member, Scope, Server, Walsender, dcs_of, kept
from failover.adoption.needs import ASKED
from failover.checks.flat import flat
from failover.foreign import json_object
from failover.health.observation import NoAnswer, ZooKeeperSeen
from failover.model import HostName, SiteName
from failover.policy import ZooKeeperServer
from failover.sites.postgres import no_answer_of
from failover.sites.trouble import no_answer
from failover.sites.zookeeper_status import ask_settings, ask_zookeeper

LIMIT_S = 3.0
REST_PORT = 8008
_OPTIONS = f"-c default_transaction_read_only=on -c statement_timeout={LIMIT_S * 1000:.0f}"

QUERY = """
SELECT (SELECT coalesce(json_agg(ARRAY[name, setting, coalesce(unit, '')]), '[]')
        FROM pg_catalog.pg_settings WHERE name = ANY(%(names)s)) AS settings,
       pg_catalog.to_regprocedure('failover.walsenders()') IS NOT NULL AS narrow
"""


class Unreadable(Exception):
    """The one Patroni that was named for a scope gave no answer. The message has its address."""


class _Refused(ValueError):
    """Another status than 200: its body is a page for people, and no document."""


@dataclass(frozen=True, slots=True)
class Asking:
    """``cafile``: whose certificates of REST interfaces are believed; None: the system's.
    ``login``: libpq's words for who asks PostgreSQL; None: it is not asked. ``files``: members'
    own patroni.yml, as documents."""

    cafile: str | None
    login: str | None
    files: tuple[Mapping[str, Any], ...]


async def ask_scope(url: str, asking: Asking) -> Scope:
    """The scope of which one member's REST interface is at ``url`` (HOST, HOST:PORT or a URL)."""
    base = _base(url)
    context = ssl.create_default_context(cafile=asking.cafile)
    connector = aiohttp.TCPConnector(ssl=context)
    limit = aiohttp.ClientTimeout(total=LIMIT_S)
    async with aiohttp.ClientSession(timeout=limit, connector=connector) as session:
        try:
            cluster, config = await asyncio.gather(
                _json(session, f"{base}/cluster"), _config(session, base)
            )
            names = [each for each in cluster.get("members", ()) if isinstance(each, dict)]
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise Unreadable(f"{base}: {no_answer(error, LIMIT_S).detail}") from None
        members = await asyncio.gather(*(_member(session, each, asking) for each in names))
    return Scope(
        name=str(cluster.get("scope", "")),
        asked=base,
        paused=bool(cluster.get("pause", False)),
        config=json.dumps(config),
        members=tuple(members),
    )


def _base(url: str) -> str:
    if "://" not in url:
        url = f"http://{url}"
    parts = urlsplit(url)
    if not parts.hostname:
        raise Unreadable(f"{url}: no address")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}:{parts.port or REST_PORT}"


async def _json(session: aiohttp.ClientSession, url: str) -> dict[str, Any]:
    async with session.get(url) as response:
        if response.status != HTTPStatus.OK:
            raise _Refused(f"GET /{url.rpartition('/')[2]}: HTTP {response.status}")
        return json_object(await response.read())


async def _config(session: aiohttp.ClientSession, base: str) -> dict[str, Any]:
    """Patroni answers 502 until its own loop has read the configuration that it wrote."""
    try:
        return await _json(session, f"{base}/config")
    except _Refused as error:
        raise _Refused(f"{error} (a member that has just started has not read it yet)") from None


# --------------------------------------------------------------------------- one member


async def _member(session: aiohttp.ClientSession, listed: dict[str, Any], asking: Asking) -> Member:
    """``listed``: what the scope says of it."""
    api = str(listed.get("api_url", ""))
    parts = urlsplit(api)
    member = Member(
        name=str(listed.get("name", "")),
        address=await _address(str(listed.get("host", ""))),
        postgres_port=_port(listed.get("port"), 5432),
        patroni_port=parts.port or REST_PORT,
        role=str(listed.get("role", "")),
        state=str(listed.get("state", "")),
        timeline=_number(listed.get("timeline")),
    )
    member = _with_file(member, asking.files)
    try:
        said = await _json(session, api.removesuffix("/patroni") + "/patroni")
    except (aiohttp.ClientError, OSError, ValueError) as error:
        return replace(member, problem=no_answer(error, LIMIT_S).detail)
    told = told_by(member, said)
    return told if asking.login is None else await asyncio.to_thread(_asked, told, asking.login)


async def _address(host: str) -> str:
    """As a number: names are nothing that failover.yaml knows. Empty where it stands for none."""
    try:
        return str(ip_address(host))
    except ValueError:
        pass
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return ""
    return str(found[0][4][0])


def told_by(member: Member, said: dict[str, Any]) -> Member:
    """With what its own Patroni says (``GET /patroni``)."""
    patroni = said.get("patroni")
    patroni = patroni if isinstance(patroni, dict) else {}
    reasons = said.get("pending_restart_reason")
    pending = tuple(sorted(map(str, reasons))) if isinstance(reasons, dict) else ()
    if said.get("pending_restart") and not pending:
        pending = ("not said why",)
    senders = said.get("replication")
    return replace(
        member,
        state=member.state or str(said.get("state", "")),
        patroni_version=str(patroni.get("version", "")),
        server_version=_number(said.get("server_version")),
        timeline=_number(said.get("timeline")) or member.timeline,
        system_identifier=str(said.get("database_system_identifier", "")),
        started=str(said.get("postmaster_start_time") or ""),
        tags=tuple(sorted(flat(said.get("tags") or {}).items())),
        pending_restart=pending,
        walsenders=tuple(
            Walsender(*(str(each.get(key) or "") for key in _SENDER))
            for each in (senders if isinstance(senders, list) else ())
            if isinstance(each, dict)
        ),
    )


_SENDER = ("application_name", "client_addr", "state", "sync_state")


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _port(value: Any, usual: int) -> int:
    return int(value) if str(value).isdigit() else usual


def _with_file(member: Member, files: Iterable[Mapping[str, Any]]) -> Member:
    file = next((each for each in files if each.get("name") == member.name), None)
    if file is None:
        return member
    return replace(member, file=kept(file), dcs=dcs_of(file))


def _asked(member: Member, login: str) -> Member:
    """With what its PostgreSQL says: settings, and whether our functions are there."""
    try:
        with psycopg.connect(
            login,
            host=member.address,
            port=member.postgres_port,
            connect_timeout=int(LIMIT_S),
            application_name="failover adopt",
            options=_OPTIONS,
            autocommit=True,
        ) as connection:
            row = connection.execute(QUERY, {"names": list(ASKED)}).fetchone()
    except (psycopg.Error, OSError, ValueError) as error:
        return replace(member, settings_problem=no_answer_of(error, LIMIT_S).detail)
    assert row is not None
    settings = tuple((str(n), str(v), str(u)) for n, v, u in row[0])
    return replace(member, settings=settings, settings_problem="", narrow=bool(row[1]))


# --------------------------------------------------------------------------- ZooKeeper


async def ask_servers(servers: Iterable[tuple[str, int]]) -> tuple[Server, ...]:
    """Each server on its own, in the order given."""
    return tuple(await asyncio.gather(*(_server(*each) for each in servers)))


async def _server(host: str, port: int) -> Server:
    address = await _address(host)
    if not address:
        return Server(host, port, "", (), "no such name")
    server = ZooKeeperServer(HostName(address), SiteName(""), ip_address(address), 1, port)
    seen, settings = await asyncio.gather(
        ask_zookeeper(server, LIMIT_S), ask_settings(server, LIMIT_S)
    )
    mode = seen.mode.value if isinstance(seen, ZooKeeperSeen) else ""
    if isinstance(settings, NoAnswer):
        problem = seen.detail if isinstance(seen, NoAnswer) else settings.detail
        return Server(address, port, mode, (), problem)
    return Server(address, port, mode, tuple(sorted(settings.items())))
