"""Does what a page of docs/operations says, and keeps what was printed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from clean_hosts import BLOCK_LIMIT_S, CleanHosts
from install_guide import ADMINISTRATOR, ROOT, Block, hosts_named

from failover.lab.containers import in_parallel

AT_ONCE = 3


class Follower:
    """``ssh``: the administrator's way to a host, a script in place of the program."""

    def __init__(self, hosts: CleanHosts, home: Path, ssh: str) -> None:
        self._hosts = hosts
        self._home = home
        self.printed: list[str] = []
        stub = home / "bin" / "ssh"
        stub.parent.mkdir()
        stub.write_text(ssh)
        stub.chmod(0o755)

    def follow(self, block: Block) -> None:
        """AssertionError, with all that was said, where it does not succeed."""
        print(f"--- block {block.number}, line {block.line}, on {block.where}", flush=True)
        if block.where == ADMINISTRATOR:
            self._as_administrator(block)
            return
        named = hosts_named(self._hosts.lab.policy, block.where)
        in_parallel(lambda host: self._on(host.name, block), named, AT_ONCE)

    def _as_administrator(self, block: Block) -> None:
        environment = {
            **os.environ,
            "HOME": str(self._home),
            "PATH": f"{self._home / 'bin'}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
        }
        ended = subprocess.run(
            ["sh", "-eu", "-c", block.script],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=BLOCK_LIMIT_S,
            check=False,
        )
        self._judge("administrator", block, ended.returncode, ended.stdout)

    def _on(self, host: str, block: Block) -> None:
        ended = self._hosts.run(host, block.script)
        said = ended.out
        if ended.code != 0:
            said += self._hosts.containers.journal(host, lines=60)
        self._judge(host, block, ended.code, said)

    def _judge(self, who: str, block: Block, code: int, said: str) -> None:
        self.printed.append(said)
        print(f"[{who}] exit {code}\n{said.rstrip()}", flush=True)
        assert code == 0, f"line {block.line} of the page fails on {who}: exit {code}\n{said}"
