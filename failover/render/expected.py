"""What `failover config render` says of the database hosts, as `failover check` compares it."""

from __future__ import annotations

from hashlib import sha256
from pathlib import PurePosixPath

import yaml

from failover.checks.flat import flat, only, without
from failover.checks.found import Expected, ExpectedHost, ExpectedScope
from failover.checks.host_report import PATRONI_FILE, PATRONI_KEYS, RENDERED_FILES
from failover.policy import DatabaseHost, Policy
from failover.render.files import Tree, render


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
    )


def _host(tree: Tree, host: DatabaseHost) -> ExpectedHost:
    texts = ((path, tree.get(_path(host, path))) for path in RENDERED_FILES)
    return ExpectedHost(
        host=host.name,
        patroni=only(flat(_patroni(tree, host)), PATRONI_KEYS),
        files=tuple(
            (path, sha256(text.encode()).hexdigest()) for path, text in texts if text is not None
        ),
    )


def _patroni(tree: Tree, host: DatabaseHost) -> dict[str, dict[str, object]]:
    found = yaml.safe_load(tree[_path(host, PATRONI_FILE.lstrip("/"))])
    assert isinstance(found, dict)
    return found


def _path(host: DatabaseHost, path: str) -> PurePosixPath:
    return PurePosixPath(host.site, host.name, path)
