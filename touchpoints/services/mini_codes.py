"""Mini-program codes of channels: a short scene that only this brand can read, drawn by WeChat, revocable."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from accounts.services import record_audit
from accounts.tasks_base import ring
from accounts.tenancy import brand_scope, current_brand_id
from touchpoints import tasks
from touchpoints.errors import CodeNotIssued, NotInTree
from touchpoints.models import MiniCode, SentBy, Touchpoint
from touchpoints.selectors.lookups import in_use, working
from touchpoints.selectors.mini_codes import NUMBERS, short_scene, with_scene, without_scene
from wechat_gateway import calls
from wechat_gateway.answers import explained
from wechat_gateway.models import MiniProgram

if TYPE_CHECKING:
    from datetime import datetime

TRIES: Final = 20
UNDER_WAY: Final = timedelta(minutes=2)  # its first ring may still be on its way
MOST_MISSING: Final = 100  # of a brand in an hour


def create_mini_code(
    *, touchpoint: Touchpoint, program: MiniProgram, page: str, at: datetime, ends_at: datetime | None = None
) -> MiniCode:
    """Make a short scene for a channel, and have a worker get its picture from WeChat.

    Raises `NotInTree` for a page that is none (reference: mini program 1.6: no leading slash, no query).
    """
    page = page.strip()
    if page.startswith("/") or any(sign in page for sign in "?#% \\"):
        raise NotInTree(
            _("“%(page)s” is no page. Write it without slash in front and without parameters, such as pages/index.")
            % {"page": page},
            field="page",
        )
    row = _numbered(touchpoint=touchpoint, program=program, page=page[:128], created_at=at, ends_at=ends_at)
    record_audit(action="create mini-program code", obj=row, changes={"page": [None, page]})
    ring(tasks.draw_mini_code, row.brand_id, row.pk)
    return row


def _numbered(**fields: Any) -> MiniCode:
    for _try in range(TRIES):
        code = short_scene(current_brand_id(), secrets.randbelow(NUMBERS))
        try:
            with transaction.atomic():
                return MiniCode.objects.create(code=code, **fields)
        except IntegrityError:
            continue  # the number is taken
    raise CodeNotIssued(_("No free number was found."), _("Try again."))


def page_that_counts(
    *, page: str, appid: str, touchpoint_id: int | None, sent_by: SentBy, sender: str, at: datetime
) -> str:
    """Give a page with the short scene by which whoever opens it counts for a channel; without one, as it is.

    The same card of the same name keeps its scene; scenes that were sent before go on leading to their channel.
    Raises `NotInTree` for a channel out of use and for a mini program that is not connected: nobody could say who
    opened it.
    """
    if touchpoint_id is None:
        return page
    bare = without_scene(page)
    program = MiniProgram.objects.filter(appid=appid, is_active=True).first()
    if program is None:
        raise NotInTree(
            _("The mini program %(appid)s is not connected, so nobody can tell who opens it. Connect it first.")
            % {"appid": appid},
            field="channel",
        )
    which = {
        "touchpoint_id": touchpoint_id,
        "program": program,
        "page": bare[:128],
        "sent_by": sent_by.value,
        "sender": sender[:60],
    }
    row = MiniCode.objects.defer("picture").filter(revoked_at__isnull=True, **which).order_by("pk").first()
    if row is None:
        if not Touchpoint.objects.filter(in_use(), pk=touchpoint_id, origin="").exists():
            raise NotInTree(_("This channel is not in use any more. Choose another one."), field="channel")
        row = _numbered(created_at=at, **which)
        record_audit(action="create mini-program code", obj=row, changes={"page": [None, bare], "by": [None, sender]})
    return with_scene(bare, row.code)


def draw_mini_code(brand_id: int, mini_code_id: int, *, at: datetime) -> bool:
    """Have WeChat draw a code; its refusal stays with the code in words. The call is outside any transaction."""
    with brand_scope(brand_id):
        row = MiniCode.objects.select_related("program").filter(pk=mini_code_id, revoked_at__isnull=True).first()
    if row is None:
        return False
    answer = calls.create_mini_code(row.program, row.code, page=row.page, at=at)
    said = explained(answer)
    cause = str(said.cause) if said else _("WeChat could not be reached (%(cause)s)") % {"cause": answer.cause}
    with brand_scope(brand_id):
        fields = {"picture": answer.picture, "problem": ""} if answer.ok else {"problem": cause[:200]}
        MiniCode.objects.filter(pk=mini_code_id).update(**fields)
    return answer.ok


def draw_missing(brand_id: int, *, at: datetime) -> int:
    """Ring for the pictures that never came (the broker was away, a worker died, WeChat was busy); gives how many.

    What WeChat has refused comes last: a page may have been published since.
    """
    with brand_scope(brand_id):
        rows = MiniCode.objects.filter(
            Q(ends_at=None) | Q(ends_at__gt=at),
            picture=None,
            sent_by="",
            revoked_at=None,
            created_at__lte=at - UNDER_WAY,
            touchpoint__in=Touchpoint.objects.filter(working(at)),
        )
        missing = list(rows.order_by("problem", "pk").values_list("pk", flat=True)[:MOST_MISSING])
    for pk in missing:
        ring(tasks.draw_mini_code, brand_id, pk)
    return len(missing)


def redraw_mini_code(*, mini_code: MiniCode) -> None:
    """Have a worker ask WeChat for the picture again."""
    ring(tasks.draw_mini_code, mini_code.brand_id, mini_code.pk)


def revoke_mini_code(*, mini_code: MiniCode, at: datetime) -> None:
    """Take a code out of use at once; printed pictures of it lead nowhere from now on."""
    if MiniCode.objects.filter(pk=mini_code.pk, revoked_at__isnull=True).update(revoked_at=at):
        record_audit(action="revoke mini-program code", obj=mini_code, changes={"revoked_at": [None, str(at)]})
