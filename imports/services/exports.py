"""Lists of members that leave the console: in scope, bounded by role, masked unless somebody may and says why."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from django.db import transaction
from django.db.models import F, Q
from django.utils import translation
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models import ApiKey, RoleGrant
from accounts.roles import DataScope, Role
from accounts.services import record_audit
from accounts.tasks_base import ring
from accounts.tenancy import brand_scope, current_brand_id, reporting
from accounts.viewer import Viewer
from common import clock
from common.failpoints import point
from common.spreadsheets import write_csv, write_xlsx
from guides.models import Assignment
from imports import tasks
from imports.columns import MEMBER_COLUMNS, guess, is_ignored
from imports.errors import ExportKeyTaken, ExportRefused, FileGone, NotWritten
from imports.models import Export, ExportChunk, ExportFormat, ExportState
from imports.services.own_fields import PREFIX
from loyalty.selectors.points import balances_of
from members.models import FieldKind, Identity, Member, Tag
from members.opened import OWN, Way, shows
from members.segments import matching
from members.selectors import name_begins, profile_fields, seen, visible_members, words_that_count
from members.services import intake, note_listed, watch_access
from members.services.profile import shown_value
from stores.models import Store

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from members.models import ProfileField, ProfileValue, Segment

#: How many people a role takes out at once; roles that are not named take none.
MOST: Final[dict[str, int]] = {
    Role.OWNER: 1_000_000,
    Role.MARKETER: 100_000,
    Role.REGION_MANAGER: 20_000,
    Role.STORE_MANAGER: 5_000,
}
MOST_OF_A_SYSTEM: Final = 1_000_000
SCOPE: Final = "exports.write"  # of an API key
AT_ONCE: Final = 1000
KEPT: Final = timedelta(days=7)
PIECE: Final = 1_000_000
LANGUAGE: Final = "zh-hans"
SHORTEST_REASON: Final = 2
# In the language of the brand's table whoever opens it; imports know them.
TITLES: Final = (
    *("会员号", "手机号", "会员卡号", "姓名", "生日", "性别", "城市", "标签", "导购工号", "入会日期"),
    *("可用积分", "归属门店", "水印"),
)

YES_NO: Final = {"yes": "是", "no": "否"}
HIDDEN: Final = "***"  # there is something, and it is not shown

GENDERS: Final = {"F": "女", "M": "男", "X": "其他"}


@transaction.atomic
def ask_for_export(
    *,
    viewer: Viewer,
    at: datetime,
    segment: Segment | None = None,
    search: str = "",
    file_format: str = ExportFormat.CSV,
    fields: Sequence[str] = (),
    unmasked: bool = False,
    reason: str = "",
) -> Export:
    """Ask for a list of members; it is written right afterwards in the background. Raises ExportRefused, NotAllowed.

    `fields` are keys of the brand's own profile fields. What not everybody may see is masked or hidden, as the phone
    is, unless it is asked for in full.
    """
    viewer.require("exports.edit")
    if viewer.role not in MOST:
        raise ExportRefused(_("Nothing was written. This role takes no lists out."))
    search = search.strip()[:60]
    file_format = file_format if file_format in ExportFormat.values else ExportFormat.CSV
    reason = reason.strip()
    if unmasked:
        viewer.require("members.reveal")
        if len(reason) < SHORTEST_REASON:
            raise ExportRefused(
                _("Nothing was written. What is masked comes in full only for a reason."),
                hint=_("Say in a few words what the list is for."),
                field="reason",
            )
    _require_fields(fields, hint=_("Open the page again and choose from the list."), field="own")
    row = Export(
        segment=segment,
        named=str(segment) if segment else "",
        search=search,
        file_format=file_format,
        fields=list(fields),
        unmasked=unmasked,
        reason=reason[:200],
        asked_by_id=viewer.staff_id,
        asked_label=viewer.label[:80],
        role=viewer.role,
        scope=viewer.scope,
        grant_id=viewer.grant_id,
        asked_at=at,
        delete_at=at + KEPT,
    )
    return _asked(row, reason)


@transaction.atomic
def ask_for_export_as_system(
    *,
    key_id: int,
    label: str,
    at: datetime,
    segment: Segment | None = None,
    search: str = "",
    file_format: str = ExportFormat.CSV,
    fields: Sequence[str] = (),
    idempotency: str = "",
) -> Export:
    """Ask for a list as one of the brand's other systems: everybody is in reach, nothing is in full.

    The same idempotency key of the same API key gives the first export. Raises ExportRefused, ExportKeyTaken.
    """
    _require_fields(fields, hint=_("The console lists them with their keys."), field="profile")
    row = Export(
        segment=segment,
        named=str(segment) if segment else "",
        search=search.strip(),
        file_format=file_format,
        fields=list(fields),
        api_key_id=key_id,
        idempotency=idempotency,
        asked_label=label[:80],
        scope=DataScope.BRAND,
        asked_at=at,
        delete_at=at + KEPT,
    )
    if idempotency:
        ApiKey.objects.select_for_update().get(pk=key_id)  # two at once wait for each other
        known = Export.objects.filter(api_key=key_id, idempotency=idempotency).first()
        if known is not None:
            if _wanted(known) != _wanted(row):
                raise ExportKeyTaken
            return known
    return _asked(row, "")


def _wanted(row: Export) -> tuple[object, ...]:
    return row.segment_id, row.search, row.file_format, row.fields


def _require_fields(fields: Sequence[str], *, hint: str, field: str) -> None:
    known = {each.key for each in profile_fields(fields)} if fields else set()
    if len(set(fields)) != len(fields) or not known.issuperset(fields):
        raise ExportRefused(
            _("Nothing was written. One of the profile fields does not exist, or is named twice."),
            hint=hint,
            field=field,
        )


def _asked(row: Export, reason: str) -> Export:
    row.save()
    unmasked = row.unmasked
    changes: dict[str, list[Any]] = {"who": [None, row.named or row.search or "*"], "phones in full": [False, unmasked]}
    if row.fields:
        changes["profile fields"] = [None, ", ".join(row.fields)]
    record_audit(action="ask for export", obj=row, changes=changes, reason=reason)
    ring(tasks.write_export, current_brand_id(), row.pk)
    return row


def write_export(*, brand_id: int, export_id: int) -> None:
    """Write the file: read in short transactions, kept in one; killed in between it begins anew."""
    with brand_scope(brand_id):
        row = Export.objects.select_related("segment").filter(pk=export_id, state=ExportState.WAITING).first()
        if row is None:
            return
        viewer = _viewer_now(row)
        if viewer is None:
            gone = _("The API key was revoked, or may no longer take lists out.")
            _refuse(row, gone if row.api_key_id else _("Whoever asked no longer has the role."))
            return
        ids = _whom(row, viewer)
        if len(ids) > _most(row):
            said = (
                _("The list has more than the %(most)s people an API key takes out at once. Narrow it down.")
                if row.api_key_id
                else _("The list has more than the %(most)s people this role takes out at once. Narrow it down.")
            )
            _refuse(row, said % {"most": f"{_most(row):,}"})
            return
    with translation.override(LANGUAGE):
        table = _table(brand_id, row, ids)
        body = write_xlsx(table, sheet=_("Members")) if row.file_format == ExportFormat.XLSX else write_csv(table)
    with brand_scope(brand_id):
        locked = Export.objects.select_for_update().get(pk=row.pk)
        if locked.state != ExportState.WAITING:
            return
        starts = range(0, len(body), PIECE)
        share = -(-len(ids) // max(len(starts), 1))
        for number, start in enumerate(starts):
            piece = base64.b64encode(body[start : start + PIECE]).decode()
            people = list(ids[number * share : (number + 1) * share])
            ExportChunk.objects.create(job=locked, number=number, body=piece, people=people)
        locked.state, locked.rows, locked.size, locked.written_at = ExportState.READY, len(ids), len(body), clock.now()
        locked.save(update_fields=["state", "rows", "size", "written_at"])
        point("exports: kept, not committed")


def _most(row: Export) -> int:
    return MOST_OF_A_SYSTEM if row.api_key_id is not None else MOST[row.role]


def _refuse(row: Export, why: str) -> None:
    row.state, row.problem = ExportState.REFUSED, why[:300]
    row.save(update_fields=["state", "problem"])


def _viewer_now(row: Export) -> Viewer | None:
    """Give whoever asked, if they still have the role, or the scope of their key, they asked with."""
    if row.api_key_id is not None:
        key = ApiKey.objects.filter(pk=row.api_key_id, revoked_at__isnull=True).first()
        return Viewer(None, row.asked_label, row.brand_id, role="") if key and SCOPE in key.scopes else None
    grant = RoleGrant.objects.filter(staff_user_id=row.asked_by_id, role=row.role, scope=row.scope).first()
    if grant is None:
        return None
    return Viewer(row.asked_by_id, row.asked_label, row.brand_id, row.role, row.scope, grant.pk)


def _whom(row: Export, viewer: Viewer) -> list[int]:
    """Give the keys of the people, one more at most than the role takes out."""
    limit = _most(row) + 1
    people = visible_members(viewer)
    if row.search:
        wanted = name_begins(row.search)
        if row.search.isdigit():
            wanted |= Q(phone_tail=row.search) | Q(member_no=row.search)
        people = people.filter(wanted)
    if row.segment is None:
        return list(people.order_by("pk").values_list("pk", flat=True)[:limit])
    with reporting(row.brand_id):
        chosen = list(matching(row.segment.rule, at=clock.now()).order_by("pk").values_list("pk", flat=True)[:limit])
    found: list[int] = []
    for start in range(0, len(chosen), 10_000):
        found += people.filter(pk__in=chosen[start : start + 10_000]).values_list("pk", flat=True)
    return sorted(found)


def _table(brand_id: int, row: Export, ids: Sequence[int]) -> Iterator[list[str]]:
    mark = watermark(row)
    with brand_scope(brand_id):
        fields = profile_fields(row.fields) if row.fields else []
    yield [*TITLES[:-1], *(_title(field) for field in fields), TITLES[-1]]
    for start in range(0, len(ids), AT_ONCE):
        some = ids[start : start + AT_ONCE]
        with brand_scope(brand_id):
            words = words_that_count(some, fields, at=row.asked_at)
            lines = _lines(some, unmasked=row.unmasked)
            own = [
                [_own_cell(field, words.get(pk, {}).get(field.key), unmasked=row.unmasked) for field in fields]
                for pk, _line in lines
            ]
        for (_pk, line), more in zip(lines, own, strict=True):
            yield [*line, *more, mark]


def _title(field: ProfileField) -> str:
    """Give the title of a brand's own field: its name, or its key where that name says something else in a table."""
    titles = (field.label, field.key, PREFIX + field.key)
    return next(each for each in titles if not is_ignored(each) and guess([each], MEMBER_COLUMNS) == [""])


