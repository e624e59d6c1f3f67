"""One notification to one command, once: JSON on its standard input. A thin edge.

Invariant: the environment is the one that stands here, nothing of the controller's; at the limit
the command is killed with all that it has started. Only exit code 0 counts as delivered.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import tempfile

from failover.notifications.documents import body
from failover.notifications.due import Notification
from failover.policy import CommandHook, WebhookFormat

LIMIT_S = 30.0
OUTPUT_LENGTH_MAX = 300
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
}


async def deliver(
    hook: CommandHook, notification: Notification, left_out: int, *, limit_s: float = LIMIT_S
) -> str:
    """Empty: it ended with 0. Else why it is not delivered, with the beginning of what it said."""
    data = body(WebhookFormat.JSON, notification, left_out, hook.name)
    with tempfile.TemporaryFile() as output:
        try:
            process = await asyncio.create_subprocess_exec(
                hook.path,
                stdin=asyncio.subprocess.PIPE,
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
                env=ENVIRONMENT,
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            return f"it cannot be run: {error}"
        try:
            async with asyncio.timeout(limit_s):
                await process.communicate(data)
        except TimeoutError:
            return f"it had not ended after {limit_s:g} s, and was killed"
        finally:  # also where the controller leads no more
            if process.returncode is None:
                with contextlib.suppress(OSError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        if process.returncode == 0:
            return ""
        output.seek(0)
        said = output.read(OUTPUT_LENGTH_MAX).decode(errors="replace").strip()
        return f"it ended with {process.returncode}: {said}"
