#!/usr/bin/python3 -IS
"""The barriers of a database host: nothing passes here without the guard.

One file, no dependency, called by the names of links in /usr/lib/failover/barrier: ``postgres``
(every start), ``promote`` (``pg_ctl`` where it is to promote: pg_ctl.sh), ``pg_rewind`` (salvage
first), ``pre_promote`` (Patroni's hook) and ``recovery_end`` (the server's own: recovery_end.sh).
Each asks the guard over its unix socket, a line for a line, and the first three then become the
real binary by ``exec``.

Invariant: a start takes the server's lock first of all, and every process of that server inherits
it; a writable start or a promotion goes on only after an explicit yes. No answer is a no, within
two seconds, because Patroni loses sight of a server whose start takes longer. A promotion takes
the timeline number that was promised to it, or does not happen. Must stay tiny: it runs in every
start and every failover. Never print a secret; never refuse a rewind.

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
BARRIER_DIR = "/usr/lib/failover/barrier"

START_LIMIT_S = 1.8  # of the two seconds; the rest is for starting Python and for the exec
PROMOTE_LIMIT_S = 3.0
YES_HOLDS_S = 1.0  # from the guard's yes to the promotion
PASS_HOLDS_S = 0.4  # … where the hook has left a pass, so that nobody is asked once more
HOOK_LIMIT_S = 9.0  # of a lease of 6 s: for a patroni.yml that does not say --limit-s=
RECOVERY_TARGETS = (
    "recovery_target",
    "recovery_target_lsn",
    "recovery_target_name",
    "recovery_target_time",
    "recovery_target_xid",
)
STAY_DOWN = 200  # above 125 ends the startup process, and with it the server; 1 is a warning
RESERVED_MAX = 1000  # numbers left out at once; each is a file, on the disk before the promotion
RESERVED = b"# reserved by failover: promised elsewhere\n"
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
        elif name == "recovery_end":
            ask(arguments[0], "recovery_end", boottime_s() + PROMOTE_LIMIT_S)
        else:
            raise Refused("call me as postgres, promote, pg_rewind, pre_promote or recovery_end")
    except Refused as refusal:
        print(f"failover guard: {name} refused: {refusal}", file=sys.stderr, flush=True)
        return STAY_DOWN if name == "recovery_end" else 1
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
    forget_reserved(data_dir)
    if mode == "single":
        ask(cluster, "single", until_s)
    if mode == "writable":
        refuse_recovery_target(data_dir, arguments)
        ask(cluster, "permit start", until_s)
    become("postgres", [*arguments, at_recovery_end(cluster)])


def at_recovery_end(cluster: str) -> str:
    """The server itself asks before it leaves recovery: ``pg_promote()`` and a ``pg_ctl`` called by
    its path pass no other barrier. On the command line no file and no ALTER SYSTEM overrides it."""
    return f"--recovery_end_command={BARRIER_DIR}/recovery_end.sh {cluster}"


def promote(arguments: list[str]) -> None:
    """``pg_ctl promote``: just before it, once more."""
    data_dir = option(arguments, "-D") or os.environ.get("PGDATA")
    cluster = find_cluster(data_dir)
    promised = promised_timeline(ask(cluster, "permit promote", boottime_s() + PROMOTE_LIMIT_S))
    said_s = boottime_s()
    if promised is not None and data_dir is not None:
        reserve_timelines(data_dir, promised)
    if boottime_s() - said_s > YES_HOLDS_S:
        raise Refused("the disk took too long: the guard's yes is no news any more")
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
    """Patroni's hook, told the data directory, and how long a claim of somebody else is waited for
    (LeaseTiming.hook_limit_s; given up earlier, a healthy replica is barred for Patroni's ttl).

    Its yes leaves a pass for the promotion that follows at once: a second Python, started for the
    same question, cost a switchover 20 ms.
    """
    data_dir = option(arguments, "-D")
    cluster = find_cluster(data_dir)
    promised = promised_timeline(
        ask(cluster, "permit pre_promote", boottime_s() + hook_limit_s(arguments))
    )
    until_s = boottime_s() + PASS_HOLDS_S
    if data_dir is None or promised is None:
        return
    reserve_timelines(data_dir, promised)
    leave_pass(cluster, until_s)


def leave_pass(cluster: str, until_s: float) -> None:
    """Until when ``pg_ctl promote`` need not ask (pg_ctl.sh). None is left in doubt: it then asks.

    In hundredths of a second since the boot, as /proc/uptime counts: all that a shell can read.
    """
    path = f"{RUN_DIR}/guard-{cluster}.pass"
    try:
        with open(f"{path}.new", "w", encoding="ascii") as file:
            file.write(f"{int(until_s * 100)}\n")
        os.replace(f"{path}.new", path)
    except OSError as error:
        print(f"failover guard: no pass is left: {error}", file=sys.stderr, flush=True)


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


def hook_limit_s(arguments: list[str]) -> float:
    """Seconds, of ``--limit-s=SECONDS``."""
    for argument in arguments:
        if argument.startswith("--limit-s="):
            return seconds(argument.partition("=")[2])
    return HOOK_LIMIT_S


def seconds(text: str) -> float:
    """From above nothing to an hour: a number that is none would wait for ever, or not at all."""
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 0 < found <= 3600:
        raise Refused(f"--limit-s={text[:40]}: not a number of seconds, up to 3600")
    return found


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


# --------------------------------------------------------------------------- timelines

# PostgreSQL probes for the next history file, one number after the other, and takes the first that
# has none (findNewestTimeLine). So the numbers below the promised one get a file that names no
# ancestor: no running standby takes it for its future, and a receiver, which fetches every history
# up to the newest, finds one (docs/decisions/0010-timeline-numbers.md).


def promised_timeline(reason: str) -> int | None:
    """The guard's answer begins with it; None where nothing was promised (no state yet)."""
    name, _, number = reason.partition(" ")[0].partition("=")
    if name != "timeline":
        return None
    if not (number.isascii() and number.isdigit() and len(number) <= 10):
        raise Refused(f"the guard promises a timeline that is none: {number[:40]!r}")
    if not 0 < int(number) < 2**32:
        raise Refused(f"the guard promises timeline {number}, and there is none of that number")
    return int(number)


def reserve_timelines(data_dir: str, promised: int) -> None:
    """Make the server's next timeline the promised one. Where there is no gap it does nothing.

    Refused rather than another number: that may be another site's, and a site whose branch has the
    same number can only be copied anew. Whoever cannot write this file could not write the new
    timeline's own either, so a refusal costs nothing.
    """
    try:
        newest = control_timeline(data_dir)
        if promised - newest > RESERVED_MAX:
            raise Refused(
                f"timeline {promised} was promised, the server is on {newest}: more than "
                f"{RESERVED_MAX} numbers were left out, so a record is spoilt; see "
                "last_writer in ZooKeeper (docs/decisions/0010-timeline-numbers.md)"
            )
        for number in range(newest + 1, promised):
            if not os.path.exists(history_path(data_dir, number)):
                write_reserved(data_dir, number)
        chosen = first_free_timeline(data_dir)
    except OSError as error:
        raise Refused(f"timeline {promised} cannot be reserved: {error}") from None
    if chosen != promised:
        raise Refused(f"timeline {promised} was promised, PostgreSQL would take {chosen}")


def write_reserved(data_dir: str, number: int) -> None:
    """On the disk when this returns; one that is there is never touched."""
    path = history_path(data_dir, number)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, RESERVED)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    directory = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def forget_reserved(data_dir: str) -> None:
    """Before a start: reserved numbers that no real one follows are of a promotion that never was.

    A standby would take the last of them for the timeline to follow, and never come up. Also what a
    receiver had fetched when it was cut off before it came to the real one.
    """
    try:
        number = first_free_timeline(data_dir) - 1
        while is_reserved(history_path(data_dir, number)):
            os.unlink(history_path(data_dir, number))
            number -= 1
    except FileNotFoundError:
        pass  # the server's own timeline is the newest; or there is no server yet
    except OSError as error:
        print(f"failover guard: reserved timelines: {error}", file=sys.stderr, flush=True)


def is_reserved(path: str) -> bool:
    """One that a power cut left empty, or half written, too: PostgreSQL leaves none like that."""
    with open(path, "rb") as file:
        return RESERVED.startswith(file.read(len(RESERVED) + 1))


def first_free_timeline(data_dir: str) -> int:
    """What PostgreSQL would choose. The control file may be older than that, never newer."""
    number = control_timeline(data_dir) + 1
    while os.path.exists(history_path(data_dir, number)):
        number += 1
    return number


def control_timeline(data_dir: str) -> int:
    """Of the last checkpoint (control_file.py has the places)."""
    with open(f"{data_dir}/global/pg_control", "rb") as control_file:
        return int.from_bytes(control_file.read(52)[48:], "little")


def history_path(data_dir: str, number: int) -> str:
    return f"{data_dir}/pg_wal/{number:08X}.history"


# --------------------------------------------------------------------------- the guard


def ask(cluster: str, question: str, until_s: float) -> str:
    """What the guard says to its yes. Refused unless the answer is an explicit yes.

    A guard being restarted is waited for.
    """
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
    return reason


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
