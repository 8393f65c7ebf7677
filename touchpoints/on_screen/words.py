"""Channels in words: what a node is, how a code does, who scanned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.utils.translation import gettext as _

from console import formats
from touchpoints.models import SentBy, TouchCase
from touchpoints.origins import CONTACTS
from touchpoints.selectors import Ailment, CodeHealth

if TYPE_CHECKING:
    from datetime import datetime

    from touchpoints.models import MiniCode, Touchpoint


def kind_of(row: Touchpoint) -> str:
    """Say what a node is: a code is an object, the top is a medium, all between are places."""
    if row.scene:
        return _("Channel code")
    if row.origin == CONTACTS:
        return _("Guides' contacts in WeCom, as other systems report them")
    if row.origin:
        return _("People who scanned no code of ours, by what WeChat says of them")
    return _("Medium") if row.parent_id is None else _("Place")


def state_of(row: Touchpoint, health: CodeHealth | None, at: datetime) -> dict[str, str]:
    """Give the state of a node: word, tone and what it means."""
    ailments = health.ailments if health else ()
    label, tone, detail = _("in use"), "success", ""
    if row.archived_at is not None:
        label, tone, detail = _("archived"), "", _still_scanned(Ailment.ARCHIVED, health)
    elif not row.scene:
        label, tone = "", ""
    elif row.problem:
        label, tone, detail = _("needs attention"), "warning", row.problem
    elif not row.is_active:
        label, tone = _("not in use"), ""
    elif row.ends_at is not None and row.ends_at <= at:
        label, tone, detail = _("ended"), "", _still_scanned(Ailment.ENDED, health)
    elif health is not None and ailments:
        worst = min(ailments, key=_WORST.index)
        label, tone, detail = ailment_label(worst), _TONES[worst], ailment_text(worst, health)
    return {"label": label, "tone": "warning" if detail and not tone else tone, "detail": detail}


def _still_scanned(ailment: Ailment, health: CodeHealth | None) -> str:
    return ailment_text(ailment, health) if health and ailment in health.ailments else ""


_WORST: Final = [
    Ailment.EXPIRED,
    Ailment.PRINT_ENDS,
    Ailment.NOT_MADE,
    Ailment.ENDED,
    Ailment.ARCHIVED,
    Ailment.NO_SCAN,
]
_TONES: Final = {
    Ailment.EXPIRED: "danger",
    Ailment.PRINT_ENDS: "warning",
    Ailment.NOT_MADE: "info",
    Ailment.ENDED: "warning",
    Ailment.ARCHIVED: "warning",
    Ailment.NO_SCAN: "warning",
}


def ailment_label(ailment: Ailment) -> str:
    """Name what is wrong with a code."""
    return {
        Ailment.EXPIRED: _("expired"),
        Ailment.PRINT_ENDS: _("print expires"),
        Ailment.NOT_MADE: _("code not made yet"),
        Ailment.ENDED: _("ended"),
        Ailment.ARCHIVED: _("archived"),
        Ailment.NO_SCAN: _("no scan in 30 days"),
    }[ailment]


def ailment_text(ailment: Ailment, health: CodeHealth) -> str:
    """Say what is wrong with a code and what to do."""
    local = _local(health)
    return {
        Ailment.EXPIRED: _("Its picture no longer works. Make the code anew and print it again."),
        Ailment.PRINT_ENDS: _("What was printed stops working %(when)s. Print the new picture.") % local,
        Ailment.NOT_MADE: _("WeChat makes it in a moment; if not, open it and try again."),
        Ailment.ENDED: _("People still scan it: last %(scan)s. Take it down, or extend it.") % local,
        Ailment.ARCHIVED: _("People still scan it: last %(scan)s. Take it down, or restore it.") % local,
        Ailment.NO_SCAN: _("Last scan: %(scan)s. Look whether it still hangs there.") % local,
    }[ailment]


def _local(health: CodeHealth) -> dict[str, str]:
    return {
        "when": formats.local_time(health.print_ends_at),
        "scan": formats.local_time(health.last_scan) if health.last_scan else _("never"),
    }


def opened_from(code: MiniCode) -> str:
    """Say by what somebody opened the mini program, `%(name)s` for the channel that it counts for."""
    named = {"sender": code.sender.replace("%", "%%")}
    said = {
        SentBy.KEYWORD: _("Opened the mini program from the keyword reply “%(sender)s” (channel “%%(name)s”)"),
        SentBy.WELCOME: _("Opened the mini program from the welcome “%(sender)s” (channel “%%(name)s”)"),
        SentBy.MENU: _("Opened the mini program from the menu “%(sender)s” (channel “%%(name)s”)"),
        SentBy.REPLY: _("Opened the mini program from the automatic reply “%(sender)s” (channel “%%(name)s”)"),
    }
    return said[SentBy(code.sent_by)] % named


def sent_by(code: MiniCode | None) -> str:
    """Say what brought somebody to the mini program, where it was no printed code."""
    if code is None or not code.sent_by:
        return ""
    return _("%(kind)s “%(sender)s” → mini program") % {
        "kind": SentBy(code.sent_by).label,
        "sender": code.sender,
    }


def case_label(case: str, kind: str = "") -> str:
    """Name who scanned."""
    if case in TouchCase.values:
        return str(TouchCase(case).label)
    return {"FOLLOW": str(TouchCase.NEW.label), "REFOLLOW": str(TouchCase.RETURNING.label)}.get(
        kind, str(TouchCase.FOLLOWING.label)
    )
