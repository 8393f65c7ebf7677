"""The draft of what is told to the authority and the people after a leak (PIPL art. 57): Chinese, then English."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.utils import translation
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console import formats
from members.opened import WAYS, field_label, page_label, way_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from members.services.who_saw import Looker, Overview

LANGUAGES: Final = ("zh-hans", "en")
_HARM: Final = (
    ({"phone"}, gettext_lazy("Calls and text messages by strangers, fraud that names the person and the brand.")),
    ({"birthday", "card"}, gettext_lazy("Somebody passes for the person where birthday or card number are asked for.")),
    ({"words"}, gettext_lazy("What people wrote in confidence becomes known.")),
    ({"wechat"}, gettext_lazy("The person is recognised across WeChat services of the same owner.")),
    (
        {"purchases", "behaviour", "profile", "tags", "city", "relations", "points", "coupons"},
        gettext_lazy("Habits, means and whereabouts become known; advertising and fraud aim better."),
    ),
)


def draft(*, brand: str, looker: Looker, found: Overview, access: tuple[str, datetime | None], at: datetime) -> str:
    """Write the draft as Markdown; what nobody can know from the log stands in brackets."""
    parts = []
    for language in LANGUAGES:
        with translation.override(language):
            parts.append("\n".join(_lines(brand, looker, found, access, at)))
    return "\n\n---\n\n".join(parts) + "\n"


def _lines(
    brand: str, looker: Looker, found: Overview, access: tuple[str, datetime | None], at: datetime
) -> Iterator[str]:
    open_ = _("[to be filled in]")
    gone = formats.count(found.erased)
    yield "# " + _("Report of a personal information security incident (draft)")
    yield ""
    yield _("Personal Information Protection Law of the People's Republic of China, art. 57. Drafted on %(when)s.") % {
        "when": formats.full_time(at)
    }
    yield ""
    yield from _section(_("1. What happened"), [
        _("Handler of the personal information: %(brand)s") % {"brand": _text(brand)},
        _("Through whose access: %(who)s") % {"who": _text(looker.label)},
        _("Looked at in the access log: from %(since)s until before %(until)s") % {
            "since": formats.full_time(looker.since), "until": formats.full_time(looker.until),
        },
        _("First and last line: %(first)s, %(last)s") % {
            "first": formats.full_time(found.first) or "--", "last": formats.full_time(found.last) or "--",
        },
        _("How it was discovered, and when: %(open)s") % {"open": open_},
    ])  # fmt: skip
    yield from _section(
        _("2. Kinds of personal information, and of how many people"),
        [
            _("%(field)s: %(count)s") % {"field": _text(field_label(key)), "count": formats.count(count)}
            for key, count in sorted(found.fields.items(), key=lambda pair: (-pair[1], pair[0]))
        ],
    )
    yield from _section(_("3. How many people"), [
        _("People: %(count)s") % {"count": formats.count(found.people)},
        _("%(count)s of them have been deleted since: of them only a number is left") % {"count": gone},
    ])  # fmt: skip
    yield from _section(
        _("4. The way, and how many people"),
        [
            _("%(way)s, %(page)s: %(count)s")
            % {"way": WAYS[way_of(key)], "page": _text(page_label(key)), "count": formats.count(count)}
            for key, count in sorted(found.pages.items(), key=lambda pair: (-pair[1], pair[0]))
        ],
    )
    yield from _section(_("5. Causes"), [open_])
    harm = [str(words) for fields, words in _HARM if fields & {key.partition(":")[0] for key in found.fields}]
    yield from _section(_("6. Harm that may come of it"), [*harm, open_])
    yield from _section(_("7. Remedial measures"), [_access(access), open_])
    yield from _section(_("8. What people can do themselves"), [
        _("Distrust calls and messages that name the brand and ask for codes, passwords or payments."),
        _("Ask the brand in the mini program for a copy, a correction or the deletion of their data."),
        open_,
    ])  # fmt: skip
    yield from _section(_("9. Contact of the handler"), [
        _("Person in charge of personal information protection: %(open)s") % {"open": open_},
        _("Telephone, e-mail, address: %(open)s") % {"open": open_},
    ])  # fmt: skip
    yield from _section(_("10. Who is told"), [
        _("The department that protects personal information: at once. Told on: %(open)s") % {"open": open_},
        _("The people: told on %(open)s; or not, because the measures keep harm away effectively: %(open)s")
        % {"open": open_},
    ])  # fmt: skip


def _section(title: str, lines: list[str]) -> Iterator[str]:
    yield f"## {title}"
    yield ""
    yield from (f"- {line}" for line in lines or ["--"])
    yield ""


def _access(access: tuple[str, datetime | None]) -> str:
    gone, when = access
    if gone == "STANDS":
        return _("Not done yet: this access still stands. Take it away first.")
    if when is None:
        return _("The access has been taken away.")
    return _("The access was taken away on %(when)s.") % {"when": formats.full_time(when)}


def _text(words: object) -> str:
    """Keep what somebody named from becoming Markdown or a line of its own."""
    plain = " ".join(str(words).split())
    return "".join(f"\\{each}" if each in "\\`*_[]<>#|!" else each for each in plain)
