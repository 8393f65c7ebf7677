"""Sequences in words and on a phone: for the preview, the report and the list."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from console import formats
from console.columns import excerpt
from library.models import MediaItem
from welcomes import plan

if TYPE_CHECKING:
    from collections.abc import Sequence as Several
    from datetime import datetime

    from welcomes.models import Sequence
    from welcomes.plan import Step
    from welcomes.selectors import Arm, Report

_MINUTE, _HOUR = 60, 3600


def after(span: timedelta) -> str:
    """Give when a step comes, as people say it."""
    seconds = int(span.total_seconds())
    if not seconds:
        return _("at once")
    if seconds % _HOUR == 0:
        hours = seconds // _HOUR
        return ngettext("%(n)s hour after the follow", "%(n)s hours after the follow", hours) % {"n": hours}
    if seconds % _MINUTE == 0:
        minutes = seconds // _MINUTE
        return ngettext("%(n)s minute after the follow", "%(n)s minutes after the follow", minutes) % {"n": minutes}
    return _("%(n)s seconds after the follow") % {"n": seconds}


def conditions(step: Step, tags: dict[int, str], *, at: datetime) -> list[str]:
    """Give for whom a step is and what it waits for."""
    found = []
    if step.unless_joined:
        found.append(_("not yet a member"))
    if step.unless_acted:
        found.append(_("no answer yet"))
    if step.tag_id is not None:
        found.append(_("has the tag “%(name)s”") % {"name": tags.get(step.tag_id, "--")})
    if not plan.needs_no_act(step, at=at):
        held = _("waits until they write or tap, for that allows it")
        found.append(held if step.waits else _("left out unless they have written or tapped before"))
    return found


def phone(sequence: Sequence, tags: dict[int, str], *, at: datetime) -> dict[str, Any]:
    """Give the saved steps as somebody sees them on the phone."""
    items = {step.item for step in plan.read_steps(sequence.steps) if step.item is not None}
    names = dict(MediaItem.objects.filter(pk__in=items).values_list("pk", "name")) if items else {}
    bubbles: list[dict[str, Any]] = [{"kind": "note", "text": _("follows")}]
    for step in plan.read_steps(sequence.steps):
        when = " · ".join([after(step.after), *conditions(step, tags, at=at)])
        bubbles += [{"kind": "note", "text": when}, *_bubbles(step, names)]
    return {"account": sequence.account.name, "bubbles": bubbles}


def _bubbles(step: Step, names: dict[int, str]) -> list[dict[str, Any]]:
    named = names.get(step.item or 0, _("a file that is no longer in the library"))
    if step.kind == plan.IMAGE:
        return [{"kind": "news", "title": _("Picture"), "text": named}]
    if step.kind == plan.MINI:
        return [{"kind": "news", "title": step.title, "text": _("Mini program · %(cover)s") % {"cover": named}}]
    return [{"kind": "text", "text": step.text}]


def said(step: Step) -> str:
    """Give what a step sends, in one line."""
    if step.kind == plan.IMAGE:
        return _("Picture")
    return step.title if step.kind == plan.MINI else step.text


def figures(report: Report) -> dict[str, Any]:
    """Give both groups, their difference and whether it is certain, as the page shows them."""
    lift = report.lift
    return {
        "groups": [
            _group(_("with the sequence"), report.treated),
            _group(_("control group"), report.control),
        ],
        "lift": _points(lift.difference) if lift else "",
        "low": _points(lift.low) if lift else "",
        "high": _points(lift.high) if lift else "",
        "certain": lift.certain if lift else False,
        "under_way": report.under_way,
        "window_refusals": report.window_refusals,
    }


def step_rows(steps: Several[Step], report: Report) -> list[dict[str, Any]]:
    """Give what came of each step, in their order; steps that are no longer there come last."""
    known = [step.key for step in steps]
    texts = {step.key: (after(step.after), excerpt(said(step), 40)) for step in steps}
    keys = [*known, *sorted(set(report.steps) - set(known))]
    rows = []
    for key in keys:
        figures_of = report.steps.get(key)
        when, text = texts.get(key, (_("a step that was removed"), ""))
        skipped = figures_of.skipped if figures_of else ()
        rows.append(
            {
                "when": when,
                "text": text,
                "sent": figures_of.sent if figures_of else 0,
                "refused": figures_of.refused if figures_of else 0,
                "left_out": figures_of.left_out if figures_of else 0,
                "reasons": [{"label": plan.reason(why), "count": count} for why, count in skipped],
            }
        )
    return rows


def _group(label: str, arm: Arm) -> dict[str, Any]:
    return {
        "label": label,
        "people": arm.people,
        "activated": arm.activated,
        "acted": arm.acted,
        "joined": arm.joined,
        "rate": formats.rate(arm.share.rate) if arm.share.rate is not None else formats.NOTHING,
    }


def _points(difference: float) -> str:
    return _("%(points)s percentage points") % {"points": f"{difference * 100:+.1f}"}