def _own_cell(field: ProfileField, word: ProfileValue | None, *, unmasked: bool) -> str:
    if word is None:
        return ""
    text = shown_value(word) if unmasked else seen(word, field) or HIDDEN
    return YES_NO.get(text, text) if field.kind == FieldKind.YES_NO else text


def watermark(row: Export) -> str:
    """Say in every line who took it out, and when."""
    return f"{row.asked_label} {row.asked_at:%Y-%m-%d} EX{row.pk}"


def _lines(ids: Sequence[int], *, unmasked: bool) -> list[tuple[int, list[str]]]:
    """Give each person's key with what stands in the columns that every list has, but for the last one."""
    from zoneinfo import ZoneInfo

    from stores.selectors import brand_zone

    zone = ZoneInfo(brand_zone())
    members = Member.objects.filter(pk__in=ids).order_by("pk")
    words = dict(Tag.objects.order_by("pk").values_list("pk", "name"))
    guides = dict(
        Assignment.objects.filter(member_id__in=ids, until__isnull=True).values_list("member_id", "guide__staff_no")
    )
    cards: dict[int, str] = dict(
        Identity.objects.filter(member_id__in=ids, kind=intake.CARD, ended_at=None)
        .order_by("-pk")
        .values_list("member_id", "value")
    )
    stores = dict(Store.objects.order_by("pk").values_list("pk", "name"))
    balances = balances_of(ids)
    found = []
    for member in members:
        balance = balances.get(member.pk)
        secret: Any = member.phone if unmasked else None
        line = [
            member.member_no,
            _national(secret.reveal()) if secret else member.phone_masked,
            cards.get(member.pk, ""),
            member.name,
            f"{member.birth_mmdd // 100:02d}-{member.birth_mmdd % 100:02d}" if member.birth_mmdd else "",
            GENDERS.get(member.gender, ""),
            member.city,
            "；".join(words[pk] for pk in member.tag_ids if pk in words),
            guides.get(member.pk, ""),
            member.joined_at.astimezone(zone).date().isoformat() if member.joined_at else "",
            str(balance.spendable if balance else 0),
            stores.get(member.store_id or 0, ""),
        ]
        found.append((member.pk, line))
    return found


