"""The image of the operations host: that of the other hosts, with two more packages.

Of its own, so that whoever does not ask for it builds and carries nothing. Named after a hash of
what goes into it, as the other one is.
"""

from __future__ import annotations

import hashlib
import io
import os

from docker.errors import APIError, ImageNotFound

from failover.lab import image
from failover.lab.errors import LabError

NAME = "failover-lab-monitoring"
DOCKERFILE = """\
FROM {base}
RUN apt-get update && apt-get install -y prometheus prometheus-alertmanager \\
 && rm -rf /var/lib/apt/lists/* /var/cache/debconf/*-old
"""


def tag() -> str:
    """The image's full name."""
    text = DOCKERFILE.format(base=image.tag())
    return f"{NAME}:{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def ensure(say: image.Say = lambda _: None) -> str:
    """The image's name, built first where it is not there. LabError says what is missing."""
    base, name, client = image.ensure(say), tag(), image.engine()
    try:
        client.images.get(name)
    except ImageNotFound:
        say(f"installing Prometheus and Alertmanager into the image {name} (once)")
    else:
        return name
    proxies = {k: v for k, v in os.environ.items() if k.lower() in ("http_proxy", "https_proxy")}
    text = io.BytesIO(DOCKERFILE.format(base=base).encode())
    log: list[str] = []
    try:
        for event in client.api.build(
            fileobj=text, tag=name, buildargs=proxies, rm=True, forcerm=True, decode=True
        ):
            log.append(event.get("stream", "") or event.get("error", ""))
            if "error" in event:
                raise LabError("the monitoring image cannot be built", log="".join(log[-25:]))
    except APIError as error:
        raise LabError(f"the monitoring image cannot be built: {error}") from None
    return name
