#!/usr/bin/python3 -IS
"""The barriers of a database host: nothing passes here without the guard.

One file, no dependency, called under four names (links in /usr/lib/failover/barrier): ``postgres``
(every start), ``promote`` (``pg_ctl`` where it is to promote: pg_ctl.sh), ``pg_rewind`` (salvage
first) and ``pre_promote`` (Patroni's hook). Each asks the guard over its unix socket, a line for a
line, and then becomes the real binary by ``exec``.

Invariant: a start takes the server's lock first of all, and every process of that server inherits
it; a writable start or a promotion goes on only after an explicit yes. No answer is a no, within
two seconds, because Patroni loses sight of a server whose start takes longer. Must stay tiny: it
runs in every start and every failover. Never print a secret; never refuse a rewind.

The cheapest modules only: ``socket`` and ``json`` bring enum, re and collections along, and cost
more than Python's own start (20 of 40 ms; doubled on a busy host, and twice in a promotion).
"""

import _socket
import fcntl
import os
import sys
import time

BIN_DIR = "/usr/lib/postgresql/17/bin"
RUN_DIR = "/run/failover"
STATE_DIR = "/var/lib/failover"

START_LIMIT_S = 1.8  # of the two seconds; the rest is for starting Python and for the exec
PROMOTE_LIMIT_S = 3.0
HOOK_LIMIT_S = 9.0  # the claim's session, two ticks, and one more question
RECOVERY_TARGETS = (
    "recovery_target",
    "recovery_target_lsn",
    "recovery_target_name",
    "recovery_target_time",
    "recovery_target_xid",
)
HARMLESS = ("--describe-config", "--version", "-V", "--help", "-?", "-C")


class Refused(Exception):
    """The guard said no, or did not answer. The message says why."""


def main(argv: list[str]) -> int:
    name = os.path.basename(argv[0])
    arguments = argv[1:]
    try:
        if name == "postgres":
            start(arguments)
        elif name == "promote":
            promote(arguments)
        elif name == "pg_rewind":
            rewind(arguments)
        elif name == "pre_promote":
            before_promotion(arguments)
        else:
            raise Refused("call me as postgres, promote, pg_rewind or pre_promote")
    except Refused as refusal:
        print(f"failover guard: {name} refused: {refusal}", file=sys.stderr, flush=True)
        return 1
    return 0


def start(arguments: list[str]) -> None:
    """Every start of the server: lock, note, permit where it would be writable, exec."""
    until_s = process_start_s() + START_LIMIT_S
    if any(argument in HARMLESS for argument in arguments):
        become("postgres", arguments)
    data_dir = option(arguments, "-D") or os.environ.get("PGDATA")
    if data_dir is None:
        raise Refused("no data directory (-D)")
    cluster = find_cluster(data_dir)
    take_lock(cluster, until_s)
    mode = start_mode(data_dir, arguments)
    write_note(cluster, mode, data_dir)
    if mode == "single":
        ask(cluster, "single", until_s)
    if mode == "writable":
        refuse_recovery_target(data_dir, arguments)
        ask(cluster, "permit start", until_s)
    become("postgres", arguments)


def promote(arguments: list[str]) -> None:
    """``pg_ctl promote``: just before it, once more."""
    cluster = find_cluster(option(arguments, "-D") or os.environ.get("PGDATA"))
    ask(cluster, "permit promote", boottime_s() + PROMOTE_LIMIT_S)
    become("pg_ctl", arguments)


def rewind(arguments: list[str]) -> None:
    """Wait until the WAL that the rewind would remove is copied; it never refuses."""
    if "--help" in arguments or "-?" in arguments or "--version" in arguments:
        become("pg_rewind", arguments)
    while True:
        try:
            cluster = find_cluster(option(arguments, "-D"))
            ask(cluster, "salvage", boottime_s() + 3600.0)
        except Refused as refusal:
            print(f"failover guard: pg_rewind waits: {refusal}", file=sys.stderr, flush=True)
            time.sleep(1.0)
            continue
        become("pg_rewind", arguments)


def before_promotion(arguments: list[str]) -> None:
    """Patroni's hook; an argument names the cluster where a host has several."""
    cluster = arguments[0] if arguments else find_cluster(None)
    ask(cluster, "permit pre_promote", boottime_s() + HOOK_LIMIT_S)


# --------------------------------------------------------------------------- pieces


def boottime_s() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def process_start_s() -> float:
    """When this process was forked: on a busy host Python's own start is part of the limit."""
    now_s = boottime_s()
    with open("/proc/self/stat", encoding="ascii", errors="replace") as stat:
        fields = stat.read().rpartition(")")[2].split()
    started_s = int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return min(now_s, max(started_s, now_s - 1.0))


