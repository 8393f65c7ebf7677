"""Single questions about channels: whose scene, what is left of the quota, who owns what, who works here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from django.db import connection
from django.db.models import Count, Q
from django.utils.translation import gettext_lazy

from accounts.models import RoleGrant, StaffUser
from accounts.tenancy import current_brand_id
from common import clock
from common.registry import Registry
from touchpoints.models import (
    CodeAllowance,
    CodeIssue,
    CodeOrder,
    StaffPerson,
    Touch,
    TouchKind,
    Touchpoint,
    TouchpointTag,
)
from touchpoints.selectors.benefits import offers_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence
    from datetime import datetime

    from django.db.models import QuerySet
    from django_stubs_ext import StrOrPromise

    from wechat_gateway.events import Push
    from wechat_gateway.models import OfficialAccount

# WeChat's documented limit (service account reference 5.5); an account with another one has a row in `CodeAllowance`.
PERMANENT_CODES: Final = 100_000


@dataclass(frozen=True)
class OwnerKind:
    """A kind of people or organisations that answer for channels: its name, who can be chosen, what ids are called."""

    label: StrOrPromise
    choices: Callable[[], list[tuple[int, str]]]
    names: Callable[[Iterable[int]], dict[int, str]]


owners: Registry[OwnerKind] = Registry("channel owners", purpose="who can answer for a channel: staff, guides …")


def _staff_choices() -> list[tuple[int, str]]:
    """Give the people who work for the brand in scope: accounts are a global table, roles are the brand's."""
    working = StaffUser.objects.filter(pk__in=RoleGrant.objects.values("staff_user_id"))
    return [(user.pk, user.name or user.username) for user in working.order_by("username")[:500]]


def _staff_names(ids: Iterable[int]) -> dict[int, str]:
    working = StaffUser.objects.filter(
        pk__in=RoleGrant.objects.filter(staff_user__in=list(ids)).values("staff_user_id")
    )
    return {user.pk: user.name or user.username for user in working.order_by("pk")}


owners.register("staff", OwnerKind(gettext_lazy("Staff"), _staff_choices, _staff_names))


@dataclass(frozen=True)
class Code:
    """A channel whose code was scanned, with the tags it gives."""

    touchpoint: Touchpoint
    tag_ids: tuple[int, ...]


def tags_of_code(touchpoint_id: int) -> list[int]:
    """Give the tags that a code gives."""
    return list(TouchpointTag.objects.filter(touchpoint_id=touchpoint_id).values_list("tag_id", flat=True))


def codes_of(scenes: Collection[tuple[int, str]]) -> dict[tuple[int, str], Code]:
    """Give the channels whose codes carry scenes of accounts, in two queries; unknown scenes are left out."""
    wanted = {(account_id, scene) for account_id, scene in scenes if scene}
    if not wanted:
        return {}
    rows = Touchpoint.objects.select_related("store").filter(
        account_id__in={account_id for account_id, _ in wanted}, scene__in={scene for _, scene in wanted}
    )
    found = {(row.account_id or 0, row.scene): row for row in rows}
    tags: dict[int, list[int]] = {}
    given = TouchpointTag.objects.filter(touchpoint_id__in=[row.pk for row in found.values()]).order_by("pk")
    for touchpoint_id, tag_id in given.values_list("touchpoint_id", "tag_id") if found else ():
        tags.setdefault(touchpoint_id, []).append(tag_id)
    return {key: Code(row, tuple(tags.get(row.pk, ()))) for key, row in found.items() if key in wanted}


_OF_PUSH: Final = "touchpoints.code"
_TICKET: Final = 200


def look_up_codes(pushes: Sequence[Push]) -> None:
    """Look up the codes that pushes report scans of, once for all of them."""
    codes = codes_of({(push.account_id, push.scene) for push in pushes})
    for push in pushes:
        push.found[_OF_PUSH] = codes.get((push.account_id, push.scene))


def known_code(push: Push) -> Code | None:
    """Give the code that a push reports a scan of, if somebody has looked already."""
    code: Code | None = push.found.get(_OF_PUSH)
    return code


def code_of(account_id: int, scene: str, push: Push | None = None) -> Code | None:
    """Give the channel whose code carries a scene; of a push it may be known already."""
    if push is not None and _OF_PUSH in push.found:
        return known_code(push)
    return codes_of([(account_id, scene)]).get((account_id, scene))


def works_at(row: Touchpoint, at: datetime) -> bool:
    """Say whether a code does what it promises at a moment: not paused, not archived, not over."""
    return row.is_active and row.archived_at is None and (row.ends_at is None or at < row.ends_at)


def in_use() -> Q:
    """Give what `works_at` asks whatever the moment is, as a predicate on channels."""
    return Q(is_active=True, archived_at__isnull=True)


def working(at: datetime) -> Q:
    """Give what `works_at` asks as a predicate on channels."""
    return in_use() & (Q(ends_at__isnull=True) | Q(ends_at__gt=at))


_GIFT: Final = ("{benefit}", "{权益}")
_SENTENCES: Final = re.compile(r"[^。！？!?\n]+[。！？!?\n]*|[。！？!?\n]+")


