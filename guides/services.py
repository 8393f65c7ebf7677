"""Changes to guides and to who looks after whom."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from datetime import timedelta
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from django.db import transaction
from django.utils.translation import gettext as _

from accounts.sealing import blind_index
from accounts.services import record_audit
from accounts.tenancy import current_brand_id
from guides.errors import ConsentNeeded, GuideHasLeft, GuidePolicyRefused
from guides.models import Assignment, Guide, GuidePolicy, JoinedBy, Joining
from guides.selectors import guide_of, guide_of_scan, policy, protected_until
from members import services as member_services
from members.errors import JoinCodeRefused
from members.merging import Joined
from members.models import IdentityKind
from members.selectors import member_by_id, surviving
from members.services.links import source_of
from touchpoints.origins import CONTACTS
from touchpoints.selectors import has_touch, is_staff
from touchpoints.services import origin_node, record_contact_added

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from members.models import Member
    from touchpoints.models import Touch, Touchpoint


@dataclass(frozen=True)
class Contact:
    """Somebody as WeCom knows them; `subject` issued the unionid."""

    corp: str
    external_userid: str
    unionid: str = ""
    subject: str = ""


MOST_DAYS: Final = 3650
AT_ONCE: Final = 2_000


@transaction.atomic
def assign_guide(*, member_id: int, guide: Guide, reason: str, at: datetime, replace: bool = False) -> Assignment:
    """Make a guide the exclusive guide of a person. Who has one who works here keeps them unless `replace`."""
    current = _current(member_id)
    if current is not None and (current.guide_id == guide.pk or not (replace or not current.guide.is_active)):
        return current
    return _put(current, member_id=member_id, guide=guide, reason=reason, at=at)


def _current(member_id: int) -> Assignment | None:
    rows = Assignment.objects.select_for_update(of=("self",)).select_related("guide")
    return rows.filter(member_id=member_id, until__isnull=True).first()


def _put(current: Assignment | None, *, member_id: int, guide: Guide, reason: str, at: datetime) -> Assignment:
    if current is not None:
        current.until = max(at, current.since)  # what is told late may be older than whom they had since
        current.save(update_fields=["until"])
    assignment = Assignment.objects.create(member_id=member_id, guide=guide, since=at, reason=reason[:120])
    before = str(current.guide) if current else None
    record_audit(action="assign guide", obj=assignment, changes={"guide": [before, str(guide)]}, reason=reason)
    return assignment


@transaction.atomic
def hand_over(*, member_ids: Sequence[int], guide: Guide, reason: str, at: datetime) -> int:
    """Give people to a guide, whoever looks after them now; gives how many changed hands. Raises GuideHasLeft."""
    if not guide.is_active:
        raise GuideHasLeft(guide.name)
    open_ones = Assignment.objects.filter(member_id__in=member_ids, until__isnull=True)
    before = dict(open_ones.select_for_update().order_by("pk").values_list("member_id", "guide_id"))
    changing = [pk for pk in dict.fromkeys(member_ids) if before.get(pk) != guide.pk]
    open_ones.filter(member_id__in=changing).update(until=at)
    Assignment.objects.bulk_create(
        [Assignment(member_id=pk, guide=guide, since=at, reason=reason[:120]) for pk in changing], batch_size=1000
    )
    if changing:
        names = {row.pk: str(row) for row in Guide.objects.filter(pk__in=set(before.values())).order_by("pk")}
        record_audit(
            action="hand members over",
            obj=guide,
            changes={
                "guide": [sorted({names[before[pk]] for pk in changing if pk in before}), str(guide)],
                "count": [None, len(changing)],
            },
            reason=reason,
        )
    return len(changing)


@transaction.atomic
def set_policy(*, protected_days: int | None, valid_days: int | None, at: datetime) -> GuidePolicy:
    """Say how long guides keep members against other guides' codes. Raises GuidePolicyRefused."""
    for name, days in (("protected_days", protected_days), ("valid_days", valid_days)):
        if days is not None and not 0 <= days <= MOST_DAYS:
            raise GuidePolicyRefused(
                _("Days are a whole number up to %(most)s.") % {"most": MOST_DAYS}, hint="", field=name
            )
    if valid_days == 0 or (valid_days is not None and protected_days is not None and protected_days > valid_days):
        raise GuidePolicyRefused(
            _("Nobody is protected for longer than the relation is valid, and it is valid for a day at least."),
            hint=_("Shorten the protected days, or leave the valid days empty."),
            field="protected_days",
        )
    rules = policy()
    changes = {
        name: [getattr(rules, name), days]
        for name, days in (("protected_days", protected_days), ("valid_days", valid_days))
        if getattr(rules, name) != days
    }
    rules.protected_days, rules.valid_days, rules.changed_at = protected_days, valid_days, at
    rules.save()
    record_audit(action="change rules of guides", obj=rules, changes=changes)
    return rules


