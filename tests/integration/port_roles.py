"""What each of PostgreSQL's roles can do there, or through HAProxy; and whoever has none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import PurePosixPath

import port_postgres as sql
import psycopg
from port_proofs import Proofs
from port_wire import LIMIT_S

from failover.lab.containers import HostFile
from failover.lab.hosts import LabHost, Role
from failover.model import HostName
from failover.reference.ports import Can, Client

PASSWORDS = {
    Client.CUSTOMER: "client",
    Client.OBSERVER: "observer",
    Client.REPLICATOR: "replication",
    Client.REWINDER: "rewinder",
    Client.SUPERUSER: "superuser",
}
USERS = {
    Client.CUSTOMER: sql.SHOP,
    Client.OBSERVER: "failover_observer",
    Client.REPLICATOR: "replicator",
    Client.REWINDER: "rewinder",
    Client.SUPERUSER: "postgres",
}
REPLICATION = "replication=true"


class Roles:
    def __init__(self, proofs: Proofs) -> None:
        self._proofs = proofs
        self._lab = proofs.lab
        self._policy = proofs.policy

    def session(self, host: LabHost, number: int, client: Client) -> str:
        if client is Client.UNDECLARED:
            return self._from_here(host, number)
        if client not in USERS:
            return self._stranger(host, number, client)
        through_a_proxy = host.role is Role.PROXY
        login = self._login(host, number, client)
        if client is Client.SUPERUSER or (through_a_proxy and client is not Client.CUSTOMER):
            elsewhere = {replace(login, source=source) for source in (login.source, host.name)}
            return " and ".join({sql.refusal(each) or "is let in" for each in elsewhere})
        match client:
            case Client.CUSTOMER:
                return self._customer(login)
            case Client.OBSERVER:
                return self._observer(login, host)
            case Client.REPLICATOR:
                return self._replicator(login)
        return self._rewinder(login)

    def _login(self, host: LabHost, number: int, client: Client) -> sql.Login:
        """As it is done properly: from where it belongs, with TLS verified where there is TLS."""
        tls = self._policy.tls
        options = f"sslmode=verify-full sslrootcert={tls.authority_file}"
        return sql.Login(
            self._source(host, client),
            str(host.address),
            number,
            USERS[client],
            self._proofs.secret(f"{PASSWORDS[client]}.password"),
            sql.SHOP if client is Client.CUSTOMER else sql.SERVER,
            options if tls.postgresql.dialled else "sslmode=disable",
        )

    def _source(self, host: LabHost, client: Client) -> HostName:
        """A host from which this role connects; a customers' host for whoever has none."""
        role = {Client.OBSERVER: Role.CONTROLLER}.get(client, Role.CLIENT)
        if client in (Client.REPLICATOR, Client.REWINDER, Client.SUPERUSER):
            role = Role.DATABASE
        found = [each for each in self._lab.hosts(role) if each.name != host.name]
        near = [each for each in found if each.site == host.site]
        return (near or found)[0].name

    def _stranger(self, host: LabHost, number: int, client: Client) -> str:
        proof = sql.OTHER_PROOF
        options = {
            Client.NOBODY: "sslmode=disable",
            Client.NO_CERTIFICATE: "sslmode=require",
            Client.OTHER_AUTHORITY: f"sslmode=require sslcert={proof} sslkey={proof}",
        }[client]
        login = replace(
            self._login(host, number, Client.CUSTOMER),
            password="a-guess",
            options=f"{options} require_auth=scram-sha-256",
        )
        found = sql.refusal(login) or "is let in"
        no_tls = client is Client.NOBODY and self._policy.tls.postgresql.required
        return Can.NEEDS_TLS if no_tls and found == Can.NO_LINE else found

    def _from_here(self, host: LabHost, number: int) -> str:
        """This machine is in no declared network. With the customers' password, and any TLS."""
        try:
            with psycopg.connect(
                host=str(host.address),
                port=number,
                user=sql.SHOP,
                dbname=sql.SHOP,
                password=self._proofs.secret("client.password"),
                connect_timeout=int(LIMIT_S),
            ):
                return "is let in"
        except psycopg.OperationalError as error:
            return sql.refusal_of(str(error))

    def _customer(self, login: sql.Login) -> str:
        others = [
            replace(login, database=sql.SERVER),
            replace(login, options=f"{login.options} {REPLICATION}"),
            replace(login, user=USERS[Client.OBSERVER]),
        ]
        wrong = sql.unexpected(login, sql.CUSTOMER) + self._let_in(*others)
        return wrong or Can.OWN_DATABASE

    def _observer(self, login: sql.Login, host: LabHost) -> str:
        inside = replace(login, database=sql.SHOP)
        elsewhere = replace(login, source=self._source(host, Client.REPLICATOR))
        replication = replace(login, options=f"{login.options} {REPLICATION}")
        wrong = sql.unexpected(login, sql.OBSERVER)
        wrong += sql.unexpected(inside, sql.OBSERVER_IN_THE_SHOP)
        return wrong + self._let_in(elsewhere, replication) or Can.OBSERVES

    def _replicator(self, login: sql.Login) -> str:
        streams = replace(login, options=f"{login.options} {REPLICATION}")
        others = (
            login,
            replace(login, database=sql.SHOP),
            replace(login, options=f"{login.options} replication=database"),
            *self._from_no_database(streams),
        )
        wrong = sql.refusal(streams, "IDENTIFY_SYSTEM") + self._let_in(*others)
        return wrong or Can.STREAMS

    def _rewinder(self, login: sql.Login) -> str:
        others = (
            replace(login, database=sql.SHOP),
            replace(login, options=f"{login.options} {REPLICATION}"),
            *self._from_no_database(login),
        )
        return sql.unexpected(login, sql.REWINDER) + self._let_in(*others) or Can.FILES

    def _from_no_database(self, login: sql.Login) -> Iterator[sql.Login]:
        for role in (Role.CONTROLLER, Role.CLIENT):
            yield replace(login, source=self._lab.hosts(role)[0].name)

    def _let_in(self, *logins: sql.Login) -> str:
        """Those that pg_hba should have refused."""
        said = [(login, sql.refusal(login) or "is let in") for login in logins]
        return "; ".join(
            f"{login.user} from {login.source} to {login.database} {login.options}: {found}"
            for login, found in said
            if found != Can.NO_LINE
        )

    # ------------------------------------------------------------------ what customers have

    @contextmanager
    def with_a_table(self) -> Iterator[None]:
        """One row of a customer in the database, and what another authority signed on his hosts."""
        proof = self._proofs.other_authority.read_bytes()
        for host in self._lab.hosts(Role.CLIENT):
            file = HostFile(PurePosixPath(sql.OTHER_PROOF), proof, 0o600)
            self._lab.containers.put(host.name, (file,))
        (proxy, *_) = self._lab.hosts(Role.PROXY)
        login = self._login(proxy, self._policy.clusters[0].proxy_port, Client.CUSTOMER)
        drop = f"DROP TABLE IF EXISTS {sql.TABLE}"
        made = sql.refusal(login, f"{drop}; CREATE TABLE {sql.TABLE} AS SELECT 1 AS row")
        assert not made, made
        try:
            yield
        finally:
            sql.refusal(login, drop)

    def without_the_table(self) -> dict[HostName, str]:
        """The database hosts on which it is not there (yet), and what they say."""
        found = {}
        for host in self._policy.clusters[0].hosts:
            login = self._login(self._lab.host(host.name), host.postgres_port, Client.CUSTOMER)
            found[host.name] = sql.unexpected(login, sql.CUSTOMER[:1])
        return {name: said for name, said in found.items() if said}
