"""What to do about a finding, one sentence for each way out, for whoever is woken up. Pure."""

from __future__ import annotations

from failover.residency.ways import BY_CODE

_FIND_OUT = "find out who made it (docs/operations/residency-finding.md)"
_HBA = "take the line out of pg_hba.conf, reload, render it again; " + _FIND_OUT
_CUT = "the scanner could not end it: end it on the host as the superuser; " + _FIND_OUT
_SLOT = "drop it, or give its owner a declared one; " + _FIND_OUT
_ROLE = "take the attribute or the membership from the role, or drop it; " + _FIND_OUT

TODO: dict[str, str] = {
    "walsender": _CUT,
    "base_backup": _CUT,
    "local_walsender": _CUT,
    "client": _CUT,
    "physical_slot": _SLOT,
    "logical_slot": _SLOT,
    "hba_line": _HBA,
    "hba_trust": _HBA,
    "hba_unreadable": "mend pg_hba.conf on the host (pg_hba_file_rules names the line), reload",
    "upstream": "look at primary_conninfo on the host; follow the active site again; " + _FIND_OUT,
    "setting": "reset it, or declare it under residency.settings; " + _FIND_OUT,
    "replication_role": _ROLE,
    "superuser_role": _ROLE,
    "program_role": _ROLE,
    "publication": "drop it; " + _FIND_OUT,
    "subscription": "disable and drop it; " + _FIND_OUT,
    "foreign_server": "drop it, with its user mappings; " + _FIND_OUT,
    "extension": "drop it, or have it accepted under residency.accepted; " + _FIND_OUT,
    "untrusted_language": "drop it; " + _FIND_OUT,
    "c_function": "drop it; " + _FIND_OUT,
    "trigger_missing": "run /usr/lib/failover/residency.sql once more on the primary, as superuser",
    "endpoint": "ask whose name it is; correct it, or where failover.yaml names it (residency."
    "endpoints, notifications), then `config check`",
    "host_outside": "declare its network anew (in Indonesia, for replication), or take it away",
    "unseen": "let failover_observer in again: pg_hba.conf, CONNECT on the database, residency.sql",
}

GAP_TODO = (
    "unknown is not clean: see that the host answers and that the controller of its site runs "
    "(docs/operations/controller-down.md)"
)


def todo(way: str) -> str:
    """What to do; a way that this version does not know was written by a newer one."""
    return TODO.get(way, f"`failover status -o json` has all of it; {_FIND_OUT}")


def what(way: str) -> str:
    """What it is, in a sentence; the code itself where this version does not know it."""
    known = BY_CODE.get(way)
    return known.what if known is not None else way
