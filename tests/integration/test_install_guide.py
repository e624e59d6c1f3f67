"""docs/operations/install.md followed word for word: from clean hosts to a first switchover."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from clean_hosts import CleanHosts, clean_hosts
from guide_follower import Follower
from install_guide import blocks, hosts_named

from failover.lab.hosts import Role

pytestmark = [pytest.mark.lab, pytest.mark.full]

# The administrator's way to the hosts.
SSH = """\
#!/bin/sh
host=${1#root@}
shift
exec docker exec -i "$host" sh -c "$*"
"""


@pytest.fixture(scope="module")
def hosts() -> Iterator[CleanHosts]:
    with clean_hosts() as found:
        yield found


def test_the_guide_leads_from_clean_hosts_to_a_switchover(
    hosts: CleanHosts, tmp_path: Path
) -> None:
    follower = Follower(hosts, tmp_path, SSH)
    for block in blocks():
        follower.follow(block)

    site = tmp_path / "failover-site"
    policy = hosts.lab.policy
    (controller,) = hosts_named(policy, "one controller host of the initial site")
    told = hosts.run(controller.name, "failover history -o json")
    events = [entry["event"] for entry in json.loads(told.out)["entries"]]
    assert "switchover" in events, events

    (database,) = hosts_named(policy, "one database host of the other site")
    proxy = policy.site(policy.other_data_site(policy.initial_site).name).proxies[0]
    seen = hosts.run(
        database.name,
        "PGPASSWORD=$(cat /etc/failover/secrets/client.password) psql -At "
        f"-h {proxy.address} -p 5000 -U marketplace marketplace "
        "-c 'SELECT written_at, pg_is_in_recovery() FROM install_check ORDER BY 1'",
    )
    assert seen.out.split() == ["jakarta|f", "makassar|f"]

    words = [path.read_text().strip() for path in (site / "secrets/passwords").glob("*.password")]
    assert words
    assert not [word for word in words for text in follower.printed if word in text]


def test_nothing_that_was_started_has_failed_and_nothing_else_serves(hosts: CleanHosts) -> None:
    """After the guide: no unit of ours failed, and no server of Debian's own was made."""
    for host in hosts.all:
        failed = hosts.run(host.name, "systemctl list-units --failed --plain --no-legend").out
        ours = ("failover", "patroni", "zookeeper", "haproxy", "postgresql")
        assert not [line for line in failed.splitlines() if line.startswith(ours)], host.name
        if host.role is Role.DATABASE:
            made = hosts.run(host.name, "ls /etc/postgresql; cat /etc/postgresql/17/main/* || true")
            assert "postgresql.conf" not in made.out
            masked = "systemctl is-enabled postgresql.service postgresql@17-main.service || true"
            assert set(hosts.run(host.name, masked).out.split()) == {"masked"}
            assert "all of this version" in hosts.run(host.name, "failover guard barriers").out
