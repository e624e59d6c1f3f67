"""docs/metrics.md, from the tables. Pure.

``tests/unit/test_metrics.py`` demands that the page is current; `make reference` writes it anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from failover.metrics.table import LABELS, Kind, Metric

Chapter = tuple[str, Sequence[Metric]]

_TOP = """\
# Metrics

Made from `failover/metrics/names.py` and `failover/guard/guard_metrics.py` by `make reference`; do
not edit.

Every controller serves its own under `/metrics` on `controller.metrics_port` (9187), every guard
under `/metrics` on `guard_port` (8009). Units are seconds and bytes. What is not known is not
exported: absent, never 0. Alerts and rules: [deploy/prometheus](../deploy/prometheus/README.md).

Every metric of a controller has {controller}, every one of a guard {guard}; the column names the
labels beside these. The usual `process_*` metrics of the client library stand beside them.
"""


def page(
    controller: Iterable[Chapter],
    guard: Sequence[Metric],
    controller_labels: Sequence[str],
    guard_labels: Sequence[str],
) -> str:
    """The whole page."""
    chapters = [*controller, ("The guard of a database host", guard)]
    top = _TOP.format(controller=_words(controller_labels), guard=_words(guard_labels))
    used = {label for _, metrics in chapters for metric in metrics for label in metric.labels}
    used |= {*controller_labels, *guard_labels}
    parts = [top, *(_chapter(name, metrics) for name, metrics in chapters), _labels(used)]
    return "\n".join(parts)


def _chapter(name: str, metrics: Iterable[Metric]) -> str:
    rows = "".join(
        f"| `{metric.name}` | {metric.kind} | {_words(metric.labels)} | {unit(metric)} | "
        f"{metric.help} |\n"
        for metric in metrics
    )
    return f"## {name}\n\n| name | type | labels | unit | meaning |\n|---|---|---|---|---|\n{rows}"


def _labels(used: Iterable[str]) -> str:
    rows = "".join(f"| `{name}` | {LABELS[name]} |\n" for name in LABELS if name in set(used))
    return f"## Labels\n\n| label | its values |\n|---|---|\n{rows}"


def unit(metric: Metric) -> str:
    """By the name's ending, as Prometheus writes them; empty: a plain number."""
    name = metric.name.removesuffix("_total")
    if name.endswith("_timestamp_seconds"):
        return "seconds since 1970"
    for word in ("seconds", "bytes"):
        if name.endswith(f"_{word}"):
            return word
    return "events" if metric.kind is Kind.COUNTER else ""


def _words(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
