"""Incidents: opened once where ill health is seen, closed where health is seen; kinds and what suffers are registered.

kinds.register("wechat.template", Kind(...))

@affected.add("campaigns.waiting")
def waiting_campaigns(incident: Incident) -> list[Affected]: ...
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final, TypeAlias

from django.db import connection
from django.utils.translation import gettext_lazy as _

from accounts.services import record_audit
from accounts.tenancy import current_brand_id
from common.registry import Registry
from wechat_gateway.errcodes import explain
from wechat_gateway.models import Incident

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

REVOKED: Final = "wechat.revoked"
TOKEN: Final = "wechat.token"  # noqa: S105 - the key of a kind
PERMISSION: Final = "wechat.permission"
CALLBACK: Final = "wechat.callback"
QUOTA: Final = "wechat.quota"
TEMPLATE: Final = "wechat.template"
PLATFORM: Final = "wechat.platform"
RENEWAL: Final = "wechat.renewal"
UNVERIFIED: Final = "wechat.unverified"

# The account as such is shut out: authorisation taken back, or the account restricted.
REVOKING: Final = frozenset({50002, 61003, 61011, 61023, 61028, 61029})
# Something in particular is not allowed: of the account (48001 …), or a permission set that a platform was not granted.
PERMISSION_CODES: Final = frozenset({43104, 45087, 45094, 48001, 48003, 48004, 48008, 61007, 61016, 61017})
TEMPLATE_CODES: Final = frozenset({40036, 40037, 43102, 43106, 43116, 48011})
# The template is not there: well again as soon as WeChat lists it. The others say that it is there and may not be used.
TEMPLATE_MISSING: Final = frozenset({40036, 40037})
_SECOND_OWNER: Final = 40001


@dataclass(frozen=True)
class Kind:
    """One kind of incident in plain words. `title` may name %(name)s (the account) and %(subject)s.

    Without `cause` and `action` those of WeChat's code are shown. One that is `by_hand` may be ended by a person too.
    """

    title: StrOrPromise
    consequence: StrOrPromise
    cause: StrOrPromise = ""
    action: StrOrPromise = ""
    by_hand: bool = False


@dataclass(frozen=True)
class Affected:
    """What suffers: a number of rows, and the list that shows just those."""

    label: StrOrPromise
    count: int
    link: str


AffectedFunction: TypeAlias = Callable[[Incident], list[Affected]]
NeededFunction: TypeAlias = Callable[[Incident], bool]

kinds: Registry[Kind] = Registry(
    "incident kinds", purpose="what can be wrong with a brand's connections, in plain words"
)
affected: Registry[AffectedFunction] = Registry("incident effects", purpose="who and what suffers from an incident")
needed: Registry[NeededFunction] = Registry(
    "incident needs", purpose="whether something that is planned or under way still needs what was refused"
)

kinds.register(
    REVOKED,
    Kind(
        _("“%(name)s” is shut out by WeChat"),
        _("Nothing can be sent or read. What was planned waits and goes on by itself; nothing is lost."),
    ),
)
kinds.register(
    TOKEN,
    Kind(
        _("“%(name)s” gets no access token"),
        _("Nothing can be sent or read. What was planned waits and goes on by itself; messages still come in."),
    ),
)
kinds.register(
    PERMISSION,
    Kind(
        _("“%(name)s” lacks a permission"),
        _("What needs this permission waits; everything else works."),
    ),
)
kinds.register(
    CALLBACK,
    Kind(
        _("Messages to “%(name)s” do not arrive"),
        _("Followers write and get no answer; follows and scans are not recorded meanwhile."),
        cause=_("WeChat's pushes stopped coming, or come with another token or key than the ones stored here."),
        action=_(
            "Compare address, token and message key with WeChat's console, save them there again, then check again."
        ),
    ),
)
kinds.register(
    QUOTA,
    Kind(
        _("Today's quota of “%(name)s” is used up"),
        _("What uses %(subject)s waits until midnight, Beijing time, and then goes on by itself."),
        cause=_("All calls that WeChat allows in a day have been made."),
        action=_("Nothing has to be done. Spread large sends over several days, or ask WeChat for more."),
    ),
)
kinds.register(
    TEMPLATE,
    Kind(
        _("A template of “%(name)s” cannot be used"),
        _("Messages with this template wait."),
    ),
)
kinds.register(
    PLATFORM,
    Kind(
        _("The third-party platform gets no ticket from WeChat"),
        _("Accounts that were authorised by scanning stop working within hours."),
        cause=_("WeChat pushes a ticket every ten minutes, and none has come for half an hour."),
        action=_(
            "Whoever runs the installation compares the platform's address, token and key with the Open Platform."
        ),
    ),
)

kinds.register(
    RENEWAL,
    Kind(
        _("The verification of “%(name)s” has to be renewed"),
        _("Once it has ended, WeChat refuses most of what the account may do now."),
        cause=_("WeChat verifies an account for a year, and has reminded you that this one ends."),
        action=_("Renew it at WeChat (Settings › WeChat verification). This ends by itself once WeChat has verified."),
        by_hand=True,
    ),
)
kinds.register(
    UNVERIFIED,
    Kind(
        _("The verification of “%(name)s” has ended"),
        _("WeChat refuses most of what the account may do: templates, tags, codes and menus among them (48001)."),
        cause=_("WeChat verifies an account for a year, and this one was not renewed in time."),
        action=_("Renew it at WeChat (Settings › WeChat verification). This ends by itself once WeChat has verified."),
        by_hand=True,
    ),
)

# Where the code's own words would mislead: a token that is refused for good is not healed by waiting.
_WORDS: Final[dict[tuple[str, int], tuple[StrOrPromise, StrOrPromise]]] = {
    (TOKEN, _SECOND_OWNER): (
        _("WeChat refuses every new access token, or the AppSecret is wrong."),
        _("Copy the AppSecret again, and stop any other system that fetches tokens for this account."),
    ),
}

# The row is locked by whoever inserts it first; everybody else finds it and only notes that it was seen again.
_OPEN: Final = """
INSERT INTO wechat_gateway_incident (brand_id, kind, appid, subject, code, detail, opened_at, seen_at)
VALUES (%(brand)s, %(kind)s, %(appid)s, %(subject)s, %(code)s, %(detail)s, %(at)s, %(at)s)
ON CONFLICT (brand_id, appid, kind, subject) WHERE closed_at IS NULL
DO UPDATE SET seen_at = greatest(wechat_gateway_incident.seen_at, excluded.seen_at),
    code = coalesce(excluded.code, wechat_gateway_incident.code),
    detail = CASE WHEN excluded.detail = '' THEN wechat_gateway_incident.detail ELSE excluded.detail END
