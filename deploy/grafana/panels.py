"""The kinds of panels of the dashboard. Blue is well, orange is not: told apart by every eye, and
every colour has a word beside it."""

from __future__ import annotations

from string import ascii_uppercase

from grafana_foundation_sdk.builders import common, prometheus, stat, statetimeline, timeseries
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models import dashboard as model

WELL, BAD, UNKNOWN, PLAIN = "blue", "orange", "purple", "text"
SOURCE = model.DataSourceRef(type_val="prometheus", uid="${datasource}")

Panel = Builder[model.Panel]
Words = dict[str, tuple[str, str]]  # value: what it is called, and its colour

YES_NO: Words = {"1": ("yes", WELL), "0": ("no", BAD)}
PASSING: Words = {
    "1": ("passes", WELL),
    "0": ("does not", BAD),
    "-1": ("unknown, which holds", UNKNOWN),
}
THERE: Words = {"1": ("yes", BAD)}


def ask(expression: str, legend: str, ref_id: str = "A") -> prometheus.Dataquery:
    return prometheus.Dataquery().expr(expression).legend_format(legend).ref_id(ref_id)


def called(words: Words) -> list[model.ValueMapping]:
    results = {
        value: model.ValueMappingResult(text=text, color=color, index=index)
        for index, (value, (text, color)) in enumerate(words.items())
    }
    return [model.ValueMap(options=results)]


def steps(*colors: tuple[float | None, str]) -> build.ThresholdsConfig:
    found = [model.Threshold(value=value, color=color) for value, color in colors]
    return build.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(found)


# --------------------------------------------------------------------------- kinds of panels


def number(
    title: str, text: str, expression: str, unit: str = "none", width: int = 4
) -> stat.Panel:
    """The newest value, large."""
    return (
        stat.Panel()
        .title(title)
        .description(text)
        .datasource(SOURCE)
        .with_target(ask(expression, "").instant())
        .unit(unit)
        .height(4)
        .span(width)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .graph_mode(options.BigValueGraphMode.NONE)
        .color_mode(options.BigValueColorMode.BACKGROUND)
        .thresholds(steps((None, PLAIN)))
    )


def name(title: str, text: str, expression: str, label: str, width: int = 4) -> stat.Panel:
    """The value of a label of the series that there is."""
    panel = number(title, text, expression, width=width).text_mode(options.BigValueTextMode.NAME)
    return panel.targets([ask(expression, f"{{{{{label}}}}}").instant()])


def lines(
    title: str, text: str, unit: str, *asked: tuple[str, str], width: int = 8
) -> timeseries.Panel:
    return (
        timeseries.Panel()
        .title(title)
        .description(text)
        .datasource(SOURCE)
        .targets([ask(*one, ref_id) for one, ref_id in zip(asked, ascii_uppercase, strict=False)])
        .unit(unit)
        .min(0)
        .height(8)
        .span(width)
        .fill_opacity(8)
        .show_points(options.VisibilityMode.NEVER)
        .legend(
            common.VizLegendOptions().show_legend(True).placement(options.LegendPlacement.BOTTOM)
        )
    )


def states(
    title: str, text: str, expression: str, legend: str, words: Words, width: int = 12
) -> statetimeline.Panel:
    """What was so when."""
    return (
        statetimeline.Panel()
        .title(title)
        .description(text)
        .datasource(SOURCE)
        .with_target(ask(expression, legend))
        .mappings(called(words))
        .thresholds(steps((None, PLAIN)))
        .height(8)
        .span(width)
        .show_value(options.VisibilityMode.AUTO)
        .legend(common.VizLegendOptions().show_legend(False))
    )
