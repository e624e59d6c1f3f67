"""How long one answer of the primary takes, by pgbench on a client host of its site.

One session asks ``select 1`` again as soon as it is answered: no disk and no other host has a part
in it, so that little noise hides what the kernel's rules add to every answer.
"""

from __future__ import annotations

import re
import shlex

from failover.lab.containers import Containers
from failover.lab.errors import LabError
from failover.lab.workload.control import CLIENT_HOSTS
from failover.lab.workload.inside import PASSWORD_FILE
from failover.policy import Cluster, DatabaseHost

PGBENCH = "/usr/lib/postgresql/17/bin/pgbench"
LIMIT_S = 10  # more than it is asked to run: pgbench hangs where its session does
_TPS = re.compile(r"^tps = ([0-9.]+)", re.MULTILINE)


def answer_us(
    containers: Containers, cluster: Cluster, database: DatabaseHost, seconds: int
) -> float:
    """Microseconds per answer, over so many seconds. LabError where pgbench does not say."""
    command = (
        f"echo 'select 1;' | PGPASSWORD=$(cat {PASSWORD_FILE}) timeout {seconds + LIMIT_S} "
        f"{PGBENCH} -n -f /dev/stdin -c 1 -T {seconds} -h {database.address} "
        f"-p {database.postgres_port} -U {shlex.quote(cluster.name)} {shlex.quote(cluster.name)}"
    )
    host = CLIENT_HOSTS[database.site]
    ended = containers.exec(host, ["sh", "-c", command])
    if ended.code != 0:
        raise LabError(f"{host}: pgbench failed", log=ended.out)
    return answer_us_of(ended.out)


def answer_us_of(out: str) -> float:
    """From what pgbench prints: its transactions are one question each."""
    found = _TPS.search(out)
    if found is None or float(found[1]) <= 0:
        raise LabError("pgbench names no rate", log=out)
    return round(1e6 / float(found[1]), 2)
