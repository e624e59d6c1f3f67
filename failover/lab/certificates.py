"""The lab's own authority and every host's certificate: made once per lab, kept under .lab/.

Only where a wire of its failover.yaml is secured. Made by what `failover pki` is made of.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from failover.lab.containers import HostFile
from failover.lab.hosts import LabHost
from failover.pki.directory import Directory
from failover.pki.names import host_names
from failover.policy import Policy
from failover.transport import AUTHORITY_FILE, HOST_FILE


def generate(policy: Policy, directory: Path) -> None:
    """What is not there yet. ``directory``: of the authority."""
    if not policy.tls.any:
        return
    authority, now = Directory(directory, policy.tls.directory), datetime.now(UTC)
    authority.init(policy.group, now)
    for names in host_names(policy):
        authority.issue(names, now)


def certificate_files(policy: Policy, host: LabHost, directory: Path) -> Iterator[HostFile]:
    """What a host gets; customers get only whom to believe. The key belongs to the unit's user."""
    if not policy.tls.any:
        return
    place = PurePosixPath(policy.tls.directory)
    mine = directory / host.site / host.name / place.relative_to("/")
    if not (mine / HOST_FILE).exists():
        anybody = next(directory.glob(f"*/*/{place.relative_to('/')}/{AUTHORITY_FILE}"))
        yield HostFile(place / AUTHORITY_FILE, anybody.read_bytes())
        return
    yield HostFile(place / AUTHORITY_FILE, (mine / AUTHORITY_FILE).read_bytes())
    yield HostFile(place / HOST_FILE, (mine / HOST_FILE).read_bytes(), 0o600)
