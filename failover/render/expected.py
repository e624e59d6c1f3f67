"""What `failover config render` says of the database hosts, as `failover check` compares it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path, PurePosixPath

import yaml

import failover
from failover.checks.flat import flat, only, without
from failover.checks.found import Expected, ExpectedFunction, ExpectedHost, ExpectedScope
from failover.checks.host_report import BARRIERS, PATRONI_FILE, PATRONI_KEYS, RENDERED_FILES
from failover.policy import DatabaseHost, Policy
from failover.render.files import Tree, render

_SHIPPED = Path(failover.__file__).parent / "guard"


def expected(policy: Policy, configuration: bytes) -> Expected:
    """``configuration``: failover.yaml as it was read."""
    tree = render(policy)
    hosts = [host for cluster in policy.clusters for host in cluster.hosts]
    scopes = {(host.cluster, host.site): _patroni(tree, host) for host in hosts}
    return Expected(
        hosts=tuple(_host(tree, host) for host in hosts),
        scopes=tuple(
            ExpectedScope(
                cluster, site, without(flat(document["bootstrap"]["dcs"]), ("standby_cluster",))
            )
            for (cluster, site), document in scopes.items()
        ),
        configuration_sha256=sha256(configuration).hexdigest(),
        barriers=tuple(
            (name, sha256((_SHIPPED / file).read_bytes()).hexdigest())
            for name, file in BARRIERS.items()
        ),
    )


def _host(tree: Tree, host: DatabaseHost) -> ExpectedHost:
    texts = {path: tree[_path(host, path)] for path in RENDERED_FILES}
    sql = "".join(text for path, text in texts.items() if path.endswith(".sql"))
    return ExpectedHost(
        host=host.name,
        patroni=only(flat(_patroni(tree, host)), PATRONI_KEYS),
        files=tuple((path, sha256(text.encode()).hexdigest()) for path, text in texts.items()),
        functions=tuple(_functions(sql)),
    )


_TEXT = re.compile(
    r"^CREATE (?:OR REPLACE )?FUNCTION (failover\.\w+)\(.*?\$\$(.*?)\$\$;", re.DOTALL | re.MULTILINE
)
_OWNER = re.compile(r"^ALTER FUNCTION ((failover\.\w+)\(.*\)) OWNER TO (\w+);$", re.MULTILINE)


def _functions(sql: str) -> Iterator[ExpectedFunction]:
    """Those with an owner of their own; a signature as PostgreSQL writes it (regprocedure)."""
    texts = dict(_TEXT.findall(sql))
    for signature, name, owner in _OWNER.findall(sql):
        digest = sha256(texts[name].encode()).hexdigest()
        yield ExpectedFunction(signature.replace(", ", ","), owner, digest)


def _patroni(tree: Tree, host: DatabaseHost) -> dict[str, dict[str, object]]:
    found = yaml.safe_load(tree[_path(host, PATRONI_FILE.lstrip("/"))])
    assert isinstance(found, dict)
    return found


def _path(host: DatabaseHost, path: str) -> PurePosixPath:
    return PurePosixPath(host.site, host.name, path)
