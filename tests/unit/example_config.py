"""deploy/failover.yaml with its switches in other positions."""

from __future__ import annotations

from pathlib import Path

EXAMPLE = (Path(__file__).parents[2] / "deploy" / "failover.yaml").read_text(encoding="utf-8")
WIRES = ("zookeeper", "postgresql", "patroni", "http")


def example(*, acl: str = "off", **tls: str) -> str:
    """Its text with every wire off and the tree open but for what is said here, in YAML."""
    said = {**dict.fromkeys(WIRES, "off"), **tls}
    wires = ", ".join(f"{key}: {value}" for key, value in said.items())
    return f"{EXAMPLE}tls: {{{wires}}}\nzookeeper: {{acl: {acl}}}\n"
