"""docs/checks.md, from the table. Pure.

``tests/unit/test_checks_page.py`` demands that it is current; `make reference` writes it anew.
"""

from __future__ import annotations

from collections.abc import Iterable

from failover.checks.result import Check, Subject

_TOP = """\
# Checks

Made from `failover/checks/` by `make reference`; do not edit.

`failover check` holds every assumption of the design against the system as it runs. It reads only.
Run it on a controller's host, as the controller's user: from elsewhere the databases let nobody in,
and what only they can tell is unknown.

| verdict | means |
|---|---|
| ok | it is as the design assumes; the sentence has what was measured |
| warning | it works, and somebody should know |
| failed | the design assumes otherwise: exit code 1 |
| unknown | it cannot be seen from here; the fix says what would show it. With † exit code 1 |

`--only NAME` runs one check (or several, said again); `--details` shows what is in order as well;
`-o json` is [documented](cli.md#check-schema-1).
"""


def page(checks: Iterable[Check]) -> str:
    """The whole page."""
    every = tuple(checks)
    return "\n".join([_TOP, *(_chapter(subject, every) for subject in Subject)])


def _chapter(subject: Subject, checks: tuple[Check, ...]) -> str:
    rows = "".join(
        f"| `{check.name}`{' †' if check.unknown_fails else ''} | {check.assumes} | {check.fix} | "
        f"{_source(check.source)} |\n"
        for check in checks
        if check.subject is subject
    )
    title = subject.value[0].upper() + subject.value[1:]
    head = "| name | what is assumed | where it is not | from |\n|---|---|---|---|\n"
    return f"## {title}\n\n{head}{rows}"


def _source(source: str) -> str:
    """A page of ours is a link, whatever else stays text."""
    if source.startswith("docs/") and " " not in source:
        path = source.removeprefix("docs/")
        return f"[{path.rpartition('/')[2].removesuffix('.md')}]({path})"
    return f"`{source}`" if source.startswith("failover/") and " " not in source else source
