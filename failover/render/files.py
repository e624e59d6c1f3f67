"""Which host gets which file, and the values its template sees."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import PurePosixPath

from jinja2 import Environment, PackageLoader, StrictUndefined

from failover.endpoints import endpoint
from failover.health.scope import slot_name
from failover.policy import Address, Cluster, DatabaseHost, Network, Policy, Purpose, Site
from failover.render.egress import groups, rules
from failover.residency.allowlist import Entry, entries
from failover.residency.ways import DENIED_EXTENSIONS, REFUSED_TAGS, SETTINGS
from failover.timing import INIT_LIMIT_TICKS, lease_timing

Tree = dict[PurePosixPath, str]  # "<site>/<host>/<path on the host>" and the file's text

WATCHDOG = "etc/systemd/system.conf.d/60-failover-watchdog.conf"
_UNITS = "etc/systemd/system"
_TMPFILES = "etc/tmpfiles.d/failover.conf"
_TLS_TMPFILES = "etc/tmpfiles.d/failover-tls.conf"


def single(address: Address) -> str:
    """The network that has only this address."""
    return f"{address}/{address.max_prefixlen}"


def megabytes(size_bytes: int) -> str:
    """A size as PostgreSQL writes it, in whole megabytes and at least one."""
    return f"{max(1, size_bytes // 1024**2)}MB"


def data_dir(cluster: Cluster) -> str:
    """Where the data of a cluster lies on each of its hosts."""
    return f"/var/lib/postgresql/17/{cluster.name}"


def client_networks(policy: Policy) -> tuple[tuple[Network, str], ...]:
    """Where clients may come from, with a word on each for whoever reads the file."""
    return tuple(
        (entry.network, _said(entry))
        for entry in entries(policy)
        if entry.inside and Purpose.CLIENT in entry.declared.purposes
    )


def _said(entry: Entry) -> str:
    until = f", until {entry.declared.expires}" if entry.declared.expires else ""
    return f"{entry.site.name if entry.site else 'exception'}, {entry.declared.owner}{until}"


def quoted(names: Iterable[str]) -> str:
    """A list of literals in SQL; the names have no quotes in them."""
    return ", ".join(f"'{name}'" for name in names)


@cache  # compiling the templates is most of the work, and they are what they are
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("failover.render"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    environment.filters.update(
        endpoint=endpoint, single=single, slot=slot_name, megabytes=megabytes
    )
    return environment


def render(policy: Policy) -> Tree:
    """Every file of every host. Raises nothing for a policy that config.py accepted."""
    environment = _environment()
    shared = {
        "policy": policy,
        "timing": lease_timing(policy.lease_s),
        "init_limit_ticks": INIT_LIMIT_TICKS,
    }
    tree: Tree = {}
    for host_dir, path, template, values in _plan(policy):
        text = environment.get_template(template).render(**shared, **values)
        tree[host_dir / path] = text
    for site in policy.sites:
        for name in _host_names(policy, site):
            tree[PurePosixPath(site.name, name, "etc/failover/site")] = f"{site.name}\n"
        for server in site.zookeeper:
            myid = PurePosixPath(site.name, server.name, "etc/zookeeper/myid")
            tree[myid] = f"{server.myid}\n"
    return dict(sorted(tree.items()))


def adopt_sql() -> str:
    """For the primary of a cluster that was there before: roles and narrow functions alone."""
    template = _environment().get_template("adopt.sql.j2")
    return template.render(out_settings=quoted(SETTINGS))


_Planned = tuple[PurePosixPath, str, str, dict[str, object]]


def _plan(policy: Policy) -> Iterator[_Planned]:
    """(directory of the host, path on it, template, values) of every file with a template."""
    for site in policy.sites:
        yield from _site_files(policy, site)
        for name in _host_names(policy, site):
            path = "etc/systemd/journald.conf.d/60-failover.conf"
            yield PurePosixPath(site.name, name), path, "journald.conf.j2", {}
    for cluster in policy.clusters:
        for host in cluster.hosts:
            yield from _database_files(policy, cluster, host)


def _site_files(policy: Policy, site: Site) -> Iterator[_Planned]:
    for server in site.zookeeper:
        directory = PurePosixPath(site.name, server.name)
        values: dict[str, object] = {"site": site, "server": server}
        yield directory, "etc/zookeeper/zoo.cfg", "zoo.cfg.j2", values
        yield directory, f"{_UNITS}/zookeeper.service", "zookeeper.service.j2", values
        yield directory, "etc/sysctl.d/60-failover.conf", "zookeeper-sysctl.conf.j2", values
        yield directory, _TMPFILES, "tmpfiles.conf.j2", {"group": ""}
        yield directory, _TLS_TMPFILES, "tls-tmpfiles.conf.j2", {"user": "zookeeper"}
    for proxy in site.proxies:
        directory = PurePosixPath(site.name, proxy.name)
        values = {"site": site, "proxy": proxy, "client_networks": client_networks(policy)}
        yield directory, "etc/haproxy/haproxy.cfg", "haproxy.cfg.j2", values
        yield directory, f"{_UNITS}/haproxy.service", "haproxy.service.j2", values
        yield directory, _TLS_TMPFILES, "tls-tmpfiles.conf.j2", {"user": "haproxy"}
    directory = PurePosixPath(site.name, site.controller.name)
    unit = "failover-controller.service"
    yield directory, f"{_UNITS}/{unit}", f"{unit}.j2", {"site": site}
    for targets in ("controllers", "guards"):  # for a Prometheus at this site
        path = f"etc/failover/prometheus/{targets}.yml"
        yield directory, path, f"prometheus-{targets}.yml.j2", {"site": site}
    yield directory, "etc/sysusers.d/failover.conf", "sysusers.conf.j2", {}
    yield directory, _TMPFILES, "tmpfiles.conf.j2", {"group": "failover"}
    yield directory, _TLS_TMPFILES, "tls-tmpfiles.conf.j2", {"user": "failover"}


def _database_files(policy: Policy, cluster: Cluster, host: DatabaseHost) -> Iterator[_Planned]:
    directory = PurePosixPath(host.site, host.name)
    values: dict[str, object] = {
        "out_settings": quoted(SETTINGS),
        "denied_extensions": quoted(DENIED_EXTENSIONS),
        "refused_tags": quoted(REFUSED_TAGS),
        "client_networks": client_networks(policy),
        "groups": groups(policy),
        "rules": tuple(rules(policy, host)),
        "site": policy.site(host.site),
        "other_site": policy.other_data_site(host.site),
        "cluster": cluster,
        "host": host,
        # Only for the very first start; the controller keeps it at the present primary.
        "upstream": cluster.at(policy.initial_site)[0],
        "data_dir": data_dir(cluster),
        "archive_command": dict(policy.residency.settings).get("archive_command"),
    }
    yield directory, "etc/patroni/patroni.yml", "patroni.yml.j2", values
    yield directory, _TMPFILES, "tmpfiles.conf.j2", {"group": "postgres"}
    yield directory, _TLS_TMPFILES, "tls-tmpfiles.conf.j2", {"user": "postgres"}
    yield directory, "usr/local/bin/patronictl", "patronictl.j2", values
    for name in ("post-bootstrap", "post-bootstrap.sql", "residency.sql"):
        yield directory, f"usr/lib/failover/{name}", f"{name}.j2", values
    yield directory, "etc/failover/residency.nft", "residency.nft.j2", values
    yield directory, WATCHDOG, "failover-watchdog.conf.j2", values
    guard = ("failover-guard", "failover-guard-again", "failover-fence")
    for name in ("failover-residency", *guard, "patroni"):
        yield directory, f"{_UNITS}/{name}.service", f"{name}.service.j2", values


def _host_names(policy: Policy, site: Site) -> Iterator[str]:
    """Every host of a site, whatever it runs."""
    yield from (server.name for server in site.zookeeper)
    yield site.controller.name
    yield from (proxy.name for proxy in site.proxies)
    for cluster in policy.clusters:
        yield from (host.name for host in cluster.at(site.name))