def end_lapsed(*, at: datetime, limit: int = AT_ONCE) -> int:
    """End relations that are valid no more, the oldest first; gives how many."""
    rules = policy()
    if rules.valid_days is None:
        return 0
    old = Assignment.objects.filter(until__isnull=True, since__lte=at - timedelta(days=rules.valid_days))
    ids = list(old.order_by("since", "pk").values_list("pk", flat=True)[:limit])
    return Assignment.objects.filter(pk__in=ids, until__isnull=True).update(until=at)


def assign_members(*, member_ids: Sequence[int], guide: Guide, reason: str, at: datetime) -> dict[int, int]:
    """Make a guide the exclusive guide of those of these people who have none; gives the assignments by person."""
    taken = set(
        Assignment.objects.filter(member_id__in=member_ids, until__isnull=True).values_list("member_id", flat=True)
    )
    rows = Assignment.objects.bulk_create(
        [
            Assignment(member_id=member_id, guide=guide, since=at, reason=reason[:120])
            for member_id in dict.fromkeys(member_ids)
            if member_id not in taken
        ],
        batch_size=1000,
    )
    return {row.member_id: row.pk for row in rows}


@dataclass(frozen=True)
class Added:
    """What came of a contact in WeCom: the person, the touch, whether it is news, and who looks after them now."""

    member: Member
    touch: Touch
    is_new: bool
    guide: Guide | None


@transaction.atomic
def record_contact(
    *, guide: Guide, contact: Contact, touchpoint: Touchpoint | None, system: str, at: datetime
) -> Added:
    """Keep that somebody added a guide in WeCom: all they are known by becomes one person, whose guide it becomes.

    The touch counts for the channel that is named, else for the guide's own code, else for "Guides in WeCom". Who has
    another guide keeps them as after a scan of a guide's code. Told again it changes nothing.
    """
    known = [member_services.Known(IdentityKind.EXTERNAL, contact.external_userid, contact.corp)]
    if contact.unionid:
        known.append(member_services.Known(IdentityKind.UNIONID, contact.unionid, contact.subject))
    source = source_of(system)
    member = member_services.meet(identities=known, source=source, at=at).member
    channel = touchpoint or guide.touchpoint or origin_node(CONTACTS, at=at)
    name = f"{contact.corp}\x1f{contact.external_userid}\x1f{guide.staff_no}"
    key = f"wecom:{blake2b(name.encode(), digest_size=20).hexdigest()}"
    if not is_staff(member.pk) and not has_touch(key):  # before the code of the guide says so for its own reason
        _meet(member.pk, guide, reason="WeCom", at=at)
    touch, is_new = record_contact_added(member_id=member.pk, touchpoint=channel, key=key, at=at)
    now = _current(member.pk)
    return Added(member, touch, is_new, now.guide if now is not None else None)


@transaction.atomic(savepoint=False)
def assign_by_code(touch: Touch) -> None:
    """Whoever scans a guide's code without having a guide gets that one; their store comes along.

    A code is a guide's when it is theirs, or when a guide answers for it. Who has another guide keeps them, unless that
    one has left or the brand's days of protection are over.
    """
    guide = guide_of_scan(touch)
    if guide is None or touch.touchpoint is None:
        return
    _meet(touch.member_id, guide, reason=f"code: {touch.touchpoint.name}", at=touch.at)


def _meet(member_id: int, guide: Guide, *, reason: str, at: datetime) -> None:
    """Somebody met a guide: who has none, or one who is not protected, gets this one; the store comes along."""
    current = _current(member_id)
    if current is None or (current.guide_id != guide.pk and _is_open(current, at)):
        _put(current, member_id=member_id, guide=guide, reason=reason, at=at)
    member_services.set_store(member_id=member_id, store=guide.store, at=at)


def _is_open(current: Assignment, at: datetime) -> bool:
    """Say whether another guide's code takes somebody over. A push that comes late counts for its own time."""
    if not current.guide.is_active:
        return True
    ends = protected_until(current.since, policy())
    return ends is not None and at >= ends


def give_code(*, guide: Guide, touchpoint: Touchpoint) -> Guide:
    """Tie a code to a guide: whoever follows through it gets this guide."""
    guide.touchpoint = touchpoint
    guide.save(update_fields=["touchpoint"])
    return guide


def _move_assignments(*, kept: Member, merged: Member, at: datetime) -> int:
    """When two records become one: who became the guide first and works here stays it."""
    now = Assignment.objects.filter(member__in=[kept, merged], until__isnull=True)
    ranked = sorted(
        now.select_related("guide"),
        key=lambda row: (not row.guide.is_active, row.since, row.member_id != kept.pk, row.pk),
    )
    now.filter(pk__in=[row.pk for row in ranked[1:]]).update(until=at)
    Joining.objects.filter(member=merged).update(member=kept)
    return Assignment.objects.filter(member=merged).update(member=kept)


