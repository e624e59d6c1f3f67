"""docs/operations/containers.md followed word for word: from an image to a switchover.

All machines of the page are this one: its hosts stand on the lab's network instead of theirs,
and what they would install is in the image, which is built on the lab's own base.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import docker
import pytest
from clean_hosts import ENGINE_LIMIT_S, ROLES, CleanHosts
from docker.errors import ImageNotFound
from drill import wait_until
from guide_follower import Follower
from install_guide import ADMINISTRATOR, CONTAINERS_PAGE, Block, blocks, hosts_named

from failover.lab import image
from failover.lab.containers import Containers
from failover.lab.hosts import LabHost, Role
from failover.lab.lab import Lab
from failover.lab.network import LABEL, NAME

pytestmark = [pytest.mark.lab, pytest.mark.full]

BASE = ("debian", "trixie")
IMAGE = "failover-host"
WELL_LIMIT_S = 180.0
SSH = """\
#!/bin/sh
host=${1#root@}
shift
cd "$HOME"
DOCKER_FLAGS=$(grep "^$host " bin/flags | cut -d " " -f 2-)
export DOCKER_FLAGS
exec sh -c "$*"
"""


@pytest.fixture(scope="module")
def hosts() -> Iterator[CleanHosts]:
    lab = Lab()
    client = docker.from_env(timeout=ENGINE_LIMIT_S)
    with lab.reserved("the page on containers"), base_image(client):
        lab.down()
        try:
            lab.network.create()
            chosen = tuple(host for host in lab.all_hosts if host.role in ROLES)
            yield CleanHosts(lab, Containers(client), chosen)
        finally:
            lab.down()
            with suppress(ImageNotFound):
                client.images.remove(IMAGE, force=True, noprune=True)


@contextmanager
def base_image(client: docker.DockerClient) -> Iterator[None]:
    """The page names it; no registry is asked for it here."""
    name = ":".join(BASE)
    try:
        client.images.get(name)
        made = False
    except ImageNotFound:
        made = client.images.get(image.base(client)).tag(*BASE)
    try:
        yield
    finally:
        if made:
            client.images.remove(name, noprune=True)


def flags(host: LabHost) -> str:
    said = f"--network={NAME} --ip={host.address} --label={LABEL}=1"
    if host.role is Role.ZOOKEEPER:  # a machine of its own has it from its own sysctl.d
        said += " --sysctl=net.ipv4.tcp_retries2=5"
    return said


def step_one() -> tuple[Block, ...]:
    """Of the install guide, which the page sends to."""
    ours = [block for block in blocks() if block.where == ADMINISTRATOR]
    return tuple(
        block for block in ours if "make wheel" in block.script or "pki init" in block.script
    )


def test_the_page_leads_from_an_image_to_a_switchover(hosts: CleanHosts, tmp_path: Path) -> None:
    follower = Follower(hosts, tmp_path, SSH)
    (tmp_path / "bin" / "flags").write_text(
        "".join(f"{host.name} {flags(host)}\n" for host in hosts.all)
    )
    assert len(step_one()) == 2
    for block in (*step_one(), *blocks(CONTAINERS_PAGE)):
        follower.follow(block)

    policy = hosts.lab.policy
    other = policy.other_data_site(policy.initial_site).name
    (controller,) = hosts_named(policy, "one controller host of the initial site")
    (standby,) = hosts_named(policy, "one database host of the other site")
    made_at = "stat -c %i /var/lib/postgresql/17/marketplace/PG_VERSION"
    before = hosts.run(standby.name, made_at).out
    hosts.containers.remove(standby.name)
    follower.follow(
        as_administrator(f"ssh root@{standby.name} sh failover-host/run {standby.name}")
    )
    wait_until("all is well with a new container", lambda: well(hosts, controller), WELL_LIMIT_S)
    assert hosts.run(standby.name, made_at).out == before, "its data was not copied anew"

    keys = "/run/operator-key"
    put = f"docker exec -i {controller.name} sh -c 'mkdir -m 0700 {keys} && tar -x -C {keys}'"
    people = "$HOME/failover-site/secrets/people/operator"
    follower.follow(as_administrator(f'tar -C {people} -c . | ssh root@{controller.name} "{put}"'))
    moves = f"FAILOVER_KEYS={keys} failover switchover --to {other} --yes --reason page"
    moved = hosts.run(controller.name, moves)
    assert moved.code == 0, moved.out
    wait_until("all is well after the switchover", lambda: well(hosts, controller), WELL_LIMIT_S)


def as_administrator(script: str) -> Block:
    return Block(0, 0, ADMINISTRATOR, script)


def well(hosts: CleanHosts, controller: LabHost) -> bool:
    return hosts.run(controller.name, "failover status").code == 0


def test_units_work_and_a_start_is_a_boot(hosts: CleanHosts) -> None:
    machine = Path("/proc/sys/kernel/random/boot_id").read_text()
    for host in hosts.all:
        failed = hosts.run(host.name, "systemctl list-units --failed --plain --no-legend").out
        ours = ("failover", "patroni", "zookeeper", "haproxy", "postgresql")
        assert not [line for line in failed.splitlines() if line.startswith(ours)], host.name
        assert hosts.run(host.name, "cat /proc/sys/kernel/random/boot_id").out != machine
        if host.role is Role.DATABASE:
            barrier = "nft list tables | grep -c failover"
            assert int(hosts.run(host.name, barrier).out.split()[-1]) > 0, host.name
