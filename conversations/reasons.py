"""What the engine's words mean, said for operators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from conversations import engine
from conversations.audiences import audience_kinds, options
from conversations.models import Match, Trigger
from wechat_gateway.errcodes import explain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from conversations.engine import Schedule, Verdict
    from conversations.selectors import Trouble

WEEKDAYS = (
    gettext_lazy("Mon"),
    gettext_lazy("Tue"),
    gettext_lazy("Wed"),
    gettext_lazy("Thu"),
    gettext_lazy("Fri"),
    gettext_lazy("Sat"),
    gettext_lazy("Sun"),
)

# Why an answer went the way it did (services/records.py).
WHY: dict[str, Any] = {
    "IN_TIME": gettext_lazy("WeChat heard it within five seconds."),
    "LATE": gettext_lazy("The five seconds were over, so it went as a customer-service message."),
    "NO_PASSIVE_FORM": gettext_lazy("This kind of answer exists only as a customer-service message."),
    "OVERTAKEN": gettext_lazy("Two messages came at once; the right question followed as a customer-service message."),
    "ASKED_FOR": gettext_lazy("The rule hands over to a person."),
    "WINDOW_CLOSED": gettext_lazy("The time in which WeChat lets us write was over; a person has to look at it."),
    "QUOTA": gettext_lazy("Today's customer-service messages are used up; it is tried again while there is time."),
    "DISCONNECTED": gettext_lazy("The account is disconnected; it is tried again while there is time."),
    "PARKED": gettext_lazy("Calls of the account wait; it is tried again while there is time."),
    "WORKER_LOST": gettext_lazy("The process that sent it stopped. It may have arrived and is not sent again."),
}


def why(word: str) -> str:
    """Say a word of the engine, or a code of WeChat, in the language of whoever reads it."""
    if word.lstrip("-").isdecimal():
        return str(explain(int(word)).cause)
    return str(WHY.get(word, word))  # earlier records have WeChat's reasons as they were said then


# What is wrong with a button of the menu (selectors.troubles_of_menu): (what, what to do).
TROUBLES: dict[str, tuple[Any, Any]] = {
    "NO_ANSWER": (
        gettext_lazy("No rule and no dialogue answers its key “%(about)s”."),
        gettext_lazy("Make a rule for the menu button, or give the button another key."),
    ),
    "PROGRAM_UNKNOWN": (
        gettext_lazy("The mini-program %(about)s is not connected to this brand."),
        gettext_lazy("Check the AppID; one of your own can be connected under settings."),
    ),
    "PROGRAM_OFF": (
        gettext_lazy("The mini-program %(about)s is disconnected."),
        gettext_lazy("Connect it again, or give the button another aim."),
    ),
    "MEDIA_GONE": (
        gettext_lazy("The file it sends is no longer at WeChat, or was put away."),
        gettext_lazy("Choose another file, or keep this one for good in the library."),
    ),
    "UNTAPPED": (
        gettext_lazy("Nobody has tapped it for 30 days."),
        gettext_lazy("Give the place to something that people look for."),
    ),
}


def say_trouble(trouble: Trouble) -> dict[str, str]:
    """Say what is wrong with a button of the menu."""
    what, action = TROUBLES[trouble.kind]
    said = str(what) % {"about": trouble.about} if trouble.about else str(what)
    return {"path": trouble.path, "name": trouble.name, "kind": trouble.kind, "what": said, "action": str(action)}


def say_verdict(verdict: Verdict, names: Mapping[str, str]) -> str:
    """Say why a rule answers or does not; `names` are those of every audience (`names_of_audiences`)."""
    if verdict.says == engine.AUDIENCE:
        who = say_audience(verdict.rule.audience, names)
        return _("Not for this person: it is for %(who)s.") % {"who": who}
    return _SAID[verdict.says](verdict)


def names_of_audiences() -> dict[str, str]:
    """Give the names of everything a rule can be for: {"kind:id": name}."""
    return {key: name for _label, rows in options() for key, name in rows}


def _answers(verdict: Verdict) -> str:
    if not verdict.rule.pk:
        return _("Answers: the welcome of the code that was scanned comes first.")
    if verdict.by and verdict.rule.trigger == Trigger.KEYWORD:
        return _("Answers: it captures by “%(word)s” and is the first in order.") % {"word": verdict.by}
    return _("Answers: it is the first in order that fits.")


def _words(verdict: Verdict) -> str:
    rule = verdict.rule
    if rule.trigger == Trigger.CLICK:
        return _("Another menu key: %(keys)s") % {"keys": _(", ").join(rule.words[:5])}
    return _("None of its keywords fits (%(match)s): %(words)s") % {
        "match": Match(rule.match).label,
        "words": _(", ").join(rule.words[:5]),
    }


_SAID: dict[str, Callable[[Verdict], str]] = {
    engine.ANSWERS: _answers,
    engine.EARLIER: lambda _verdict: _("Fits too, but a rule before it has answered."),
    engine.SCHEDULE: lambda verdict: (
        _("Not now: its hours are %(when)s.") % {"when": say_schedule(verdict.rule.schedule)}
    ),
    engine.RETURNS: lambda _verdict: _("Only for people who come back."),
    engine.WORDS: _words,
}


def say_schedule(schedule: Schedule | None) -> str:
    """Say when a rule answers; '' for always."""
    if schedule is None:
        return ""
    parts = []
    if schedule.first or schedule.last:
        first = schedule.first.isoformat() if schedule.first else _("now")
        last = schedule.last.isoformat() if schedule.last else _("further notice")
        parts.append(_("%(first)s to %(last)s") % {"first": first, "last": last})
    if schedule.weekdays:
        parts.append(_(", ").join(str(WEEKDAYS[day]) for day in sorted(schedule.weekdays)))
    if schedule.start and schedule.end:
        parts.append(f"{schedule.start:%H:%M}–{schedule.end:%H:%M}")
    return " ".join(parts)


def say_audience(audience: Any, names: Mapping[str, str]) -> str:
    """Say for whom a rule is; '' for everybody."""
    if audience is None:
        return ""
    kind = audience_kinds.find(audience.kind)
    if kind is None:
        return _("a group that no longer exists")
    name = names.get(f"{audience.kind}:{audience.value}")
    if name is None:
        return _("%(kind)s that no longer exists") % {"kind": kind.label}
    return _("%(kind)s “%(name)s”") % {"kind": kind.label, "name": name}
