"""Template tags of the console: formats, chips of active filters, parts of lists."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from django import template
from django.contrib.admin.views.main import PAGE_VAR, SEARCH_VAR, ChangeList
from django.utils.html import format_html
from django.utils.translation import gettext as _

from console import formats
from console.labels import action_label, change_rows, source_label

if TYPE_CHECKING:
    from django.utils.safestring import SafeString

register = template.Library()

register.filter("wan", formats.wan)
register.filter("count", formats.count)
register.filter("fen", formats.fen)
register.filter("rate", formats.rate)
register.filter("mask", formats.mask)
register.filter("tail", formats.tail)
register.filter("zone_words", formats.zone_words)
register.filter("action_label", action_label)
register.filter("source_words", source_label)
register.filter("change_rows", change_rows)


@register.filter
def local_time(moment: datetime | date | None) -> SafeString | str:
    """Show a moment in the brand's zone; hovering gives seconds and zone."""
    if isinstance(moment, datetime):
        return _time(moment, formats.local_time(moment))
    return formats.local_time(moment)


@register.filter
def ago(moment: datetime | None) -> SafeString | str:
    """Show how long ago a moment was."""
    return _time(moment, formats.ago(moment)) if moment else formats.NOTHING


def _time(moment: datetime, text: str) -> SafeString:
    return format_html('<time datetime="{}" title="{}">{}</time>', moment.isoformat(), formats.full_time(moment), text)


@register.simple_tag
def figure_value(figure: Any) -> str:
    """Give the value of a figure in its format."""
    show = {"rate": formats.rate, "money": formats.fen}.get(figure.kind, formats.wan)
    return show(figure.value)


@register.simple_tag
def percent(part: int | None, whole: int | None) -> str:
    """Give part of whole with one decimal."""
    return formats.rate(formats.share(part or 0, whole or 0))


@register.simple_tag
def chips(cl: ChangeList) -> list[dict[str, str]]:
    """Give the active filters of a list: what is filtered, and the address without it."""
    found = []
    if cl.query:
        found.append({"label": _("Search"), "value": cl.query, "without": cl.get_query_string(remove=[SEARCH_VAR])})
    for spec in cl.filter_specs:
        names = [name for name in spec.expected_parameters() if name and name in cl.filter_params]
        values = [value for name in names for value in cl.filter_params[name] if value not in ("", None)]
        if values:
            known = _choices_of(spec)
            text = ", ".join(str(known.get(str(value), value)) for value in values)
            found.append({"label": str(spec.title), "value": text, "without": cl.get_query_string(remove=names)})
    return found


def _choices_of(spec: Any) -> dict[str, Any]:
    if hasattr(spec, "lookup_choices"):
        return {str(choice[0]): choice[1] for choice in spec.lookup_choices if isinstance(choice, tuple | list)}
    field = getattr(spec, "field", None)
    if field is not None and getattr(field, "flatchoices", None):
        return {str(key): label for key, label in field.flatchoices}
    return {"1": _("Yes"), "0": _("No"), "True": _("Yes"), "False": _("No")}


@register.simple_tag
def listed(cl: Any) -> str:
    """Say how many rows the list holds, counted no further than 10,000."""
    number = getattr(cl, "bounded_count", None)
    if number is None:
        number = cl.result_count
    if number > 10_000:
        return _("More than %(number)s") % {"number": formats.wan(10_000)}
    return _("%(number)s in all") % {"number": formats.count(number)}


@register.filter
def field_errors(form: Any) -> list[dict[str, Any]]:
    """Give the errors of a form with the label of their field, for the summary on top."""
    rows: list[dict[str, Any]] = []
    for name, errors in form.errors.items():
        label = form.fields[name].label if name in form.fields else ""
        rows.extend({"label": label, "error": error, "id": f"id_{name}"} for error in errors)
    return rows


@register.inclusion_tag("console/_status.html")
def status(label: Any, tone: str = "", icon: str = "") -> dict[str, Any]:
    """Show a state as icon and word; `tone` is info, success, warning, danger or empty."""
    icons = {"info": "schedule", "success": "check_circle", "warning": "error", "danger": "cancel", "": "circle"}
    return {"label": label, "tone": tone, "icon": icon or icons.get(tone, "circle")}


@register.filter
def chart_rows(chart: Any) -> list[dict[str, Any]]:
    """Give the data of a chart as rows of a table."""
    return [
        {"label": label, "values": [series.values[index] for series in chart.series]}
        for index, label in enumerate(chart.labels)
    ]


@register.filter
def plain_number(value: float | None) -> str:
    """Give a table's number with commas; no data is `--`."""
    if value is None:
        return formats.NOTHING
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.2f}"


@register.filter
def unlocalized(value: float) -> str:
    """Give a number as scripts read it."""
    return repr(value)


@register.simple_tag
def page_link(cl: ChangeList, step: int) -> str:
    """Give the address of the page `step` pages further."""
    return cl.get_query_string({PAGE_VAR: cl.page_num + step})