RETURNING xmax = 0
"""


def open_incident(
    *,
    kind: str,
    at: datetime,
    appid: str = "",
    subject: str = "",
    code: int | None = None,
    detail: str = "",
) -> bool:
    """Say that something is wrong in the brand in scope; True when nobody had said so before.

    However many say it at once, one row is open. Raises KeyError for a kind that is not registered.
    """
    kinds.get(kind)
    with connection.cursor() as cursor:
        cursor.execute(
            _OPEN,
            {
                "brand": current_brand_id(),
                "kind": kind,
                "appid": appid,
                "subject": subject[:100],
                "code": code,
                "detail": detail[:200],
                "at": at,
            },
        )
        return bool((cursor.fetchone() or (False,))[0])


def close_incident(*, kind: str, at: datetime, appid: str = "", subject: str | None = None) -> int:
    """Say that it is well again; gives how many incidents ended. Without `subject` all of the kind and app end."""
    rows = Incident.objects.filter(kind=kind, appid=appid, closed_at__isnull=True)
    if subject is not None:
        rows = rows.filter(subject=subject[:100])
    return rows.update(closed_at=at)


def end_by_hand(incident: Incident, *, at: datetime) -> bool:
    """Let a person say that it is over; False when it was, or is not theirs to say. It opens again when seen again."""
    if not kinds.get(incident.kind).by_hand:
        return False
    ended = Incident.objects.filter(pk=incident.pk, closed_at__isnull=True).update(closed_at=at)
    if ended:
        record_audit(action="close incident", obj=incident, label=f"{incident.kind} {incident.subject}")
    return bool(ended)


def templates_listed(*, appid: str, template_ids: Iterable[str], at: datetime) -> int:
    """Say which templates WeChat lists for an app: those that were refused as unknown are well again."""
    rows = Incident.objects.filter(kind=TEMPLATE, appid=appid, code__in=TEMPLATE_MISSING, closed_at__isnull=True)
    return rows.filter(subject__in=list(template_ids)).update(closed_at=at)


def is_needed(incident: Incident) -> bool:
    """Whether anything that is planned or under way still needs what was refused."""
    return any(find(incident) for _key, find in needed.items())


def cause_of(incident: Incident) -> StrOrPromise:
    """Why it happened, in words."""
    return _words(incident, 0)


def action_of(incident: Incident) -> StrOrPromise:
    """What a person can do about it, in words."""
    return _words(incident, 1)


def effects_of(incident: Incident) -> list[Affected]:
    """Everything that suffers, as apps have registered it; what has no rows is left out."""
    return [effect for _key, find in affected.items() for effect in find(incident) if effect.count]


def _words(incident: Incident, which: int) -> StrOrPromise:
    if incident.code is not None:
        special = _WORDS.get((incident.kind, incident.code))
        if special is not None:
            return special[which]
    kind = kinds.get(incident.kind)
    own = (kind.cause, kind.action)[which]
    if own or incident.code is None:
        return own
    known = explain(incident.code)
    return (known.cause, known.action)[which]
