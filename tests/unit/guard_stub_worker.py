"""A worker without ZooKeeper: renews while the file ``renew`` exists, says yes to every permit.

While the file ``stop`` exists, a plan has this guard stop its server; while ``mute`` exists, it
says nothing of its host.
The n-th question is promised timeline 100 + n.
"""

from __future__ import annotations

import argparse
import socket
import time
from pathlib import Path

from failover.guard.link import Link
from failover.guard.messages import (
    Answer,
    HostAnswer,
    HostAsk,
    PermitAnswer,
    PermitAsk,
    Renewed,
    SessionOpened,
    StateRead,
    WorkerAlive,
    decode_from_minder,
)

SESSION = 0x77


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=Path)
    parser.add_argument("--fd", type=int)
    parser.add_argument("--minder", type=int)
    parser.add_argument("--spare", action="store_true")
    said = parser.parse_args()
    connection = socket.socket(fileno=said.fd)
    if said.spare and not connection.recv(1, socket.MSG_PEEK):
        return
    link = Link(connection)
    link.send(SessionOpened(SESSION, "00ff"))
    link.send(StateRead(exists=True, epoch=1, plan_here=False))
    told = False
    while (lines := link.lines(0.05)) is not None:
        link.send(WorkerAlive())
        if told is not (stop := (said.directory / "stop").exists()):
            told = stop
            link.send(StateRead(exists=True, epoch=1, plan_here=stop, stop_here=stop))
        if (said.directory / "renew").exists():
            link.send(Renewed(SESSION, time.clock_gettime(time.CLOCK_BOOTTIME)))
        for message in map(decode_from_minder, lines):
            if isinstance(message, PermitAsk):
                number = message.request
                answer = PermitAnswer(number, Answer.YES, "granted", "", SESSION, 1, 100 + number)
                link.send(answer)
            elif isinstance(message, HostAsk) and not (said.directory / "mute").exists():
                link.send(HostAnswer(message.request, "{}"))


if __name__ == "__main__":
    main()
