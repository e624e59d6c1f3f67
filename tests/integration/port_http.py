"""What a client can do at a port that speaks HTTP: a guard's, a controller's, Patroni's,
HAProxy's own."""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import Iterable

from port_wire import talk

from failover.reference.ports import Can

METHODS = ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND")
PATRONI_READS = ("/", "/patroni", "/cluster", "/config", "/history", "/metrics", "/readiness")
# Nothing that would happen here, were it not refused, is more than a restart.
PATRONI_ORDERS = (
    *(("PATCH", "/config"), ("PUT", "/config"), ("POST", "/reload"), ("POST", "/restart")),
    *(("DELETE", "/restart"), ("POST", "/switchover"), ("DELETE", "/switchover")),
    *(("POST", "/failover"), ("POST", "/reinitialize"), ("POST", "/sigterm")),
    *(("POST", "/failsafe"), ("POST", "/citus")),
)
# Patroni forgets to ask for the password here; it does nothing where there is no Citus.
FORGOTTEN = ("POST", "/mpp")
FOUND = (200, 503)  # 503: this host is not what was asked for
REFUSED = (400, 404, 405, 501)


class Answered(Exception):
    """What came was no answer of HTTP; ``can``: what that says."""

    def __init__(self, can: Can) -> None:
        super().__init__(str(can))
        self.can = can


class HttpDoor:
    """One port, asked by one kind of client; ``secrets``: what no answer may hold."""

    def __init__(
        self,
        address: str,
        port: int,
        context: ssl.SSLContext | None,
        secrets: Iterable[bytes] = (),
    ) -> None:
        self._address = address
        self._port = port
        self._context = context
        self._secrets = tuple(secrets)

    def ask(self, method: str, path: str, body: str = "", password: str = "") -> tuple[int, str]:
        """Status and what follows. Answered where that is none."""
        head = [f"{method} {path} HTTP/1.1", f"Host: {self._address}", "Connection: close"]
        if password:
            word = base64.b64encode(f"patroni:{password}".encode()).decode()
            head.append(f"Authorization: Basic {word}")
        if body or method in ("POST", "PUT", "PATCH"):
            head += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        words = "\r\n".join((*head, "", body)).encode()
        heard = talk(self._address, self._port, words, self._context)
        refusal = heard.plain_refusal if self._context is None else heard.refusal
        if refusal is not None:
            raise Answered(refusal)
        assert not any(each in heard.answer for each in self._secrets), "a secret is told"
        status, _, rest = heard.answer.partition(b"\r\n")
        assert status.startswith(b"HTTP/1."), heard
        return int(status.split()[1]), rest.partition(b"\r\n\r\n")[2].decode(errors="replace")


def reads(door: HttpDoor, paths: Iterable[str]) -> str:
    """At a door that changes nothing for anybody."""
    try:
        asked = {path: door.ask("GET", path)[0] for path in paths}
        other = {
            f"{method} {path}": door.ask(method, path)[0] for path in asked for method in METHODS
        }
        unknown = door.ask("GET", "/no-such-page")[0]
    except Answered as answered:
        return answered.can
    wrong = {what: code for what, code in asked.items() if code not in FOUND}
    wrong |= {what: code for what, code in other.items() if code not in REFUSED}
    if unknown not in (404, *FOUND):
        wrong["/no-such-page"] = unknown
    return f"answers {wrong}" if wrong else Can.READS


def patroni(door: HttpDoor, password: str = "") -> str:
    """Whether it takes orders; those that change nothing go first."""
    try:
        asked = {path: door.ask("GET", path)[0] for path in PATRONI_READS}
        ttl = json.loads(door.ask("GET", "/config")[1])["ttl"]
        same = json.dumps({"ttl": ttl})
        code, _ = door.ask("PATCH", "/config", same, password)
    except Answered as answered:
        return answered.can
    wrong = {path: code for path, code in asked.items() if code not in FOUND}
    if wrong:
        return f"answers {wrong}"
    if code == 200:
        return Can.ORDERS
    orders = {f"{m} {p}": door.ask(m, p, "{}", password)[0] for m, p in PATRONI_ORDERS}
    taken = {what: code for what, code in orders.items() if code != 401}
    if (code := door.ask(*FORGOTTEN, "{}")[0]) != 400:
        taken[" ".join(FORGOTTEN)] = code
    return f"answers {taken}" if taken else Can.READS_NO_ORDERS
