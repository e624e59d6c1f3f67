"""As whom a command asks, by the keys that it shows ZooKeeper.

What is refused here would be refused by ZooKeeper or by the controller as well: it is only said at
once, and with what to do about it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from failover.access import Role
from failover.cli.exit_codes import ExitCode
from failover.cli.output import UserError

if TYPE_CHECKING:
    from failover.coordination.store import Store
    from failover.policy import Policy

PAGE = "docs/operations/access.md"
_APPROVE = frozenset({Role.APPROVER, Role.CONTROLLER, Role.ADMIN})
_WRITE_STATE = frozenset({Role.CONTROLLER, Role.ADMIN})


def roles_shown(store: Store) -> frozenset[str]:
    """The names of the keys that this process shows."""
    keys = getattr(store, "keys", None)
    return keys.names if keys is not None else frozenset()


def as_approver(policy: Policy, store: Store, *, needed: bool) -> bool:
    """Whether a request goes where approvers ask. UserError where it has to, and may not."""
    if not policy.access.position.shown:
        return False
    may = bool(_APPROVE & roles_shown(store))
    if needed and not may and policy.access.position.closed:
        raise not_enough(store, Role.APPROVER, "accepting loss, or saying that a site is fenced,")
    return may


def writes_state(policy: Policy, store: Store) -> bool:
    """Settings are written by this process; else a controller is asked to."""
    if not policy.access.position.closed:
        return True
    return bool(_WRITE_STATE & roles_shown(store))


def not_enough(store: Store, role: Role, what: str) -> UserError:
    """Says whose key it takes, whose is shown, and what to do."""
    shown = ", ".join(sorted(roles_shown(store))) or "none"
    return UserError(
        f"{what} takes the key of the role {role}; shown here: {shown}",
        where="$FAILOVER_KEYS, or /etc/failover/secrets",
        todo=f"name the directory with that key in $FAILOVER_KEYS, or ask who has it: {PAGE}",
        code=ExitCode.FORBIDDEN,
    )
