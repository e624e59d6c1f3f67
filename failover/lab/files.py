"""What is written into a host of the lab: its files under deploy/, failover.yaml, its secrets.

Invariant: a host runs exactly the files that its site runs. What is added here is only what a
site gets from elsewhere (secrets) and what a test asked for (the fsync shim).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from failover.config import load
from failover.host_secrets import keys_of_hosts
from failover.lab.containers import HostFile
from failover.lab.errors import LabError
from failover.lab.hosts import LabHost, Role
from failover.policy import Policy

ETC = PurePosixPath("/etc/failover")
SHIM = "/usr/lib/failover/lab/stall_fsync.so"


def files_of(host: LabHost, config: Path, directory: Path, stall_shim: bool) -> Iterator[HostFile]:
    """Every file of one host. LabError when deploy/ has none for it."""
    yield HostFile(ETC / "failover.yaml", config.read_bytes())
    yield from _secrets(host, directory / "secrets")
    yield from _keys(host, load(config), directory / "secrets")
    if stall_shim:
        yield HostFile(
            PurePosixPath("/etc/systemd/system/patroni.service.d/90-lab-stall.conf"),
            f"[Service]\nEnvironment=LD_PRELOAD={SHIM}\n".encode(),
        )
    if host.role is Role.CLIENT:
        yield HostFile(ETC / "site", f"{host.site}\n".encode())
        return
    tree = _tree(host, config)
    for path in sorted(tree.rglob("*")):
        if path.is_file():
            mode = 0o755 if os.access(path, os.X_OK) else 0o644
            yield HostFile("/" / PurePosixPath(path.relative_to(tree)), path.read_bytes(), mode)


def kernel_settings(host: LabHost, config: Path) -> dict[str, str]:
    """What the host's files in sysctl.d ask of the kernel. LabError when deploy/ has no files."""
    if host.role is Role.CLIENT:
        return {}
    found = {}
    for path in sorted((_tree(host, config) / "etc/sysctl.d").glob("*.conf")):
        for line in path.read_text(encoding="utf-8").splitlines():
            name, is_setting, value = line.partition("=")
            if is_setting and not line.startswith("#"):
                found[name.strip()] = value.strip()
    return found


def _keys(host: LabHost, policy: Policy, directory: Path) -> Iterator[HostFile]:
    """Of its services, for ZooKeeper, where keys are shown."""
    if not policy.access.position.shown:
        return
    place = PurePosixPath(host.site, host.name)
    for name, source in dict(keys_of_hosts(policy)).get(place, {}).items():
        yield HostFile(ETC / "secrets" / name, (directory / source).read_bytes(), 0o600)


def _tree(host: LabHost, config: Path) -> Path:
    tree = config.parent / host.site / host.name
    if not tree.is_dir():
        raise LabError(
            f"{host.name}: there are no files for it in {tree}",
            todo="`failover config render` writes them",
        )
    return tree


def _secrets(host: LabHost, directory: Path) -> Iterator[HostFile]:
    yield HostFile(ETC / "secrets" / ".keep", b"", 0o600)
    for name in host.secrets:
        yield HostFile(ETC / "secrets" / name, (directory / name).read_bytes(), 0o600)
