"""What Alertmanager notifies in the lab: every webhook is one line of a file. Runs on its own.

``POST /<receiver>`` appends {received_unix_s, receiver, notification}; ``GET /`` is the whole file.
The standard library alone: `python3 receiver.py PORT FILE`.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


def make_server(address: tuple[str, int], file: Path) -> ThreadingHTTPServer:
    """A server that is bound and not yet serving."""
    writing = threading.Lock()

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            try:
                notification = json.loads(body)
            except ValueError:
                self.send_error(400, "not JSON")
                return
            line = {
                "received_unix_s": time.time(),
                "receiver": self.path.strip("/"),
                "notification": notification,
            }
            with writing, file.open("a", encoding="utf-8") as out:
                out.write(json.dumps(line) + "\n")
            self._answer(b"")

        def do_GET(self) -> None:
            with writing:
                self._answer(file.read_bytes() if file.exists() else b"")

        def _answer(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/jsonl")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """The file is the record."""

    return ThreadingHTTPServer(address, Receiver)


if __name__ == "__main__":
    make_server(("0.0.0.0", int(sys.argv[1])), Path(sys.argv[2])).serve_forever()