def option(arguments: list[str], name: str) -> str | None:
    """The value of ``-D value`` or ``-Dvalue``; pg_rewind's ``--target-pgdata`` too."""
    for index, argument in enumerate(arguments):
        if argument in (name, "--target-pgdata", "--pgdata") and index + 1 < len(arguments):
            return arguments[index + 1]
        if argument.startswith(("--target-pgdata=", "--pgdata=")):
            return argument.partition("=")[2]
        if argument.startswith(name) and len(argument) > len(name) and argument[1] != "-":
            return argument[len(name) :]
    return None


def find_cluster(data_dir: str | None) -> str:
    """The data directory is named like the cluster; else the only guard of this host.

    A lock file will do: a standby starts also while the guard is being restarted.
    """
    try:
        sockets = [n for n in os.listdir(RUN_DIR) if n.startswith("guard-") and n.endswith(".sock")]
    except OSError:
        sockets = []
    clusters = [name[len("guard-") : -len(".sock")] for name in sockets]
    if data_dir is not None:
        name = os.path.basename(os.path.normpath(data_dir))
        if name in clusters or os.path.exists(f"{STATE_DIR}/{name}.lock"):
            return name
    if len(clusters) == 1:
        return clusters[0]
    raise Refused(f"no guard for {data_dir} in {RUN_DIR} (found: {', '.join(clusters) or 'none'})")


def take_lock(cluster: str, until_s: float) -> None:
    """The lock that proves who lives: every process started from here inherits it."""
    path = f"{STATE_DIR}/{cluster}.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o660)
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except OSError:
            if boottime_s() >= until_s:
                raise Refused(f"a process of the earlier server still lives ({path})") from None
            time.sleep(0.01)
    os.set_inheritable(descriptor, True)


def start_mode(data_dir: str, arguments: list[str]) -> str:
    if "--single" in arguments:
        return "single"
    # Both signals present: standby.signal wins (PostgreSQL manual, 19.5.4).
    return "standby" if os.path.exists(f"{data_dir}/standby.signal") else "writable"


def write_note(cluster: str, mode: str, data_dir: str) -> None:
    """What is started, and the control file as found: a later demotion is told by it."""
    try:
        with open(f"{data_dir}/global/pg_control", "rb") as control_file:
            control = control_file.read(512).hex()
    except OSError:
        control = ""
    note = '{"mode": "%s", "at_s": %r, "boot_id": "%s", "control": "%s"}'
    path = f"{STATE_DIR}/{cluster}.note"
    with open(f"{path}.new", "w", encoding="ascii") as file:
        file.write(note % (mode, boottime_s(), boot_id(), control))
    os.replace(f"{path}.new", path)


def boot_id() -> str:
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()


def refuse_recovery_target(data_dir: str, arguments: list[str]) -> None:
    """With recovery.signal alone the server would be writable somewhere in the past."""
    if not os.path.exists(f"{data_dir}/recovery.signal"):
        return
    import subprocess

    for name in RECOVERY_TARGETS:
        command = [f"{BIN_DIR}/postgres", "-C", name, *arguments]
        found = subprocess.run(command, capture_output=True, text=True, check=False)
        if found.returncode != 0 or found.stdout.strip():
            raise Refused(f"recovery.signal with {name} set: a writable server in the past")


def ask(cluster: str, question: str, until_s: float) -> None:
    """Refused unless the answer is an explicit yes. A guard being restarted is waited for."""
    path = f"{RUN_DIR}/guard-{cluster}.sock"
    while True:
        try:
            answer = ask_once(path, question, until_s)
            break
        except OSError as error:
            if boottime_s() + 0.1 >= until_s:
                raise Refused(f"the guard does not answer ({path}: {error})") from None
            time.sleep(0.05)
    said, _, reason = answer.partition(" ")
    if said != "yes":
        raise Refused(reason or "no reason given")


def ask_once(path: str, question: str, until_s: float) -> str:
    """One line of question, one of answer. A permit's question ends with the patience in seconds.

    OSError without a whole line: half an answer is none.
    """
    answer = b""
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        connection.settimeout(max(0.05, until_s - boottime_s()))
        connection.connect(path)
        if question.startswith("permit "):
            question = f"{question} {max(0.1, until_s - boottime_s() - 0.3):.3f}"
        connection.sendall(question.encode() + b"\n")
        while not answer.endswith(b"\n"):
            connection.settimeout(max(0.05, until_s - boottime_s()))
            chunk = connection.recv(65536)
            if not chunk:
                raise OSError("no answer, it hung up")
            answer += chunk
    finally:
        connection.close()
    return answer.decode(errors="replace").rstrip("\n")


def become(name: str, arguments: list[str]) -> None:
    path = f"{BIN_DIR}/{name}"
    os.execv(path, [path, *arguments])


if __name__ == "__main__":
    sys.exit(main(sys.argv))
