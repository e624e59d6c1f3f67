"""The hosts as containers: started, filled with files, asked, killed, frozen and removed.

Invariant: everything made here carries the label ``failover.lab``, and ``remove_all`` removes
exactly what carries it, whatever became of the process that made it. Must not know what a host
is for.
"""

from __future__ import annotations

import contextlib
import io
import os
import tarfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any, TypeVar

import docker
from docker.errors import APIError, DockerException, NotFound

from failover.lab.errors import LabError
from failover.lab.hosts import LabHost
from failover.lab.network import LABEL, NAME
from failover.policy import Address

PARALLEL = 6
BOOT_LIMIT_S = 30
CGROUP = "/sys/fs/cgroup"
PACKAGE = Path(__file__).parents[1]
SOURCE = PurePosixPath("/opt/failover/src/failover")

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class HostFile:
    """One file to be on a host."""

    path: PurePosixPath
    data: bytes
    mode: int = 0o644


@dataclass(frozen=True, slots=True)
class ExecResult:
    code: int
    out: str  # standard output and standard error


class Containers:
    """All containers of the lab. Names of containers are names of hosts."""

    def __init__(self, client: docker.DockerClient) -> None:
        self._client = client

    # ------------------------------------------------------------------ life

    def start(
        self,
        host: LabHost,
        image: str,
        mounts: Mapping[Path, str],
        kernel: Mapping[str, str] = MappingProxyType({}),
        *,
        package: bool = True,
    ) -> None:
        """Boot a host. ``mounts``: directories of this machine and where they are, read-write.

        ``kernel``: what sysctl.d asks for; in a container only the engine can set it.
        ``package``: run the sources of this machine, mounted; otherwise what is installed there.

        Returns when systemd has reached its target. LabError when it does not.
        """
        from testcontainers.core.config import testcontainers_config
        from testcontainers.core.container import DockerContainer

        testcontainers_config.ryuk_disabled = True  # cleaned up by label; its image may be absent
        endpoint = self._client.api.create_endpoint_config(ipv4_address=str(host.address))
        cgroup_v1 = str(self._client.info().get("CgroupVersion", "1")) == "1"
        container = DockerContainer(image, name=host.name).with_kwargs(
            hostname=host.name,
            labels={LABEL: "1", f"{LABEL}.site": host.site, f"{LABEL}.role": host.role},
            network=NAME,
            networking_config={NAME: endpoint},
            cap_add=["SYS_ADMIN", "NET_ADMIN"],
            security_opt=["seccomp=unconfined", "apparmor=unconfined"],
            shm_size="256m",
            sysctls=dict(kernel),
            **({} if cgroup_v1 else {"cgroupns": "host"}),
        )
        # systemd wants the cgroup tree; on version 1 it makes its own below, read-only or not.
        container.with_volume_mapping(CGROUP, CGROUP, "ro" if cgroup_v1 else "rw")
        for path in ("/run", "/tmp"):
            container.with_tmpfs_mount(path)
        if package:
            container.with_volume_mapping(PACKAGE, str(SOURCE), "ro")
        for here, there in mounts.items():
            container.with_volume_mapping(here, there, "rw")
        try:
            container.start()
        except APIError as error:
            raise LabError(f"{host.name} cannot be started: {error.explanation or error}") from None
        self.wait_booted(host.name)

    def start_stranger(self, name: str, address: Address, image: str) -> None:
        """A container on the lab's network that is no host of any site; nothing runs in it."""
        endpoint = self._client.api.create_endpoint_config(ipv4_address=str(address))
        try:
            self._client.containers.run(
                image,
                entrypoint=["sleep"],
                command=["infinity"],
                name=name,
                hostname=name,
                detach=True,
                labels={LABEL: "1"},
                network=NAME,
                networking_config={NAME: endpoint},
                cap_add=["NET_ADMIN"],
                shm_size="256m",
                sysctls={"net.ipv6.conf.all.disable_ipv6": "0"},
            )
        except APIError as error:
            raise LabError(f"{name} cannot be started: {error.explanation or error}") from None

    def remove(self, name: str) -> None:
        """Remove one container, where it is there."""
        with contextlib.suppress(NotFound):
            _remove(self._client.containers.get(name))

    def wait_booted(self, name: str) -> None:
        """Return once systemd is done. LabError when it is not within the limit."""
        script = f"timeout {BOOT_LIMIT_S} systemctl is-system-running --wait"
        for _ in range(50):  # until systemd listens
            seen = self.exec(name, ["sh", "-c", script])
            if seen.out.strip() in ("running", "degraded"):
                return
        raise LabError(
            f"{name} does not boot: {seen.out.strip()}",
            todo="docs/decisions/0004-systemd-containers-in-the-lab.md says what it needs",
            log=self.journal(name),
        )

    def again(self, name: str) -> None:
        """Boot a host that was killed; its files are as they were, its memory is gone."""
        self._of(name).start()
        self.wait_booted(name)

    def kill(self, name: str) -> None:
        """Power lost; nothing happens to a host that has none."""
        self._where(name, ("running", "paused"), lambda host: host.kill())

    def freeze(self, name: str) -> None:
        """Every process stands still; nothing happens to a host without power, or frozen."""
        self._where(name, ("running",), lambda host: host.pause())

    def thaw(self, name: str) -> None:
        """Undo ``freeze``; nothing happens to a host that is not frozen."""
        self._where(name, ("paused",), lambda host: host.unpause())

    def states(self) -> dict[str, str]:
        """Per host what the engine says: running, paused, exited."""
        found = self._client.containers.list(all=True, filters={"label": f"{LABEL}.role"})
        return {one.name: one.status for one in found}

    def first_processes(self) -> tuple[int, ...]:
        """Of every host that runs, its first process as this machine numbers it."""
        found = self._client.containers.list(filters={"label": f"{LABEL}.role"})
        return tuple(one.attrs["State"]["Pid"] for one in found)

    def remove_all(self) -> int:
        """Remove every container of the lab, of a crashed one too; how many there were."""
        found = self._client.containers.list(all=True, filters={"label": LABEL})
        in_parallel(_remove, found)
        return len(found)

    # ------------------------------------------------------------------ inside

    def exec(self, name: str, command: Sequence[str], *, user: str = "") -> ExecResult:
        """Run a command in a host, and wait for it. LabError when the host is not there."""
        api = self._client.api
        try:
            made = api.exec_create(name, list(command), user=user)
            out = api.exec_start(made["Id"])
            code = api.exec_inspect(made["Id"])["ExitCode"]
        except NotFound:
            raise LabError(f"no host {name!r} is there", todo="`failover lab status`") from None
        except APIError as error:
            raise LabError(f"{name}: {error.explanation or error}") from None
        return ExecResult(code if code is not None else -1, out.decode(errors="replace"))

    def put(self, name: str, files: Iterable[HostFile]) -> None:
        """Write files into a host, in one go."""
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            for file in files:
                member = tarfile.TarInfo(str(file.path).lstrip("/"))
                member.size, member.mode = len(file.data), file.mode
                tar.addfile(member, io.BytesIO(file.data))
        if not self._client.api.put_archive(name, "/", archive.getvalue()):
            raise LabError(f"{name}: the files cannot be written")

    def journal(
        self,
        name: str,
        unit: str | None = None,
        lines: int = 20,
        since_unix_s: float | None = None,
    ) -> str:
        """The last lines of a host's journal; empty when it cannot be read."""
        wanted = ["-u", unit] if unit else []
        if since_unix_s is not None:
            wanted += ["--since", f"@{since_unix_s:.3f}"]
        command = ["journalctl", "--no-pager", "-q", "-o", "short-iso-precise", "-n", str(lines)]
        try:
            return self.exec(name, [*command, *wanted]).out
        except LabError:
            return ""

    def compile_package(self, image: str) -> None:
        """Leave bytecode for the hosts' Python next to the sources: the hosts cannot write it."""
        uid, gid = os.getuid(), os.getgid()
        try:
            self._client.containers.run(
                image,
                ["/opt/failover/venv/bin/python", "-m", "compileall", "-q", str(SOURCE)],
                user=f"{uid}:{gid}",
                volumes={str(PACKAGE): {"bind": str(SOURCE), "mode": "rw"}},
                labels={LABEL: "1"},
                remove=True,
            )
        except DockerException as error:
            raise LabError(f"the package cannot be compiled for the hosts: {error}") from None

    def _where(self, name: str, statuses: Sequence[str], change: Callable[[Any], None]) -> None:
        """Two faults may meet in one host: nothing happens where its status is another one."""
        host = self._of(name)
        try:
            if host.status in statuses:
                change(host)
        except APIError as error:
            raise LabError(f"{name}: {error.explanation or error}") from None

    def _of(self, name: str) -> Any:
        try:
            return self._client.containers.get(name)
        except NotFound:
            raise LabError(f"no host {name!r} is there", todo="`failover lab status`") from None


def in_parallel(
    do: Callable[[Item], Result], items: Iterable[Item], limit: int = PARALLEL
) -> list[Result]:
    """``do`` for every item, several at a time; the first error once all have ended."""
    with ThreadPoolExecutor(max_workers=limit) as pool:
        return [one.result() for one in [pool.submit(do, item) for item in items]]


def _remove(container: Any) -> None:
    try:
        container.remove(force=True, v=True)
    except NotFound:
        pass
    except APIError as error:
        if "already in progress" not in str(error):
            raise