def _national(phone: str) -> str:
    # Numbers of other countries begin with +, which a spreadsheet would take for a formula; 00 says the same.
    return phone.removeprefix("+86") if phone.startswith("+86") else f"00{phone.removeprefix('+')}"


def download(*, row: Export, viewer: Viewer) -> bytes:
    """Give the file to whoever asked for it, and write down that they took it. Raises FileGone, NotAllowed."""
    viewer.require("exports.edit")
    if row.unmasked:
        viewer.require("members.reveal")
    if row.state != ExportState.READY or row.api_key_id is not None or row.asked_by_id != viewer.staff_id:
        raise FileGone
    return _taken(row, viewer)


def download_as_system(*, row: Export, viewer: Viewer) -> bytes:
    """Give the file to a system, and write down that it took it. Raises FileGone, NotWritten."""
    if row.state == ExportState.GONE:
        raise FileGone
    if row.state != ExportState.READY:
        raise NotWritten(row.problem)
    return _taken(row, viewer)


def _taken(row: Export, viewer: Viewer) -> bytes:
    Export.objects.filter(pk=row.pk).update(downloads=F("downloads") + 1)
    record_audit(
        action="download export", obj=row, changes={"rows": [None, row.rows], "phones in full": [None, row.unmasked]}
    )
    watch_access(viewer=viewer, at=clock.now())
    shown = [*(("phone",) if row.unmasked else ()), *(f"{OWN}{key}" for key in row.fields)]
    chunks = ExportChunk.objects.filter(job=row).order_by("number")
    body = b""
    for chunk in chunks.iterator(chunk_size=4):
        note_listed(people=chunk.people, page="export", fields=shown, at=clock.now())
        body += base64.b64decode(chunk.body.reveal())
    return body


def delete_old_exports(brand_id: int, *, at: datetime) -> int:
    """Delete written files whose time is over; gives how many."""
    with brand_scope(brand_id):
        old = list(
            Export.objects.filter(state=ExportState.READY, delete_at__lte=at)
            .order_by("pk")
            .values_list("pk", flat=True)
        )
        ExportChunk.objects.filter(job_id__in=old).delete()
        return Export.objects.filter(pk__in=old).update(state=ExportState.GONE)


shows(
    *("export", gettext_lazy("List of members as a file"), "name", "number", "phone_masked", "card", "birthday"),
    *("gender", "city", "tags", "relations", "points"),
    way=Way.EXPORT,
)
