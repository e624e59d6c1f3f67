"""What a client can do at ZooKeeper's ports: as a client of it, or as one of its servers."""

from __future__ import annotations

import port_zookeeper as znodes
from port_hosts import run
from port_proofs import Proofs
from port_wire import talk

from failover.access import Role as Key
from failover.access import key_file, patroni_of
from failover.lab.hosts import LabHost, Role
from failover.model import SiteName
from failover.reference.ports import Can, Client

KEYS = (*znodes.KEYS, Client.PATRONI_KEY, Client.WRONG_KEY)
SILENCE_S = 0.5  # a server gives up a silent one after 1.5 s
# What a ZooKeeper client says first: a session of 4 s, please (ConnectRequest).
HELLO = bytes.fromhex("0000002d" + 12 * "00" + "00000fa0" + 8 * "00" + "00000010" + 17 * "00")


class Ensemble:
    def __init__(self, proofs: Proofs) -> None:
        self._proofs = proofs
        self._policy = proofs.policy

    # ------------------------------------------------------------------ clients

    def client(self, host: LabHost, number: int, client: Client) -> str:
        """At the clients' port."""
        shown = self._policy.access.position.shown
        if client in KEYS:
            return self._with_key(client) if shown else self._no_keys()
        plain = client is Client.NOBODY
        first = HELLO if plain and self._policy.tls.zookeeper.required else b"srvr"
        heard = talk(str(host.address), number, first, self._proofs.context(client))
        if refusal := heard.plain_refusal if plain else heard.refusal:
            return refusal
        words = self._four_letters(host, number, client)
        judge = znodes.as_nobody if shown else znodes.as_everybody
        return judge(self._rights(""), words)

    def _no_keys(self) -> str:
        made = sorted(self._proofs.lab.directory.glob("secrets/zookeeper*"))
        return f"there are keys: {made}" if made else Can.NO_KEYS

    def _four_letters(self, host: LabHost, number: int, client: Client) -> set[str]:
        """Those that are answered."""
        found = set()
        for word in znodes.FOUR_LETTERS:
            heard = talk(str(host.address), number, word.encode(), self._proofs.context(client))
            assert not any(each in heard.answer for each in self._proofs.secrets), word
            if heard.answer and b"not in the whitelist" not in heard.answer:
                found.add(word)
        return found

    def _with_key(self, client: Client) -> str:
        if client is Client.WRONG_KEY:
            return znodes.as_nobody(self._rights("controller:a-guess"), znodes.LISTED)
        if client is Client.PATRONI_KEY:
            said = {self._patroni(site.name) for site in self._policy.data_sites}
            return " and ".join(sorted(said))
        seen = self._rights(self._proofs.secret(key_file(znodes.KEYS[client])))
        return znodes.as_role(self._policy, client, self._tree(), seen)

    def _patroni(self, site: SiteName) -> str:
        name = patroni_of(self._policy.clusters[0].scope(site))
        seen = self._rights(self._proofs.secret(key_file(name)))
        return znodes.as_patroni(self._policy, site, self._tree(), seen)

    def _tree(self) -> znodes.Tree:
        shown = self._policy.access.position.shown
        key = self._proofs.secret(key_file(Key.ADMIN)) if shown else ""
        with znodes.client(self._policy, key) as client:
            return znodes.tree(client)

    def _rights(self, credential: str) -> znodes.Rights:
        found = self._tree()
        with znodes.client(self._policy, credential) as client:
            return znodes.rights(client, found)

    # ------------------------------------------------------------------ servers

    def server(self, host: LabHost, number: int, client: Client) -> str:
        """At the ports that the servers have for one another. Whoever is not sent away before his
        first word is believed to be one; none is said, because it would be."""
        if client is Client.GROUP:
            return self._from_a_database_host(host, number)
        if not self._policy.tls.zookeeper.required:
            heard = talk(str(host.address), number, b"", limit_s=SILENCE_S)
            return f"said {heard}" if heard.closed or heard.answer else Can.A_SERVER
        heard = talk(str(host.address), number, HELLO, self._proofs.context(client))
        refusal = heard.plain_refusal if client is Client.NOBODY else heard.refusal
        return refusal or f"said {heard}"

    def _from_a_database_host(self, host: LabHost, number: int) -> str:
        """With that host's own certificate: whether the connection stays, once it is proven."""
        (source, *_) = self._proofs.lab.hosts(Role.DATABASE)
        own = self._policy.tls.host_file
        words = f"{host.address} {number} {own} {SILENCE_S}"
        _, out = run(source.name, f"python3 - {words} <<'END'\n{AT_HOME}END\n")
        return {"stays": Can.A_SERVER, "refused": Can.HANDSHAKE}.get(out.strip(), out)


AT_HOME = """
import socket, ssl, sys
address, port, own, silence_s = sys.argv[1:]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
context.load_cert_chain(own)
try:
    with socket.create_connection((address, int(port)), 3) as plain:
        with context.wrap_socket(plain) as link:
            link.settimeout(float(silence_s))
            link.recv(1)
            print("refused")
except TimeoutError:
    print("stays")
except OSError:
    print("refused")
"""
