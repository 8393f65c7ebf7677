"""What WeChat has of tags: its list as it was read last, tags deleted there, and tags made there again."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from django.db import transaction
from django.utils.translation import gettext as _

from accounts.services import record_audit
from accounts.tasks_base import ring
from accounts.tenancy import brand_scope, every_brand
from common.failpoints import point
from members import tasks
from members.errors import TagStays
from members.models import RemoteTag, RemoteTagState, Tag, TagDirection, TagGroup, TagRoll
from members.uses import uses_of
from wechat_gateway import calls
from wechat_gateway.answers import Outcome, explained
from wechat_gateway.errcodes import is_unknown_tag
from wechat_gateway.models import OfficialAccount

if TYPE_CHECKING:
    from datetime import datetime

    from wechat_gateway.answers import Answer

MOST_TAGS: Final = 100  # of one account, and the most followers of a tag that can be deleted: reference 5.3
MOST_PEOPLE: Final = 100_000
FRESH: Final = timedelta(seconds=10)  # opening the page again does not ask again
_FIRST_OWN: Final = 100  # below are WeChat's own (star, blacklist …)


def say(answer: Answer) -> str:
    """Say why WeChat did not do something, with its code."""
    known = explained(answer)
    if known is not None:
        return f"{known.cause} ({answer.code})" if answer.code else str(known.cause)
    return _("WeChat could not be reached (%(cause)s)") % {"cause": answer.cause}


def keep_roll(account: OfficialAccount, answer: Answer, at: datetime) -> TagRoll:
    """Keep WeChat's list of an account's tags, without WeChat's own."""
    rows: list[dict[str, Any]] = [
        {"id": int(row["id"]), "name": str(row["name"]), "count": int(row.get("count") or 0)}
        for row in answer.data.get("tags", [])
        if int(row["id"]) >= _FIRST_OWN
    ]
    roll, _created = TagRoll.objects.update_or_create(
        account=account, defaults={"tags": rows, "read_at": at, "problem": ""}
    )
    return roll


def keep_trouble(account: OfficialAccount, answer: Answer) -> None:
    """Keep why the list could not be read; the last one stays."""
    TagRoll.objects.update_or_create(account=account, defaults={"problem": say(answer)[:200]})


def read_roll(brand_id: int, account_id: int, *, at: datetime) -> None:
    """Read WeChat's list of an account's tags, unless it was just read."""
    with brand_scope(brand_id):
        account = OfficialAccount.objects.filter(pk=account_id, is_active=True).first()
        roll = TagRoll.objects.filter(account_id=account_id).first()
    if account is None or (roll is not None and roll.read_at is not None and at - roll.read_at < FRESH):
        return
    answer = calls.list_tags(account, at=at)
    with brand_scope(brand_id):
        if answer.ok:
            keep_roll(account, answer, at)
        else:
            keep_trouble(account, answer)


def look_at_rolls(*, account_ids: list[int], brand_id: int) -> None:
    """Have WeChat's lists read by a worker."""
    for account_id in account_ids:
        ring(tasks.read_tag_roll, brand_id, account_id)


# --- deleting --------------------------------------------------------------------------------------------------------


def why_not_deleted(remote_tag: RemoteTag) -> tuple[str, str]:
    """Say why a tag is not to be deleted at WeChat, and what helps; two empty texts when it may be."""
    if remote_tag.tag.sync:
        return _("This tag is kept in step with WeChat."), _("Switch that off first; people here keep the tag.")
    if TagGroup.objects.filter(name=remote_tag.tag.group, direction=TagDirection.PULL).exists():
        return (
            _("What WeChat has counts for the group of this tag."),
            _("Delete it in WeChat's console, or let another direction count for the group."),
        )
    uses = uses_of(remote_tag)
    if uses:
        names = _(", ").join(f"“{use.name}”" for use in uses[:5])
        return _("It is used by %(names)s.") % {"names": names}, _("Take it out there and publish first.")
    roll = TagRoll.objects.filter(account_id=remote_tag.account_id).first()
    for each in roll.tags if roll is not None else []:
        if each["id"] == remote_tag.remote_id and (each["count"] or 0) > MOST_PEOPLE:
            return (
                _("More than 100,000 followers carry the tag, and WeChat deletes no such tag."),
                _("Take it off them in WeChat's console first."),
            )
    return "", ""