def _names_gift(text: str) -> bool:
    return any(word in text for word in _GIFT)


def ends_of(account_id: int) -> dict[str, datetime]:
    """Give when the codes of an account that are in use will be over, by scene; those without end are left out."""
    rows = Touchpoint.objects.filter(in_use(), account_id=account_id, ends_at__isnull=False).exclude(scene="")
    return {scene: at for scene, at in rows.order_by("pk").values_list("scene", "ends_at") if at is not None}


@dataclass(frozen=True)
class Welcome:
    """What a code itself says to whoever scans it, and until when what it promises by name can be given."""

    text: str
    until: datetime | None = None


def welcomes_of(account_id: int) -> dict[str, Welcome]:
    """Give the welcome of every code of an account that has one, by scene, but not of codes that are paused.

    The word benefit in braces becomes the name of what the code gives, or what is printed where it is to give nothing.
    While it cannot give what it is to give, no sentence names it: a welcome that says nothing else is left out.
    """
    rows = Touchpoint.objects.filter(in_use(), account_id=account_id).exclude(scene="").exclude(welcome="")
    codes = list(rows.order_by("pk"))
    offers = offers_of(row for row in codes if _names_gift(row.welcome))
    found = {}
    for row in codes:
        text, offer = row.welcome, offers.get(row.pk)
        if row.benefit_kind and (offer is None or offer.problem):
            text, offer = "".join(part for part in _SENTENCES.findall(text) if not _names_gift(part)).strip(), None
        for word in _GIFT:
            text = text.replace(word, offer.name if offer else row.benefit)
        if text:
            found[row.scene] = Welcome(text, offer.ends_at if offer else None)
    return found


def scan_counts(touchpoint_ids: list[int]) -> dict[int, dict[str, int]]:
    """Give how often codes were scanned: {touchpoint: {"FOLLOW": n, "REFOLLOW": n, "SCAN": n}} in one query."""
    rows = (
        Touch.objects.filter(touchpoint_id__in=touchpoint_ids)
        .values("touchpoint_id")
        .annotate(**{kind: Count("pk", filter=Q(kind=kind)) for kind in TouchKind.values})
        .order_by("touchpoint_id")
    )
    counts: list[dict[str, int]] = list(rows)  # type: ignore[arg-type] # the names come from TouchKind
    return {row["touchpoint_id"]: {kind: row[kind] for kind in TouchKind.values} for row in counts}


def touches_of(member_id: int) -> QuerySet[Touch]:
    """Give a person's touches, newest first."""
    return Touch.objects.select_related("touchpoint").filter(member_id=member_id).order_by("-at", "-pk")


# First when the last of them was, from the index alone; then only what is not older is read.
_LATEST: Final = """
WITH moment AS MATERIALIZED (
    SELECT t.at FROM unnest(%(codes)s::bigint[]) AS code
    CROSS JOIN LATERAL (
        SELECT at FROM touchpoints_touch WHERE brand_id = %(brand)s AND touchpoint_id = code
        ORDER BY at DESC LIMIT %(limit)s
    ) t
    ORDER BY t.at DESC LIMIT %(limit)s
)
SELECT id FROM touchpoints_touch
WHERE brand_id = %(brand)s AND touchpoint_id = ANY(%(codes)s) AND at >= (SELECT min(at) FROM moment)
ORDER BY at DESC, id DESC LIMIT %(limit)s
"""


def latest_touches(touchpoint_ids: Collection[int], *, limit: int) -> list[Touch]:
    """Give the newest touches of some codes, newest first."""
    with connection.cursor() as cursor:
        cursor.execute(_LATEST, {"codes": list(touchpoint_ids), "brand": current_brand_id(), "limit": limit})
        found = [row[0] for row in cursor.fetchall()]
    rows = Touch.objects.filter(pk__in=found).select_related("member", "touchpoint", "issue", "mini_code")
    return list(rows.defer("mini_code__picture").order_by("-at", "-pk"))


def has_touch(opening: str) -> bool:
    """Say whether what is told apart by this id was kept before."""
    return Touch.objects.filter(opening=opening).exists()


@dataclass(frozen=True)
class Standing:
    """What decides how a touch of somebody counts: as of its moment."""

    is_staff: bool = False
    joined: bool = False
    subscribed: bool = False
    left_out: bool = False
    has_store: bool = False
    issue_id: int | None = None


_STANDINGS: Final = """
SELECT w.place,
    EXISTS (SELECT FROM touchpoints_staffperson s WHERE s.brand_id = m.brand_id AND s.member_id = m.id),
    coalesce(m.joined_at < w.at, false),
    m.subscribed,
    EXISTS (SELECT FROM members_flag f WHERE f.brand_id = m.brand_id AND f.member_id = m.id
        AND coalesce(f.since <= w.at, true) AND coalesce(w.at < f.until, true)),
    m.store_id IS NOT NULL,
    (SELECT i.id FROM touchpoints_codeissue i WHERE i.brand_id = m.brand_id AND i.touchpoint_id = w.code
        AND i.ticket = w.ticket ORDER BY i.id LIMIT 1)
FROM unnest(%s::bigint[], %s::timestamptz[], %s::bigint[], %s::text[])
    WITH ORDINALITY AS w(member, at, code, ticket, place)
JOIN members_member m ON m.brand_id = %s AND m.id = w.member
"""


