"""Every check there is, in the order of the table. Pure."""

from __future__ import annotations

from collections.abc import Collection

from failover.checks.access import ACCESS_CHECKS
from failover.checks.backups import BACKUP_CHECKS
from failover.checks.certificates import CERTIFICATE_CHECKS
from failover.checks.clients import CLIENT_CHECKS
from failover.checks.found import Found
from failover.checks.group import GROUP_CHECKS
from failover.checks.guard import GUARD_CHECKS
from failover.checks.hosts import HOST_CHECKS
from failover.checks.lease import LEASE_CHECKS
from failover.checks.patroni import PATRONI_CHECKS
from failover.checks.patroni_file import PATRONI_FILE_CHECKS
from failover.checks.postgresql import POSTGRESQL_CHECKS
from failover.checks.privileges import PRIVILEGE_CHECKS
from failover.checks.result import Check, Result, result
from failover.checks.zookeeper import ZOOKEEPER_CHECKS

CHECKS: tuple[Check, ...] = (
    *LEASE_CHECKS,
    *ZOOKEEPER_CHECKS,
    *ACCESS_CHECKS,
    *PATRONI_CHECKS,
    *PATRONI_FILE_CHECKS,
    *GUARD_CHECKS,
    *POSTGRESQL_CHECKS,
    *HOST_CHECKS,
    *CERTIFICATE_CHECKS,
    *BACKUP_CHECKS,
    *CLIENT_CHECKS,
    *PRIVILEGE_CHECKS,
    *GROUP_CHECKS,
)
NAMES = tuple(check.name for check in CHECKS)


def run(found: Found, names: Collection[str] = ()) -> tuple[Result, ...]:
    """Every check, or those of these names, in the order of the table."""
    return tuple(result(check, found) for check in CHECKS if not names or check.name in names)