@transaction.atomic
def delete_at_wechat(*, tag: Tag, account_id: int) -> bool:
    """Have a worker delete a tag at WeChat; people here keep it. False when it is gone already. Raises `TagStays`."""
    row = RemoteTag.objects.select_for_update(of=("self",)).filter(tag=tag, account_id=account_id).first()
    if row is None:
        return False
    if row.state != RemoteTagState.LEAVING:
        said, hint = why_not_deleted(row)
        if said:
            raise TagStays(said, hint=hint)
        row.state, row.refused_code, row.problem = RemoteTagState.LEAVING, None, ""
        row.save(update_fields=["state", "refused_code", "problem"])
        record_audit(action="delete tag at WeChat", obj=tag, changes={"account": [row.account.name, None]})
    ring(tasks.delete_leaving_tags, row.brand_id)
    return True


def sweep_leaving() -> int:
    """Ring for every brand with tags to delete at WeChat."""
    with every_brand(reason="tags to delete at WeChat"):
        rows = RemoteTag.objects.filter(state=RemoteTagState.LEAVING)
        brands = list(rows.order_by().values_list("brand_id", flat=True).distinct())
    for brand_id in brands:
        ring(tasks.delete_leaving_tags, brand_id)
    return len(brands)


def delete_leaving_tags(brand_id: int, *, at: datetime) -> int:
    """Delete at WeChat what is to be deleted; gives how many are gone. Doing it again after a crash is harmless."""
    with brand_scope(brand_id):
        rows = RemoteTag.objects.filter(state=RemoteTagState.LEAVING, account__is_active=True)
        waiting = list(rows.order_by("pk").values_list("pk", flat=True))
    return sum(_delete(brand_id, pk, at) for pk in waiting)


def _delete(brand_id: int, remote_tag_id: int, at: datetime) -> bool:
    with brand_scope(brand_id):
        row = _leaving(remote_tag_id)
        if row is None:
            return False
        if why_not_deleted(row)[0]:  # somebody wants it again by now
            row.state = ""
            row.save(update_fields=["state"])
            return False
        account = row.account
    answer = calls.delete_tag(account, row.remote_id, at=at)
    point("tags: deleted at WeChat")
    gone = answer.ok
    if not gone and (answer.outcome is not Outcome.REFUSED or is_unknown_tag(answer.code)):
        # WeChat's list tells whether it went, with a call whose answer was lost or before.
        listed = calls.list_tags(account, at=at)
        gone = listed.ok and all(int(each["id"]) != row.remote_id for each in listed.data.get("tags", []))
    with brand_scope(brand_id):
        row = _leaving(remote_tag_id)
        if row is None:
            return False
        if gone:
            row.delete()
            _strike(row)
        elif answer.outcome is Outcome.REFUSED and not is_unknown_tag(answer.code):
            row.state, row.refused_code = "", answer.code
            row.save(update_fields=["state", "refused_code"])
        else:
            row.problem = say(answer)[:200]  # it is tried again
            row.save(update_fields=["problem"])
    return gone


def _leaving(remote_tag_id: int) -> RemoteTag | None:
    rows = RemoteTag.objects.select_for_update(of=("self",)).select_related("account", "tag")
    return rows.filter(pk=remote_tag_id, state=RemoteTagState.LEAVING).first()


def _strike(row: RemoteTag) -> None:
    roll = TagRoll.objects.select_for_update().filter(account_id=row.account_id).first()
    if roll is not None:
        roll.tags = [each for each in roll.tags if each["id"] != row.remote_id]
        roll.save(update_fields=["tags"])


# --- making again ----------------------------------------------------------------------------------------------------


@transaction.atomic
def make_again(*, tag: Tag, account: OfficialAccount, at: datetime) -> None:
    """Have a tag that WeChat has lost made there again, with the people who carry it here. Raises `TagStays`."""
    if not tag.sync:
        raise TagStays(
            _("This tag is not kept in step with WeChat."),
            hint=_("Switch that on; then it is made there within minutes."),
        )
    roll, _created = TagRoll.objects.select_for_update().get_or_create(account=account)
    if tag.pk in roll.wanted or RemoteTag.objects.filter(tag=tag, account=account).exists():
        return
    roll.wanted = [*roll.wanted, tag.pk]
    roll.save(update_fields=["wanted"])
    record_audit(action="make tag at WeChat again", obj=tag, changes={"account": [None, account.name]})
    ring(tasks.sync_account_tags, tag.brand_id, account.pk)


def wanted_again(account: OfficialAccount) -> set[int]:
    """Give the tags that are to be made at WeChat whatever their group says."""
    return set(TagRoll.objects.filter(account=account).values_list("wanted", flat=True).first() or ())


def note_made(account: OfficialAccount, tag: Tag, remote_id: int) -> None:
    """Add a tag that was just made to the list that was read before; who carries it there is told by the next."""
    roll = TagRoll.objects.select_for_update().get(account=account)
    roll.tags = [*roll.tags, {"id": remote_id, "name": tag.name, "count": None}]
    roll.wanted = [pk for pk in roll.wanted if pk != tag.pk]
    roll.save(update_fields=["tags", "wanted"])