ASSIGNMENTS: Final = Joined((Assignment, Joining), _move_assignments)


def shown_guide(member_id: int) -> list[str]:
    """Say who looks after somebody, for the preview of a merge."""
    guide = guide_of(member_id)
    return [f"{guide.name} {guide.staff_no}"] if guide else []


# --- joining with a guide --------------------------------------------------------------------------------------------

_STEP: Final = 60  # seconds after which a join code changes
_STEPS: Final = 5  # so many minutes a code that was shown still works
_PROOF: Final = 10  # digits


@dataclass(frozen=True)
class ShownJoinCode:
    """What a guide's phone shows, and for how many seconds it certainly works."""

    code: str
    seconds_left: int


def join_code(*, guide: Guide, at: datetime) -> ShownJoinCode:
    """Give the join code a guide shows now. Nothing is stored; who scans it joins with this guide."""
    if not guide.is_active:
        raise GuideHasLeft(guide.name)
    step = _step(at)
    left = (step + _STEPS) * _STEP - int(at.timestamp())
    return ShownJoinCode(f"{_proof(guide.pk, step)}{guide.pk}", left)


def guide_of_join_code(code: str, *, at: datetime) -> Guide | None:
    """Give the working guide who shows a join code, or showed it some minutes ago."""
    if not (code.isascii() and code.isdigit() and _PROOF < len(code) <= _PROOF + 18):
        return None
    guide = Guide.objects.select_related("store").filter(pk=int(code[_PROOF:]), is_active=True).first()
    if guide is None:
        return None
    now = _step(at)
    steps = range(now - _STEPS + 1, now + 1)
    right = [hmac.compare_digest(_proof(guide.pk, step), code[:_PROOF]) for step in steps]
    return guide if any(right) else None


def _step(at: datetime) -> int:
    return int(at.timestamp()) // _STEP


def _proof(guide_id: int, step: int) -> str:
    made = blind_index(current_brand_id(), "join code", f"{guide_id}:{step}").int
    return f"{made % 10**_PROOF:0{_PROOF}d}"


@transaction.atomic
def join_by_code(*, code: str, member_id: int, is_new: bool, at: datetime) -> None:
    """Whoever has scanned a guide's join code and bound their phone has joined with that guide."""
    guide = guide_of_join_code(code, at=at)
    if guide is None:
        raise JoinCodeRefused
    _meet(member_id, guide, reason=f"joined: {guide.store.name}", at=at)
    if is_new:
        Joining.objects.create(member_id=member_id, guide=guide, store=guide.store, way=JoinedBy.SCAN, at=at)


@dataclass(frozen=True)
class AtCounter:
    """Who joined, and whether they were no member before."""

    member: Member
    is_new: bool


@transaction.atomic
def join_at_counter(
    *,
    phone: str,
    code: str,
    guide: Guide,
    agreed: Mapping[str, str],
    asker: str,
    by: str,
    at: datetime,
    name: str = "",
) -> AtCounter | None:
    """Make whoever read the code from their phone a member, with this guide and what they agreed to; None: wrong code.

    `agreed` names the version of the text of each purpose.

    Everything is one transaction, and the code is spent in it; asked again by the same caller nothing is done twice.
    Commit also when the answer is None: the try counts. Raises `GuideHasLeft`, `ConsentTextInvalid`, `PhoneTaken`.
    """
    if not guide.is_active:
        raise GuideHasLeft(guide.name)
    if not agreed:
        raise ConsentNeeded
    for purpose, version in agreed.items():
        member_services.check_statement(purpose=purpose, text_version=version)
    spent = member_services.try_code(phone=phone, code=code, asker=asker, at=at)
    if spent is None:
        return None
    if spent.again is not None:
        known = surviving(member_by_id(spent.again))
        return AtCounter(known, Joining.objects.filter(operation=spent.row.public_id).exists())
    member, is_new = member_services.join_by_phone(
        number=phone, source=f"text message: {guide.staff_no}"[:40], at=at, name=name
    )
    for purpose, version in sorted(agreed.items()):
        member_services.give_consent(
            member=member,
            purpose=purpose,
            text_version=version,
            channel="STORE",
            source=f"guide: {guide.staff_no} {guide.store.code}"[:40],
            at=at,
        )
    _meet(member.pk, guide, reason=f"joined: {guide.store.name}", at=at)
    if is_new:
        Joining.objects.create(
            member=member,
            guide=guide,
            store=guide.store,
            way=JoinedBy.SMS,
            operation=spent.row.public_id,
            by=by[:60],
            at=at,
        )
    spent.by(member, at=at)
    record_audit(action="join at counter", obj=member, changes={"guide": [None, str(guide)]}, reason=guide.store.name)
    return AtCounter(member, is_new)
