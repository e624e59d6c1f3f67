"""The operations host: brought up beside a lab that is up, from the files of deploy/prometheus.

Invariant: Prometheus and Alertmanager read exactly the files of the repository and the targets
that are rendered for the witness; what is added is the lab's receiver of notifications.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from failover.lab import stages
from failover.lab.containers import Containers, HostFile
from failover.lab.errors import LabError
from failover.lab.hosts import LabHost, Role
from failover.lab.image import Say
from failover.lab.monitoring import image
from failover.model import HostName, SiteKind
from failover.policy import Policy

HERE = Path(__file__).parent
ETC = PurePosixPath("/etc/prometheus")
FILES = ("prometheus.yml", "recording.rules.yml", "alerts.rules.yml", "alertmanager.yml")
RECEIVER_UNIT = "lab-notifications.service"
ADDRESS_OFFSET = 61  # x.x.x.61 in the witness's first network
PROMETHEUS_PORT, ALERTMANAGER_PORT, RECEIVER_PORT = 9090, 9093, 9099
READY_LIMIT_S = 30.0


def operations_host(policy: Policy) -> LabHost:
    """The host as a value. LabError where there is no witness to stand at."""
    for site in policy.sites:
        if site.kind is SiteKind.WITNESS:
            name = HostName(site.controller.name.replace("ctl", "ops"))
            return LabHost(name, site.name, site.networks[0][ADDRESS_OFFSET], Role.OPERATIONS)
    raise LabError("monitoring stands at the witness, and there is none")


def start(
    containers: Containers,
    policy: Policy,
    config: Path,
    say: Say,
    proofs: Callable[[LabHost], Iterator[HostFile]],
) -> LabHost:
    """The operations host, serving. LabError says what is late. ``proofs``: whom it believes."""
    host = operations_host(policy)
    name = image.ensure(say)
    say(f"Prometheus and Alertmanager on {host.name}")
    containers.start(host, name, {})
    containers.put(host.name, (*files(policy, config), *proofs(host)))
    ended = containers.exec(
        host.name,
        [
            "sh",
            "-c",
            f"systemctl daemon-reload && systemctl enable -q --now {' '.join(host.units)}",
        ],
    )
    if ended.code != 0:
        log = f"{ended.out}\n{containers.journal(host.name)}"
        raise LabError(f"{host.name}: monitoring does not start", log=log)
    for port in (PROMETHEUS_PORT, ALERTMANAGER_PORT):
        _wait_ready(containers, host, port)
    return host


def files(policy: Policy, config: Path) -> Iterator[HostFile]:
    """What is written into the host."""
    source = config.parent / "prometheus"
    for name in FILES:
        yield HostFile(ETC / name, (source / _ours(policy, name)).read_bytes())
    witness = next(site for site in policy.sites if site.kind is SiteKind.WITNESS)
    rendered = config.parent / witness.name / witness.controller.name / "etc/failover/prometheus"
    for path in sorted(rendered.iterdir()):
        yield HostFile(PurePosixPath("/etc/failover/prometheus") / path.name, path.read_bytes())
    unit = PurePosixPath("/etc/systemd/system") / RECEIVER_UNIT
    yield HostFile(unit, (HERE / RECEIVER_UNIT).read_bytes())


def _ours(policy: Policy, name: str) -> str:
    tls = name == "prometheus.yml" and policy.tls.http.dialled
    return "prometheus-tls.yml" if tls else name


def _wait_ready(containers: Containers, host: LabHost, port: int) -> None:
    def problem() -> str:
        code, said = stages.http_get(str(host.address), port, "/-/ready")
        return "" if code == 200 else f"port {port}: {said.strip()[:200]}"

    def journal() -> str:
        return containers.journal(host.name)

    stages.wait_for(host, READY_LIMIT_S, "is ready", problem, journal)
