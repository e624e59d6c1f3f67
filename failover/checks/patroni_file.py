"""Patroni's own file on every host, and how it was started, against what is rendered. Pure."""

from __future__ import annotations

from failover.checks import flat
from failover.checks.found import Found
from failover.checks.guard import HEAR_GUARD, silent_guards
from failover.checks.host_report import BARRIER_KEYS, HOOK_KEYS, PATRONI_KEYS
from failover.checks.patroni import DEFAULTS
from failover.checks.result import Check, Said, Subject, of
from failover.health.observation import NoAnswer

# Patroni's config.py; PATRONI_POSTGRESQL_BIN_… are `start-barrier`'s.
_WIN_OVER_THE_FILE = (
    "PATRONI_NAME",
    "PATRONI_SCOPE",
    "PATRONI_ZOOKEEPER_",
    "PATRONI_POSTGRESQL_DATA_DIR",
)


def file(found: Found) -> Said:
    """Its own file, key by key; the barriers' keys are checked with the barriers."""
    elsewhere = (*BARRIER_KEYS, *HOOK_KEYS)
    wrong, doubtful = [], []
    for each in found.hosts:
        name, report = each.host.name, each.report
        if isinstance(report, NoAnswer):
            continue
        seen = report.patroni
        if seen.problem:
            wrong.append(f"{name}: patroni.yml cannot be read ({seen.problem})")
            continue
        rendered = found.expected.host(name).patroni
        have, want = (
            flat.without_defaults(flat.without(settings, elsewhere), DEFAULTS)
            for settings in (dict(seen.settings), rendered)
        )
        wrong += [f"{name}: {text}" for text in flat.differences(have, want)]
        wrong += [f"{name}: {text}, which is not rendered" for text in flat.extra(have, want)]
        if seen.by_guard is False:
            wrong.append(
                f"{name}: Patroni was not started by `failover guard patroni`: install the "
                "rendered unit and restart it (pause the scope first, so that the server goes on)"
            )
        wrong += [
            f"{name}: Patroni's environment has {variable}, which wins over the file"
            for variable in seen.environment or ()
            if variable.startswith(_WIN_OVER_THE_FILE)
        ]
        if (
            seen.started_unix_s
            and seen.changed_unix_s
            and (seen.changed_unix_s > seen.started_unix_s)
        ):
            doubtful.append(
                f"{name}: patroni.yml is newer than the process: if it was not reloaded since, "
                "reload it (nothing shows that, so this stays until Patroni's next start)"
            )
    return of(
        f"patroni.yml of {len(found.hosts)} hosts is as rendered in {len(PATRONI_KEYS)} keys",
        wrong=wrong,
        doubtful=doubtful,
        unseen=silent_guards(found),
        unseen_fix=HEAR_GUARD,
    )


PATRONI_FILE_CHECKS = (
    Check(
        "patroni-file",
        Subject.PATRONI,
        "Patroni's own file on every host is as rendered, and `failover guard patroni` started it.",
        "Write patroni.yml anew (`failover config render`), `systemctl reload patroni`.",
        "docs/decisions/0006-patroni-leaves-silent-servers.md",
        file,
    ),
)
