"""Codes by text message: asked for within limits, sent once, spent once."""

from __future__ import annotations

import hmac
import json
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, override

from accounts.sealing import blind_index
from accounts.services import record_audit
from accounts.tasks_base import ring
from accounts.tenancy import brand_scope, current_brand_id
from common.secret import Secret
from members import sms, tasks
from members.errors import SmsOff, SmsSettingsInvalid, SmsTooMany
from members.models import IdentityKind, Member, SmsCode, SmsSettings, SmsState
from members.services.identity import normalised_phone
from members.services.locks import lock_identities
from wechat_gateway import incidents

if TYPE_CHECKING:
    from uuid import UUID

    from django.db.models import QuerySet

DIGITS: Final = 6
LASTS: Final = timedelta(minutes=5)
TRIES: Final = 5
REST: Final = timedelta(seconds=60)  # between two messages to one phone
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
PHONE_AN_HOUR: Final = 5
PHONE_A_DAY: Final = 10
SESSION_AN_HOUR: Final = 5
GUIDE_AN_HOUR: Final = 60
SYSTEM_AN_HOUR: Final = 3_600  # the tills of all stores may ask by one key
_AN_HOUR: Final = {"session": SESSION_AN_HOUR, "staff": GUIDE_AN_HOUR}
ADDRESS_AN_HOUR: Final = 30  # people of a carrier share one
KEPT: Final = timedelta(days=2)
MOST_A_DAY: Final = 1_000_000
_LENGTHS: Final = {"url": 300, "signature": 20, "template": 64}
FAILING: Final = "members.sms"

incidents.kinds.register(
    FAILING,
    incidents.Kind(
        gettext_lazy("Codes by text message do not leave"),
        gettext_lazy("Nobody can join by text message. The phone button of mini programs still works."),
        cause=gettext_lazy("The provider refused the last message or could not be reached: %(subject)s."),
        action=gettext_lazy("Look at Settings › Text messages; the next message that leaves closes this."),
    ),
)


@dataclass(frozen=True)
class AskedCode:
    """What whoever asked is told: nothing of the phone, of the person, or of whether it is known."""

    expires_at: datetime
    again_at: datetime


def sms_settings() -> SmsSettings:
    """Give how the brand in scope sends text messages."""
    return SmsSettings.objects.first() or SmsSettings()


@transaction.atomic
def set_sms(
    *, way: str, url: str, secret: str, signature: str, template: str, daily_limit: int, at: datetime
) -> SmsSettings:
    """Say how the brand sends text messages; an empty secret stays as it was. Raises `SmsSettingsInvalid`."""
    row = SmsSettings.objects.select_for_update().first() or SmsSettings()
    elsewhere = not secret and _place(url) != _place(row.url)
    if way and (way not in sms.ways or not sms.ways.get(way).offered()):
        raise SmsSettingsInvalid("way", _("This way does not exist here."))
    for name, value in (("url", url), ("signature", signature), ("template", template)):
        if len(value) > _LENGTHS[name]:
            raise SmsSettingsInvalid(name, _("This is too long."))
    if not 1 <= daily_limit <= MOST_A_DAY:
        raise SmsSettingsInvalid("daily_limit", _("A whole number from 1 on."))
    if way and sms.ways.get(way).needs_address:
        _check_address(url)
        if not secret and row.secret is None:
            raise SmsSettingsInvalid("secret", _("The provider's secret is missing."))
        if elsewhere:
            # A kept secret does not go to another host because somebody has changed the address.
            raise SmsSettingsInvalid("secret", _("Another host: enter its secret."))
    before = {name: getattr(row, name) for name in ("way", "url", "signature", "template", "daily_limit")}
    row.secret = None if elsewhere else row.secret  # nor in two steps, the first of which sends by no way
    row.way, row.url, row.signature, row.template, row.daily_limit = way, url, signature, template, daily_limit
    if secret:
        row.secret = secret
    row.changed_at = at
    row.save()
    changes = {name: [was, getattr(row, name)] for name, was in before.items() if was != getattr(row, name)}
    if secret:
        changes["secret"] = [None, "***"]
    record_audit(action="change text messages", obj=row, changes=changes)
    return row


