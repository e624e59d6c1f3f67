"""Hosts with nothing but Debian, systemd and the packages that the install guide asks for.

The lab's network has no way out, so what the guide's blocks of packages install is in the images,
put there by these very blocks. Everything carries the lab's label: `failover lab down` removes it.
"""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import docker
from docker.errors import ImageNotFound
from install_guide import packages

from failover.lab import image
from failover.lab.containers import Containers, ExecResult, in_parallel
from failover.lab.hosts import LabHost, Role
from failover.lab.lab import Lab
from failover.lab.network import LABEL

NAME = "failover-clean"
ENGINE_LIMIT_S = 900
BLOCK_LIMIT_S = 600
ROLES = (Role.ZOOKEEPER, Role.DATABASE, Role.CONTROLLER, Role.PROXY)

# What a container has no devices or rights for, and what would fetch something.
MASKED = (
    *("systemd-udevd.service", "systemd-udev-trigger.service", "systemd-modules-load.service"),
    *("systemd-sysctl.service", "systemd-logind.service", "systemd-remount-fs.service"),
    *("systemd-binfmt.service", "proc-sys-fs-binfmt_misc.automount", "dev-hugepages.mount"),
    *("getty.target", "console-getty.service", "sys-kernel-config.mount"),
    *("sys-kernel-debug.mount", "sys-kernel-tracing.mount", "sys-fs-fuse-connections.mount"),
    *("apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "fstrim.timer"),
    *("e2scrub_all.timer", "e2scrub_reap.service"),
)

DOCKERFILE = f"""\
ARG BASE
FROM ${{BASE}}
COPY dpkg.cfg /etc/dpkg/dpkg.cfg.d/clean
COPY apt.conf /etc/apt/apt.conf.d/clean
RUN apt-get update && apt-get install -y systemd systemd-sysv \\
 && systemctl set-default multi-user.target && systemctl mask {" ".join(MASKED)}
COPY packages /root/packages
RUN sh -eu /root/packages && rm /root/packages
ENV container=docker
STOPSIGNAL SIGRTMIN+3
CMD ["/lib/systemd/systemd"]
"""


@dataclass(frozen=True, slots=True)
class CleanHosts:
    """Booted, and nothing else."""

    lab: Lab
    containers: Containers
    all: tuple[LabHost, ...]

    def run(self, host: str, script: str) -> ExecResult:
        """As root, ended at the first command that fails, and after the limit (exit code 124)."""
        return self.containers.exec(
            host, ["timeout", str(BLOCK_LIMIT_S), "sh", "-eu", "-c", script]
        )


@contextmanager
def clean_hosts() -> Iterator[CleanHosts]:
    """Every host of deploy/failover.yaml, on the lab's network; all gone afterwards."""
    lab = Lab()
    with lab.reserved("the install guide"):
        images = ensure_images(lab)
        lab.down()
        client = docker.from_env(timeout=ENGINE_LIMIT_S)
        chosen = tuple(host for host in lab.all_hosts if host.role in ROLES)
        found = CleanHosts(lab, Containers(client), chosen)
        try:
            lab.network.create()
            in_parallel(lambda host: _start(found, host, images[host.role]), chosen)
            yield found
        finally:
            lab.down()


def _start(hosts: CleanHosts, host: LabHost, name: str) -> None:
    hosts.containers.start(host, name, {}, package=False)
    if host.role is Role.ZOOKEEPER:  # a host of its own may set its kernel's parameters
        ended = hosts.run(host.name, "mount -o remount,rw,bind /proc/sys")
        assert ended.code == 0, ended.out


def ensure_images(lab: Lab) -> dict[Role, str]:
    """The image of each kind of host, built where it is not there."""
    return {role: _ensure(packages(lab.policy, role), role) for role in ROLES}


def _ensure(script: str, role: Role) -> str:
    client = docker.from_env(timeout=ENGINE_LIMIT_S)
    name = f"{NAME}-{role}:{hashlib.sha256((DOCKERFILE + script).encode()).hexdigest()[:12]}"
    try:
        client.images.get(name)
    except ImageNotFound:
        proxies = {k: v for k, v in os.environ.items() if k.lower().endswith("_proxy")}
        client.images.build(
            fileobj=_context(script),
            custom_context=True,
            tag=name,
            buildargs={"BASE": image.base(client), **proxies},
            labels={LABEL: "1"},
            rm=True,
            forcerm=True,
            timeout=ENGINE_LIMIT_S,
        )
    return name


def _context(script: str) -> io.BytesIO:
    here = Path(image.__file__).parent
    texts = {name: (here / name).read_bytes() for name in ("dpkg.cfg", "apt.conf")}
    texts |= {"Dockerfile": DOCKERFILE.encode(), "packages": script.encode()}
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as archive:
        for name, data in texts.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), 0o644
            archive.addfile(member, io.BytesIO(data))
    context.seek(0)
    return context
