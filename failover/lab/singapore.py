"""A host abroad, on the lab's network but outside of every declared one: who tries to take data.

It has a PostgreSQL of its own, a port that takes whatever is sent to it, the passwords of the lab,
and a counter of everything that arrives, of both families (but for what looks for neighbours on
the link). Nobody who belongs to the lab sends it anything. It is removed at the end, with the rest
of the lab at the latest. The lab's network has no IPv6: ``join_ipv6`` gives a host an address for a
while.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path, PurePosixPath

from failover.lab.containers import Containers, HostFile
from failover.lab.errors import LabError
from failover.model import HostName

NAME = HostName("singapore")
ADDRESS = ip_address("10.77.99.11")
ADDRESS6 = ip_address("fd00:77::99")
SINK_PORT = 9999
_JOINED6 = "fd00:77::11/64"
PASSWORDS = {
    "replicator": "replication",
    "marketplace": "client",
    "postgres": "superuser",
}  # role, and whose file
_PGPASS = PurePosixPath("/var/lib/postgresql/pgpass")
_READ_TRIES = 20

# Everything that comes in by the network is counted before anything looks at it.
_SET_UP = f"""
set -e
nft -f - <<END
table inet abroad {{
    counter arrived {{
    }}
    chain everything {{
        type filter hook prerouting priority -300; policy accept;
        icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit, \
            nd-router-advert, mld-listener-query, mld-listener-report, \
            mld2-listener-report }} accept
        iifname != "lo" counter name arrived
    }}
}}
END
ip -6 address add {ADDRESS6}/64 dev eth0 nodad
chown postgres: {_PGPASS}
install -d -o postgres /tmp/own /tmp/wal /run/postgresql
as() {{ setpriv --reuid=postgres --regid=postgres --clear-groups "$@"; }}
bin=/usr/lib/postgresql/17/bin
as $bin/initdb -D /tmp/own --auth=trust --no-sync >/dev/null
printf "listen_addresses = '*'\\nfsync = off\\n" >> /tmp/own/postgresql.conf
echo 'host all all 0.0.0.0/0 trust' >> /tmp/own/pg_hba.conf
as $bin/pg_ctl -D /tmp/own -w -l /tmp/own.log start >/dev/null
as psql -h /run/postgresql -Xqc 'create table taken (id bigint, filler text)' postgres
setsid python3 -c '
import socket
sink = socket.create_server(("::", {SINK_PORT}), family=socket.AF_INET6, dualstack_ipv6=True)
while True:
    link = sink.accept()[0]
    while link.recv(1 << 20): pass
    link.close()
' >/dev/null 2>&1 </dev/null &
"""

_ARRIVED = """
before=-1
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do
    now=$(nft list counter inet abroad arrived | sed -n 's/.*bytes //p')
    [ "$before" = "$now" ] && break
    before=$now
    sleep 0.2
done
echo "arrived $now"
"""


# /proc/sys is read-only in a host of the lab, and busy; a second /proc is not.
_SWITCH6 = """
set -e
mkdir -p /tmp/proc
mount -t proc proc /tmp/proc
echo {disabled} > /tmp/proc/sys/net/ipv6/conf/eth0/disable_ipv6
umount /tmp/proc
"""


@dataclass(frozen=True, slots=True)
class Timed:
    """A command that has ended. ``said``: the end of its standard error."""

    exit_code: int
    took_s: float
    said: str


class Singapore:
    """The host. ``secrets``: where the lab's passwords lie."""

    def __init__(self, containers: Containers, secrets: Path) -> None:
        self._containers = containers
        self._secrets = secrets

    def start(self, image: str) -> None:
        """Everything there. One that was left over is removed first."""
        self.remove()
        self._containers.start_stranger(NAME, ADDRESS, image)
        lines = [
            f"*:*:*:{role}:{(self._secrets / f'{name}.password').read_text(encoding='utf-8')}"
            for role, name in PASSWORDS.items()
        ]
        self._containers.put(NAME, [HostFile(_PGPASS, "".join(lines).encode(), 0o600)])
        self.shell(_SET_UP)

    def remove(self) -> None:
        self._containers.remove(NAME)

    def run(self, command: str, limit_s: float) -> Timed:
        """Run a command as ``postgres``, to its end or to the limit (exit code 124)."""
        return run_timed(self._containers, NAME, f"export PGPASSFILE={_PGPASS}\n", command, limit_s)

    def shell(self, script: str) -> str:
        """Run a script as root. LabError when it fails."""
        return said(self._containers, NAME, script)

    def forget(self) -> None:
        """Nothing has arrived from now on."""
        self.shell("nft reset counter inet abroad arrived")

    def arrived_bytes(self) -> int:
        """What has arrived since ``forget``, once nothing more comes."""
        out = self.shell(_ARRIVED)
        return int(out.rpartition("arrived ")[2])

    @property
    def passfile(self) -> str:
        """For a connection that its own PostgreSQL makes."""
        return str(_PGPASS)


def join_ipv6(containers: Containers, host: str) -> None:
    """An IPv6 address for a host of the lab, on the same link as the one abroad."""
    script = f"{_SWITCH6.format(disabled=0)}ip -6 address replace {_JOINED6} dev eth0 nodad\n"
    said(containers, host, script)


def leave_ipv6(containers: Containers, host: str) -> None:
    """As it was: none."""
    said(containers, host, _SWITCH6.format(disabled=1))


def run_timed(
    containers: Containers, host: str, before: str, command: str, limit_s: float
) -> Timed:
    """One command in a host as ``postgres``, timed there."""
    script = (
        f"{before}export PGCONNECT_TIMEOUT=4 PATH=$PATH:/usr/lib/postgresql/17/bin\n"
        "started=$(date +%s.%N)\n"
        f"timeout -k 1 {limit_s:g} sh -c {shlex.quote(command)} "
        ">/dev/null 2>/tmp/attempt.err </dev/null\n"
        'code=$?; ended=$(date +%s.%N)\necho "timed $code $started $ended"\n'
        "tail -c 500 /tmp/attempt.err\n"
    )
    out = said(containers, host, script, user="postgres").rpartition("timed ")[2]
    figures, _, words = out.partition("\n")
    code, started, ended = figures.split()
    return Timed(int(code), float(ended) - float(started), words.strip())


def said(containers: Containers, host: str, script: str, *, user: str = "") -> str:
    """What a script writes, kept in a file meanwhile: the engine may lose the output of a short
    command on a busy machine, and an attempt cannot be made twice. LabError when it fails."""
    path = f"/tmp/said-{user or 'root'}"
    ran = containers.exec(host, ["sh", "-c", f'sh -c "$0" >{path} 2>&1', script], user=user)
    for _ in range(_READ_TRIES):
        read = containers.exec(host, ["sh", "-c", f"cat {path}; echo; echo END"], user=user)
        out, end, _rest = read.out.rpartition("END")
        if end:
            break
    if ran.code != 0 or not end:
        raise LabError(f"{host}: exit {ran.code} of a step of the bench", log=f"{out}\n{script}")
    return out.strip()