class Scanned(NamedTuple):
    """A touch whose standing is asked for: who, when, by which code, from the picture with which ticket."""

    member_id: int
    at: datetime
    code_id: int | None = None
    ticket: str = ""


def standings_of(touches: Sequence[Scanned]) -> list[Standing]:
    """Give in one query what decides how touches count, in their order."""
    if not touches:
        return []
    members, moments, codes, tickets = (list(column) for column in zip(*touches, strict=True))
    tickets = [str(ticket)[:_TICKET] or None for ticket in tickets]
    with connection.cursor() as cursor:
        cursor.execute(_STANDINGS, [members, moments, codes, tickets, current_brand_id()])
        found = {place: Standing(*facts) for place, *facts in cursor.fetchall()}
    return [found.get(place, Standing()) for place in range(1, len(touches) + 1)]


def standing_of(touch: Scanned) -> Standing:
    """Give what decides how a touch counts; `issue_id` is the picture that was scanned, by its ticket."""
    return standings_of([touch])[0]


def is_staff(member_id: int) -> bool:
    """Say whether a person was marked as working here."""
    return StaffPerson.objects.filter(member_id=member_id).exists()


@dataclass(frozen=True)
class CodeMeter:
    """What an account has spent of its permanent codes.

    `ordered` are still to be made, `lost` were asked for without an answer (each may have cost one), `elsewhere` the
    brand says were made without this product. `pace` is how many were made in the last 30 days.
    """

    account: OfficialAccount
    limit: int
    made: int
    ordered: int
    lost: int
    elsewhere: int
    pace: int
    repeats_are_free: bool
    is_own: bool  # the limit was set for this account

    @property
    def used(self) -> int:
        """Everything that counts against the limit."""
        return self.made + self.ordered + self.elsewhere + (0 if self.repeats_are_free else self.lost)

    @property
    def left(self) -> int:
        """How many may still be made."""
        return max(0, self.limit - self.used)

    @property
    def months_left(self) -> int | None:
        """For how many months it lasts at the pace of the last 30 days; None when none was made."""
        return self.left // self.pace if self.pace else None


PACE_OF: Final = timedelta(days=30)


def code_meters(accounts: Iterable[OfficialAccount], *, now: datetime) -> list[CodeMeter]:
    """Measure accounts, in four queries however many they are."""
    rows = list(accounts)
    ids = [account.pk for account in rows]
    lately = Q(issued_at__gt=now - PACE_OF)
    made = CodeIssue.objects.filter(account_id__in=ids, is_permanent=True).values("account_id").order_by("account_id")
    made_by = {
        row["account_id"]: (row["made"], row["lately"])
        for row in made.annotate(made=Count("pk"), lately=Count("pk", filter=lately))
    }
    ordered: dict[int | None, int] = dict(
        Touchpoint.objects.filter(account_id__in=ids, is_permanent=True, ticket="")
        .values_list("account_id")
        .annotate(Count("pk"))
        .order_by("account_id")
    )
    lost: dict[int, int] = dict(
        CodeOrder.objects.filter(account_id__in=ids, is_permanent=True, state=CodeOrder.State.LOST)
        .values_list("account_id")
        .annotate(Count("pk"))
        .order_by("account_id")
    )
    own = {row.account_id: row for row in CodeAllowance.objects.filter(account_id__in=ids)}
    return [
        CodeMeter(
            account=account,
            limit=own[account.pk].permanent_codes if account.pk in own else PERMANENT_CODES,
            made=made_by.get(account.pk, (0, 0))[0],
            ordered=ordered.get(account.pk, 0),
            lost=lost.get(account.pk, 0),
            elsewhere=own[account.pk].made_elsewhere if account.pk in own else 0,
            pace=made_by.get(account.pk, (0, 0))[1],
            repeats_are_free=own[account.pk].repeats_are_free if account.pk in own else True,
            is_own=account.pk in own,
        )
        for account in rows
    ]


def permanent_codes_left(account: OfficialAccount) -> int:
    """Give how many permanent codes an account may still make."""
    return code_meters([account], now=clock.now())[0].left


def owner_names(rows: Iterable[Touchpoint]) -> dict[tuple[str, int], str]:
    """Give the names of the owners of some channels, one query per kind of owner."""
    wanted: dict[str, set[int]] = {}
    for row in rows:
        if row.owner_kind and row.owner_id is not None:
            wanted.setdefault(row.owner_kind, set()).add(row.owner_id)
    found: dict[tuple[str, int], str] = {}
    for kind, ids in wanted.items():
        entry: Any = owners.find(kind)
        if entry is not None:
            found |= {(kind, pk): name for pk, name in entry.names(ids).items()}
    return found
