"""TLS for Patroni's REST interface, connection by connection: both ways on one port, until one is
the only one.

Patroni's own opens its port anew for every change, so it speaks one way at a time, and all that ask
it would have to change with it; it believes a new authority only once its own certificate has
changed; and a file that cannot be loaded leaves the port closed, and its main loop waiting for ever
at the next reload. Here the port stays open, and who comes is answered in his own way by what the
files say then; files that are no good leave the ones before in force.

Patroni's own words are used (``restapi.certfile``, ``cafile``, ``verify_client``); what they mean
is in decision 0018. Without ``certfile`` nothing is changed.
"""

from __future__ import annotations

import contextlib
import socket
from dataclasses import dataclass
from typing import Any

import structlog

from failover.sealed import HANDSHAKE, End, context_of
from failover.transport import Identity

LIMIT_S = 5.0  # for every part of a conversation: a mute one holds one of Patroni's five threads
_OWN = ("certfile", "keyfile", "keyfile_password", "cafile", "ciphers", "verify_client")


log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Way:
    """How connections are answered; ``identity`` None: as Patroni does."""

    identity: Identity | None
    end: End


def _way(restapi: dict[str, Any], ctl: dict[str, Any]) -> Way:
    """``ctl.cacert`` comes with the certificate, ``restapi.cafile`` a position later."""
    certificate = restapi.get("certfile")
    if not certificate:
        return Way(None, End.ANSWERS)
    authorities = restapi.get("cafile") or ctl.get("cacert", "")
    known = restapi.get("verify_client") == "required"
    return Way(Identity(certificate, authorities), End.ANSWERS_KNOWN if known else End.ANSWERS)


def seal(server: type[Any]) -> None:
    """Patroni's ``RestApiServer``: its connections with TLS where its configuration says so.

    In place, since its methods find their class by its name.
    """
    reload_config, process = server.reload_config, server.process_request_thread
    server.failover_way = None

    def reload(self: Any, config: dict[str, Any]) -> None:
        """OSError where the files cannot be loaded at the start. Later everything stays as it is:
        the rest of Patroni's configuration counts all the same."""
        way = _way(config, self.patroni.config.get("ctl") or {})
        try:
            if way.identity is not None:
                context_of(way.identity, way.end)
        except OSError as error:
            if self.failover_way is None:
                raise
            log.error("certificate_unusable", files=config["certfile"], error=str(error))
            return
        reload_config(self, {k: v for k, v in config.items() if k not in _OWN})
        if config.get("cafile"):  # the member's `api_url` in ZooKeeper
            self.connection_string = self.connection_string.replace("http:", "https:", 1)
        self.failover_way = way

    def answer(self: Any, request: Any, client_address: Any) -> None:
        way = self.failover_way
        if way is not None and way.identity is not None:
            try:
                request = _answered(request, way.identity, way.end)
            except (OSError, ValueError):
                with contextlib.suppress(OSError):
                    request.close()
                return
        process(self, request, client_address)

    server.reload_config, server.process_request_thread = reload, answer


def _answered(plain: socket.socket, identity: Identity, end: End) -> socket.socket:
    """The connection in the way that its client speaks. OSError: gone, mute, or not to be let in.

    Patroni makes the handshake, and closes what fails.
    """
    plain.settimeout(LIMIT_S)
    if plain.recv(1, socket.MSG_PEEK) == HANDSHAKE:
        context = context_of(identity, end)
        return context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
    if end is End.ANSWERS_KNOWN:
        raise ConnectionRefusedError("without TLS nobody is let in")
    return plain
