"""What a unit forbids is forbidden: a program of the test's runs in the place of the unit's own."""

from __future__ import annotations

import json
import shlex

import pytest

from failover.lab.hosts import UNITS, LabHost, Role
from failover.lab.lab import Lab

pytestmark = pytest.mark.lab

# By `systemd-analyze security`: 0 is a locked room, 10 the whole host.
EXPOSURE_MOST = {
    "failover-controller.service": 1.5,
    "failover-fence.service": 3.4,
    "failover-guard-again.service": 3.4,
    "failover-guard.service": 3.3,
    "failover-residency.service": 2.1,
    "haproxy.service": 1.5,
    "patroni.service": 1.7,
    "zookeeper.service": 1.5,
}
ITS_OWN = {"/tmp", "/var/tmp"}  # with PrivateTmp=
WRITABLE = {
    "failover-controller.service": {*ITS_OWN, "/var/lib/failover"},
    "failover-guard.service": {"/run/failover", "/var/lib/failover"},
    "haproxy.service": {*ITS_OWN, "/run/haproxy"},
    "patroni.service": {
        *("/tmp", "/run/failover", "/var/lib/failover"),
        *("/run/patroni", "/run/postgresql", "/var/lib/postgresql", "/var/lib/postgresql/17"),
    },
    "zookeeper.service": {*ITS_OWN, "/var/lib/zookeeper"},
}
OPEN = "/srv/open-to-all"  # by its mode anybody may write there
TRIED = sorted({"/", "/etc", "/usr", "/var/tmp", OPEN, "/home", *set().union(*WRITABLE.values())})

# As the unit's user, in its sandbox. Of /proc/sys a value that changes nothing.
PROGRAM = f"""
import ctypes, json, os, socket
def refused(call):
    try:
        call()
    except OSError as error:
        return error.strerror
    return ""
def written(directory):
    path = directory + "/.test-units"
    if refused(lambda: open(path, "w").close()):
        return False
    os.unlink(path)
    return True
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *arguments):
    if getattr(libc, name)(*arguments) == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
lines = open("/proc/self/status").read().splitlines()
status = dict(line.split(":\\t", 1) for line in lines if ":\\t" in line)
print(json.dumps(dict(
    writable=[one for one in {TRIED!r} if written(one)],
    refused=dict(
        packets=refused(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW)),
        ciphers=refused(lambda: socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET)),
        namespace=refused(lambda: call("unshare", 0x10000000)),
        personality=refused(lambda: call("personality", 0x0040000)),
        trace=refused(lambda: call("ptrace", 0, 0, 0, 0)),
        mount=refused(lambda: call("mount", b"none", b"/proc", b"tmpfs", 0, None)),
    ),
    status={{key: status[key] for key in ("NoNewPrivs", "Seccomp", "CapBnd", "CapEff")}},
)))
"""
CAP_NET_ADMIN = 1 << 12


def in_place_of(unit: str) -> str:
    """Turned into a unit that runs PROGRAM once and leaves the directories of the real one."""
    left_out = ("Exec", "Type=", "Restart", "Watchdog", "NotifyAccess=", "Success", "Timeout")
    service = unit.partition("[Service]")[2].partition("[Install]")[0]
    lines = [line for line in _joined(service) if not line.startswith(left_out)]
    program = "ExecStart=/usr/bin/python3 -IS /run/test-units.py"
    return "\n".join(
        ["[Service]", *lines, "Type=oneshot", "RuntimeDirectoryPreserve=yes", program, ""]
    )


def _joined(text: str) -> list[str]:
    return text.replace("\\\n", " ").splitlines()


def run_in_place_of(lab: Lab, host: LabHost, unit: str) -> dict[str, dict[str, str]]:
    text = in_place_of(lab.shell(host.name, f"cat /etc/systemd/system/{unit}"))
    lab.shell(
        host.name,
        f"install -d -m 0777 {OPEN} && printf %s {shlex.quote(PROGRAM)} > /run/test-units.py && "
        f"printf %s {shlex.quote(text)} > /run/systemd/system/test-units.service && "
        "systemctl daemon-reload",
    )
    try:
        since = lab.shell(host.name, "date +%s.%3N").strip()
        lab.shell(host.name, "systemctl start test-units.service")
        said = lab.shell(
            host.name,
            f"journalctl --sync; journalctl -qo cat --since @{since} -u test-units.service "
            "_COMM=python3",
        )
    finally:
        lab.shell(
            host.name,
            "rm -rf /run/systemd/system/test-units.service /run/test-units.py "
            f"{OPEN}; systemctl daemon-reload",
        )
    found = json.loads(said)
    assert isinstance(found, dict)
    return found


def host_of(lab: Lab, role: Role) -> LabHost:
    return next(host for host in lab.all_hosts if host.role is role)


@pytest.mark.parametrize("unit", WRITABLE)
def test_a_unit_can_do_what_it_is_for_and_no_more(lab: Lab, unit: str) -> None:
    role = next(role for role, units in UNITS.items() if unit in units)
    found = run_in_place_of(lab, host_of(lab, role), unit)
    assert set(found["writable"]) == WRITABLE[unit]
    assert {what: bool(why) for what, why in found["refused"].items()} == dict.fromkeys(
        found["refused"], True
    )
    assert found["status"]["NoNewPrivs"] == "1"
    assert found["status"]["Seccomp"] == "2"
    capabilities = CAP_NET_ADMIN if unit == "failover-guard.service" else 0
    assert int(found["status"]["CapBnd"], 16) == capabilities
    assert int(found["status"]["CapEff"], 16) == capabilities


@pytest.mark.parametrize("role", [Role.DATABASE, Role.CONTROLLER, Role.PROXY, Role.ZOOKEEPER])
def test_no_unit_is_more_exposed_than_it_was_made(lab: Lab, role: Role) -> None:
    host = host_of(lab, role)
    there = lab.shell(host.name, "cd /etc/systemd/system; ls").split()
    units = [unit for unit in EXPOSURE_MOST if unit in there]
    assert set(units) >= {unit for unit in UNITS[role] if unit in EXPOSURE_MOST}
    for unit in units:
        lab.shell(
            host.name,
            "systemd-analyze security --no-pager --offline=true "
            f"--threshold={EXPOSURE_MOST[unit] * 10:.0f} /etc/systemd/system/{unit}",
        )


def test_the_residency_rules_load_in_their_sandbox(lab: Lab) -> None:
    """The lab does not start that unit by itself: here it loads its rules, and takes them away."""
    host = host_of(lab, Role.DATABASE)
    try:
        lab.shell(host.name, "systemctl start failover-residency.service")
        lab.shell(host.name, "systemctl reload failover-residency.service")
        assert "failover_residency" in lab.shell(host.name, "nft list tables")
    finally:
        lab.shell(
            host.name,
            "nft delete table inet failover_residency; systemctl stop failover-residency.service",
        )