def _place(url: str) -> tuple[str, str]:
    """Give where an address leads to: scheme, and host with port."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "", url
    return parts.scheme, parts.netloc


def _check_address(url: str) -> None:
    try:
        parts = urlsplit(url)
        is_one = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_one = False
    if not is_one:
        raise SmsSettingsInvalid("url", _("An address that begins with https:// is needed."))
    if not sms.is_public(url):
        raise SmsSettingsInvalid("url", _("This address leads into our own network, or is not https."))


@transaction.atomic
def ask_code(*, phone: str, asker: str, address: str, at: datetime) -> AskedCode:
    """Have a code sent to a phone. Asked again by the same caller within a minute, the first one stands.

    Whether the brand knows the phone makes no difference. Raises `PhoneInvalid`, `SmsOff`, `SmsTooMany`.
    """
    number = normalised_phone(phone)
    settings = sms_settings()
    if not settings.way:
        raise SmsOff
    brand_id = current_brand_id()
    index = blind_index(brand_id, "phone", number)
    # One after the other in a brand: parallel asking would count the same messages and pass every limit.
    lock_identities([(IdentityKind.PHONE, "sms", "limits")])
    SmsCode.objects.filter(asked_at__lt=at - KEPT).delete()
    mine = SmsCode.objects.filter(phone_index=index).exclude(state=SmsState.FAILED)
    last = mine.order_by("-asked_at", "-pk").first()
    if last is not None and last.asked_at > at - REST:
        if last.asker == asker and last.spent_at is None:
            return AskedCode(last.expires_at, last.asked_at + REST)
        raise SmsTooMany(_wait(last.asked_at + REST, at))
    ip = blind_index(brand_id, "sms address", address) if address else None
    _within_limits(mine, asker=asker, ip=ip, limit=settings.daily_limit, at=at)
    code = f"{secrets.randbelow(10**DIGITS):0{DIGITS}d}"
    row = SmsCode(phone_index=index, asker=asker, address=ip, asked_at=at, expires_at=at + LASTS)
    row.digest = _digest(row, code)
    row.message = json.dumps({"phone": number, "code": code})
    row.save()
    ring(tasks.send_sms, brand_id, row.pk)
    return AskedCode(row.expires_at, at + REST)


def _within_limits(mine: QuerySet[SmsCode], *, asker: str, ip: UUID | None, limit: int, at: datetime) -> None:
    everybody = SmsCode.objects.all()
    an_hour = _AN_HOUR.get(asker.partition(":")[0], SYSTEM_AN_HOUR)
    asked = [
        (mine, PHONE_AN_HOUR, HOUR),
        (mine, PHONE_A_DAY, DAY),
        (everybody.filter(asker=asker), an_hour, HOUR),
        (everybody, limit, DAY),
    ]
    if ip is not None:
        asked.append((everybody.filter(address=ip), ADDRESS_AN_HOUR, HOUR))
    for rows, most, window in asked:
        moments = rows.filter(asked_at__gt=at - window).order_by("-asked_at").values_list("asked_at", flat=True)
        oldest = list(moments[most - 1 : most])
        if oldest:
            raise SmsTooMany(_wait(oldest[0] + window, at))


def _wait(until: datetime, at: datetime) -> int:
    return max(1, int((until - at).total_seconds()) + 1)


def _digest(row: SmsCode, code: str) -> UUID:
    return blind_index(current_brand_id(), "sms code", f"{row.public_id}:{code}")


def send_code(brand_id: int, code_id: int, *, at: datetime) -> str:
    """Send one message, never twice: who is killed half way sends nothing more. Gives how it stands."""
    with brand_scope(brand_id):
        row = SmsCode.objects.select_for_update().filter(pk=code_id, state=SmsState.WAITING).first()
        if row is None:
            return ""
        settings = sms_settings()
        provider = sms.Provider(settings.url, settings.secret, settings.signature, settings.template)
        text = _text(row, settings)
        gone = row.expires_at <= at or not settings.way
        row.state, row.message = (SmsState.FAILED if gone else SmsState.SENDING), None
        row.problem = "LATE" if gone else ""
        row.save(update_fields=["state", "message", "problem"])
    if gone:
        return str(row.state)
    problem = ""
    try:
        sms.ways.get(settings.way).send(text, provider)
    except sms.SmsFailed as error:
        problem = error.reason
    with brand_scope(brand_id):
        state = SmsState.FAILED if problem else SmsState.SENT
        SmsCode.objects.filter(pk=code_id).update(state=state, problem=problem)
        if problem:
            incidents.open_incident(kind=FAILING, at=at, subject=problem)
        else:
            incidents.close_incident(kind=FAILING, at=at)
    return str(state)


def _text(row: SmsCode, settings: SmsSettings) -> sms.Text:
    said = json.loads(row.message.reveal())
    with override("zh-hans"):  # for the person, who has not chosen a language yet
        words = _("%(code)s is your code, good for %(minutes)s minutes. Tell it only to whom you join with.") % {
            "code": said["code"],
            "minutes": int(LASTS.total_seconds()) // 60,
        }
    signed = f"【{settings.signature}】{words}" if settings.signature else words
    return sms.Text(str(row.public_id), Secret(said["phone"]), Secret(said["code"]), Secret(signed))


def waiting_codes(*, at: datetime) -> list[int]:
    """Give the messages that nobody has been rung for: the broker was away."""
    rows = SmsCode.objects.filter(state=SmsState.WAITING, asked_at__lt=at - timedelta(seconds=10))
    return list(rows.order_by("asked_at", "pk").values_list("pk", flat=True)[:500])


@dataclass(frozen=True)
class Spent:
    """A code that was right; `again`: it was spent before, by the same caller, for this member."""

    row: SmsCode
    again: int | None = None

    def by(self, member: Member, *, at: datetime) -> None:
        """Say for whom it was spent, in the transaction that does what it was for."""
        SmsCode.objects.filter(pk=self.row.pk).update(spent_at=at, member=member)


@transaction.atomic
def try_code(*, phone: str, code: str, asker: str, at: datetime) -> Spent | None:
    """Try a code for a phone; None for any that does not work, whatever the reason. Every wrong one counts.

    Commit the transaction also when the answer is None, and call `Spent.by` in it when it is not.
    """
    index = blind_index(current_brand_id(), "phone", normalised_phone(phone))
    rows = SmsCode.objects.select_for_update().filter(phone_index=index, asker=asker, expires_at__gt=at)
    row = rows.order_by("-asked_at", "-pk").first()
    if row is None or row.tries >= TRIES:
        return None
    right = hmac.compare_digest(str(_digest(row, code)), str(row.digest))
    if not right:
        row.tries += 1
        row.save(update_fields=["tries"])
        return None
    return Spent(row, row.member_id if row.spent_at is not None else None) if _usable(row) else None


def _usable(row: SmsCode) -> bool:
    return row.spent_at is None or row.member_id is not None
