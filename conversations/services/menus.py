"""Drafts of menus, and giving them to WeChat: outside any transaction, from a copy of what was looked at."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from django.db import transaction
from django.db.models import Max, Q
from django.urls import NoReverseMatch, reverse
from django.utils.translation import gettext as _

from accounts.services import record_audit
from accounts.tasks_base import ring
from accounts.tenancy import brand_scope, every_brand
from common.failpoints import point
from conversations import tasks
from conversations.errors import MenuInvalid, MenuPlanned, MenuRefused, TimePassed
from conversations.menus import faults, match_fault, plain
from conversations.models import LastTag, Menu, MenuState, MenuVersion, TagMenu
from conversations.selectors import Unsettled, leaves_of, unsettled_people
from library.selectors import files_for_menus
from members.models import RemoteTag, RemoteTagState, Tag
from members.uses import TagUse
from touchpoints.errors import NotInTree
from touchpoints.models import SentBy
from touchpoints.services import page_that_counts
from wechat_gateway import calls
from wechat_gateway.answers import explained
from wechat_gateway.errcodes import ErrorClass, explain, is_about_person
from wechat_gateway.models import OfficialAccount

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from wechat_gateway.answers import Answer

LEASE: Final = timedelta(minutes=3)
MOST_SETTLED: Final = 20_000  # people in one round; the next minute goes on
SETTLE_PAUSE: Final = timedelta(minutes=10)
RING_AGAIN: Final = timedelta(seconds=20)  # a comparison that was asked for and not made: its ring was lost
_LASTING: Final = frozenset({ErrorClass.REQUEST, ErrorClass.CONFIGURATION, ErrorClass.UNKNOWN})


_CHANNEL: Final = re.compile(r".* #([0-9]{1,18})")


def count_buttons(buttons: list[dict[str, Any]], *, at: datetime) -> None:
    """Let mini-program buttons with a `channel` (its name, # and its number) carry its scene. Raises `NotInTree`."""
    for top in buttons:
        for button in top.get("sub_button") or [top]:
            _count_button(button, at)


def _count_button(button: dict[str, Any], at: datetime) -> None:
    named = str(button.pop("channel", ""))
    if not named:
        return
    found = _CHANNEL.fullmatch(named)
    if found is None:
        button["channel"] = named  # the page shows again what was typed
        raise NotInTree(_("“%(name)s” is no channel. Choose one of the list.") % {"name": named}, field="channel")
    try:
        button["pagepath"] = page_that_counts(
            page=str(button.get("pagepath", "")),
            appid=str(button.get("appid", "")),
            touchpoint_id=int(found[1]),
            sent_by=SentBy.MENU,
            sender=str(button.get("name", "")),
            at=at,
        )
    except NotInTree:
        button["channel"] = named
        raise


def save_menu(*, account: OfficialAccount, buttons: list[dict[str, Any]]) -> Menu:
    """Keep a draft; it may be incomplete, not larger than WeChat takes (`MenuInvalid`). Publishing checks the rest."""
    _refuse_unfit(buttons, account)
    menu, _created = Menu.objects.get_or_create(account=account)
    if menu.draft != buttons:
        record_audit(action="change menu draft", obj=menu, changes={"draft": [menu.draft, buttons]})
    menu.draft = buttons
    menu.save(update_fields=["draft"])
    return menu


def save_tag_menu(
    *,
    account: OfficialAccount,
    match: Mapping[str, Any],
    buttons: list[dict[str, Any]],
    position: int = 100,
    is_enabled: bool = True,
) -> TagMenu:
    """Keep the draft of a personalised menu. `match` is {"tag_id": a tag of ours}.

    Raises `MenuInvalid`, also for what WeChat no longer matches menus by, before anything is asked of WeChat.
    """
    problem = match_fault(match)
    if problem:
        raise MenuInvalid("", problem)
    tag = Tag.objects.filter(pk=match["tag_id"]).first()
    if tag is None:
        raise MenuInvalid("", _("This tag does not exist."))
    if not tag.sync:
        raise MenuInvalid(
            "", _("WeChat does not know the tag “%(name)s”. Keep it in step with WeChat first.") % {"name": tag.name}
        )
    _refuse_unfit(buttons, account)
    row = TagMenu.objects.filter(account=account, tag=tag).first() or TagMenu(account=account, tag=tag)
    before = {"position": row.position, "draft": row.draft, "is_enabled": row.is_enabled} if row.pk else {}
    row.position, row.draft, row.is_enabled = position, buttons, is_enabled
    row.save()
    after = {"position": position, "draft": buttons, "is_enabled": is_enabled}
    changes = {name: [before.get(name), value] for name, value in after.items() if before.get(name) != value}
    if changes:
        record_audit(action="change personalised menu", obj=row, changes=changes)
    return row


def _refuse_unfit(buttons: list[dict[str, Any]], account: OfficialAccount) -> None:
    """What is larger than WeChat takes, and a file that the account does not have, is no draft either."""
    found = faults(buttons, files=files_of(account)) if buttons else []
    for fault in found:
        if fault.hard:
            raise MenuInvalid(fault.path, fault.message)
    wrong = {fault.path: fault.message for fault in found if fault.field == "media_id"}
    for path, button in leaves_of(buttons):
        if path in wrong and button.get("media_id"):
            raise MenuInvalid(path, wrong[path])


def files_of(account: OfficialAccount) -> set[str]:
    """Give the media ids that a menu of an account may name: what it has for good, and what is live already.

    A menu that was made elsewhere may send files that the library has never seen.
    """
    known = {copy.media_id for copy in files_for_menus(account.pk)}
    menu = Menu.objects.filter(account=account).first()
    latest = MenuVersion.objects.filter(account=account).order_by("-number").first()
    live = [menu.published if menu else [], *(each["buttons"] for each in (latest.tag_menus if latest else []))]
    return known | {
        str(button["media_id"]) for buttons in live for _path, button in leaves_of(buttons) if button.get("media_id")
    }


def draft_of(account: OfficialAccount) -> dict[str, Any]:
    """Give a copy of everything that would be published now: {"buttons", "tag_menus": [{"id", "tag", "buttons"}]}."""
    menu = Menu.objects.filter(account=account).first()
    rows = TagMenu.objects.filter(account=account, is_enabled=True).select_related("tag").order_by("position", "pk")
    return {
        "buttons": menu.draft if menu else [],
        "tag_menus": [
            {"id": row.pk, "tag": row.tag_id, "name": row.tag.name, "position": row.position, "buttons": row.draft}
            for row in rows
        ],
    }


def require_publishable(wanted: Mapping[str, Any], account: OfficialAccount) -> None:
    """Raise `MenuInvalid` for the first thing WeChat would refuse."""
    files = files_of(account)
    for fault in faults(wanted["buttons"], files=files):
        raise MenuInvalid(fault.path, fault.message)
    for each in wanted["tag_menus"]:
        for fault in faults(each["buttons"], files=files):
            raise MenuInvalid(f"{each['name']} {fault.path}".strip(), fault.message)


@transaction.atomic
def ask_to_publish(
    *, account: OfficialAccount, at: datetime, publish_at: datetime | None = None, drop_planned: bool = False
) -> Menu:
    """Have the draft as it is now published by a worker, at once or at a time.

    One menu of an account waits at a time: while another waits for its time, `drop_planned` says that it is given up.
    Raises `MenuInvalid`, `TimePassed`, `MenuPlanned`.
    """
    wanted = draft_of(account)
    require_publishable(wanted, account)
    if publish_at is not None and publish_at <= at:
        raise TimePassed
    menu, _created = Menu.objects.select_for_update().get_or_create(account=account)
    planned_at = planned_for(menu, at=at)
    if planned_at is not None:
        if not drop_planned:
            raise MenuPlanned(planned_at)
        record_audit(
            action="cancel menu",
            obj=menu,
            changes={"publish_at": [planned_at.isoformat(), None], "buttons": [menu.wanted.get("buttons"), None]},
        )
    menu.state, menu.wanted, menu.wanted_at, menu.problem = MenuState.WAITING, wanted, publish_at or at, ""
    menu.save(update_fields=["state", "wanted", "wanted_at", "problem"])
    record_audit(
        action="schedule menu" if publish_at else "publish menu",
        obj=menu,
        changes={"publish_at": [None, (publish_at or at).isoformat()]},
    )
    if publish_at is None:
        ring(tasks.publish_menus, menu.brand_id)
    return menu


def planned_for(menu: Menu | None, *, at: datetime) -> datetime | None:
    """Give the time for which a menu is planned, None when none waits for a time to come."""
    waits = menu is not None and menu.state == MenuState.WAITING and menu.wanted_at is not None and menu.wanted_at > at
    return menu.wanted_at if menu is not None and waits else None


def cancel_publishing(*, account: OfficialAccount) -> None:
    """Take back what waits to be published, or could not be."""
    menu = Menu.objects.select_for_update().filter(account=account).first()
    if menu is None or menu.state not in (MenuState.WAITING, MenuState.FAILED):
        return
    before = menu.state
    menu.state, menu.wanted, menu.wanted_at, menu.problem = MenuState.IDLE, {}, None, ""
    menu.save(update_fields=["state", "wanted", "wanted_at", "problem"])
    record_audit(action="cancel menu", obj=menu, changes={"state": [before, MenuState.IDLE.value]})


@transaction.atomic
def restore_version(*, version: MenuVersion, at: datetime, drop_planned: bool = False) -> Menu:
    """Make an earlier version the draft again and publish it; when it cannot be published, drafts stay as they were.

    Raises `MenuInvalid`, `MenuPlanned`.
    """
    account = version.account
    save_menu(account=account, buttons=version.buttons)
    kept = {each["tag"]: each for each in version.tag_menus}
    for row in TagMenu.objects.filter(account=account).order_by("pk"):
        each = kept.pop(row.tag_id, None)
        row.is_enabled = each is not None
        if each is not None:
            row.draft, row.position = each["buttons"], each["position"]
        row.save(update_fields=["is_enabled", "draft", "position"])
    for tag in Tag.objects.filter(pk__in=kept).order_by("pk"):
        TagMenu.objects.create(
            account=account, tag=tag, draft=kept[tag.pk]["buttons"], position=kept[tag.pk]["position"]
        )
    return ask_to_publish(account=account, at=at, drop_planned=drop_planned)


def menus_with_tag(remote_tag: RemoteTag) -> list[TagUse]:
    """Give the personalised menus that need a tag at WeChat: drafts, what is published, and what waits for its time."""
    account = remote_tag.account
    found = []
    if TagMenu.objects.filter(account=account, tag_id=remote_tag.tag_id, is_enabled=True).exists():
        found.append(_("the personalised menu for this tag"))
    menu = Menu.objects.filter(account=account).first()
    if menu is not None and any(row.get("remote_tag_id") == remote_tag.remote_id for row in menu.remote):
        found.append(_("the published menu"))
    if menu is not None and any(row["tag"] == remote_tag.tag_id for row in menu.wanted.get("tag_menus", [])):
        found.append(_("the menu that waits to be published"))
    return [TagUse(f"{name} ({account.name})", _page_of(account)) for name in found]


def _page_of(account: OfficialAccount) -> str:
    try:
        return f"{reverse('admin:conversations_menu')}?account={account.pk}"
    except NoReverseMatch:  # a process without a console
        return ""


def sweep_menus(*, at: datetime) -> int:
    """Ring for every brand with a menu to publish by now, and for every menu to be compared."""
    with every_brand(reason="menus to publish"):
        due = Menu.objects.filter(_due(at))
        brands = list(due.order_by().values_list("brand_id", flat=True).distinct())
        asked = Menu.objects.filter(compare_asked_at__lte=at - RING_AGAIN)
        menus = list(asked.order_by("pk").values_list("brand_id", "account_id"))
    for brand_id in brands:
        ring(tasks.publish_menus, brand_id)
    for brand_id, account_id in menus:
        ring(tasks.compare_menu, brand_id, account_id)
    return len(brands) + len(menus)


def _due(at: datetime) -> Q:
    return Q(state=MenuState.WAITING, wanted_at__lte=at) | Q(state=MenuState.PUBLISHING, claimed_at__lt=at - LEASE)


def publish_due_menus(brand_id: int, *, at: datetime) -> int:
    """Publish what waits, each menu on its own. Doing it again after a crash is harmless."""
    done = 0
    while True:
        with brand_scope(brand_id):
            menu = (
                Menu.objects.select_for_update(skip_locked=True, of=("self",)).filter(_due(at)).order_by("pk").first()
            )
            if menu is None:
                return done
            menu.state, menu.claimed_at = MenuState.PUBLISHING, at
            menu.save(update_fields=["state", "claimed_at"])
        point("menus: claimed")
        try:
            _publish(brand_id, menu, menu.wanted, at)
        except (MenuInvalid, MenuRefused) as error:
            with brand_scope(brand_id):
                Menu.objects.filter(pk=menu.pk, state=MenuState.PUBLISHING).update(
                    state=MenuState.FAILED, problem=f"{error.message} {error.hint}".strip()[:300]
                )
        done += 1


def publish_menu(brand_id: int, account_id: int, *, at: datetime) -> Menu:
    """Give WeChat the draft now. Raises `MenuInvalid` before the first call, `MenuRefused` after it.

    Opens its own scopes: the calls to WeChat happen outside any transaction.
    """
    with brand_scope(brand_id):
        account = OfficialAccount.objects.get(pk=account_id)
        menu, _created = Menu.objects.get_or_create(account=account)
        wanted = draft_of(account)
    return _publish(brand_id, menu, wanted, at)


def _publish(brand_id: int, menu: Menu, wanted: Mapping[str, Any], at: datetime) -> Menu:
    with brand_scope(brand_id):
        account = OfficialAccount.objects.get(pk=menu.account_id)
        require_publishable(wanted, account)
        there = RemoteTag.objects.filter(account=account).exclude(state=RemoteTagState.LEAVING)
        remote_tags = dict(there.values_list("tag_id", "remote_id"))
    for each in wanted["tag_menus"]:
        if each["tag"] not in remote_tags:
            said = _("WeChat does not know the tag “%(name)s” yet; it is made within a minute.") % {
                "name": each["name"]
            }
            raise MenuInvalid(each["name"], said)
    _require(calls.create_menu(account, wanted["buttons"], at=at))
    point("menus: default published")
    added: list[dict[str, Any]] = []
    try:
        added = _add_tag_menus(account, wanted, remote_tags, at)
        fetched = _remove_others(account, {row["menuid"] for row in added}, at)
    except MenuRefused as error:
        _keep_default(brand_id, menu, wanted, added, at)
        said = _("Phones already show the new default menu; the personalised ones are not all published.")
        error.hint = f"{said} {error.hint}".strip()
        raise
    return _keep(brand_id, menu, wanted, added, fetched, at)


def _add_tag_menus(
    account: OfficialAccount, wanted: Mapping[str, Any], remote_tags: Mapping[int, int], at: datetime
) -> list[dict[str, Any]]:
    """Add the personalised menus, the most important last: WeChat tries the newest first."""
    added: list[dict[str, Any]] = []
    for each in reversed(wanted["tag_menus"]):
        answer = calls.add_tag_menu(account, each["buttons"], remote_tags[each["tag"]], at=at)
        menuid = str(answer.data.get("menuid", "")) if answer.ok else ""
        if not menuid:
            for row in added:  # what stood before stays as it was
                calls.delete_tag_menu(account, row["menuid"], at=at)
            _require(answer)
        added.append(
            {
                "menuid": menuid,
                "remote_tag_id": remote_tags[each["tag"]],
                "tag_menu_id": each["id"],
                "buttons": each["buttons"],
            },
        )
        point("menus: personalised added")
    return added


def _remove_others(account: OfficialAccount, kept: set[str], at: datetime) -> dict[str, Any]:
    """Delete every personalised menu at WeChat but these, and give what WeChat then has.

    Raises `MenuRefused` when one may be left: whoever has its tag would go on seeing it.
    """
    answer = calls.get_menu(account, at=at)
    _require(answer)
    for row in answer.data.get("conditionalmenu") or []:
        if str(row.get("menuid")) not in kept:
            _require(calls.delete_tag_menu(account, str(row.get("menuid")), at=at))
    return answer.data


def _keep_default(
    brand_id: int, menu: Menu, wanted: Mapping[str, Any], added: list[dict[str, Any]], at: datetime
) -> None:
    """Write down what phones show by now though not everything was published: the default menu, as a version too.

    Personalised menus that were added stand before those that could not be removed: WeChat tries the newest first.
    """
    with brand_scope(brand_id):
        menu = Menu.objects.select_for_update().get(pk=menu.pk)
        if menu.published == wanted["buttons"] and not added:
            return
        record_audit(action="publish menu", obj=menu, changes={"published": [menu.published, wanted["buttons"]]})
        latest = MenuVersion.objects.filter(account_id=menu.account_id).order_by("-number").first()
        menu.published, menu.published_at, menu.fetched_at = wanted["buttons"], at, None
        menu.remote = [*menu.remote, *added]
        menu.save(update_fields=["published", "published_at", "fetched_at", "remote"])
        MenuVersion.objects.create(
            account_id=menu.account_id,
            number=(latest.number if latest else 0) + 1,
            buttons=wanted["buttons"],
            tag_menus=wanted["tag_menus"] if added else (latest.tag_menus if latest else []),
            published_at=at,
        )


def _keep(
    brand_id: int,
    menu: Menu,
    wanted: Mapping[str, Any],
    added: list[dict[str, Any]],
    fetched: Mapping[str, Any],
    at: datetime,
) -> Menu:
    with brand_scope(brand_id):
        menu = Menu.objects.select_for_update().get(pk=menu.pk)
        record_audit(action="publish menu", obj=menu, changes={"published": [menu.published, wanted["buttons"]]})
        menu.published, menu.published_at = wanted["buttons"], at
        menu.remote = added
        menu.fetched = plain((fetched.get("menu") or {}).get("button"))
        menu.fetched_tag_menus = _tag_menus_in(fetched, {row["menuid"] for row in added})
        menu.fetched_at = at if fetched else None
        if menu.state in {MenuState.PUBLISHING, MenuState.FAILED}:
            menu.state, menu.wanted, menu.wanted_at, menu.problem = MenuState.IDLE, {}, None, ""
        menu.save()
        versions = MenuVersion.objects.filter(account_id=menu.account_id)
        number = (versions.aggregate(last=Max("number"))["last"] or 0) + 1
        MenuVersion.objects.create(
            account_id=menu.account_id,
            number=number,
            buttons=wanted["buttons"],
            tag_menus=wanted["tag_menus"],
            published_at=at,
        )
        if added:
            ring(tasks.settle_menus, brand_id, menu.account_id)
    return menu


def ask_to_compare(*, account: OfficialAccount, at: datetime) -> None:
    """Have a worker compare what was published with what WeChat has now. Asking again while it is asked is harmless."""
    menu = Menu.objects.select_for_update().filter(account=account, published_at__isnull=False).first()
    if menu is None or menu.compare_asked_at is not None:
        return
    menu.compare_asked_at, menu.compare_problem = at, ""
    menu.save(update_fields=["compare_asked_at", "compare_problem"])
    record_audit(action="compare menu", obj=menu, changes={})
    ring(tasks.compare_menu, menu.brand_id, account.pk)


def compare_menu(brand_id: int, account_id: int, *, at: datetime) -> bool:
    """Look again at what WeChat has of a menu, when somebody asked. Says whether it was compared.

    A publication that came in between has compared its own menus: what was read before or during it is dropped.
    """
    with brand_scope(brand_id):
        menu = Menu.objects.filter(account_id=account_id, compare_asked_at__isnull=False).first()
        account = OfficialAccount.objects.filter(pk=account_id).first()
    if menu is None or account is None:
        return False
    answer = calls.get_menu(account, at=at)
    point("menus: looked at again")
    with brand_scope(brand_id):
        row = Menu.objects.select_for_update().get(pk=menu.pk)
        row.compare_asked_at, row.compare_problem = None, "" if answer.ok else _said(answer)[:300]
        same = (row.published_at, row.claimed_at) == (menu.published_at, menu.claimed_at)
        done = answer.ok and same and row.state != MenuState.PUBLISHING
        if done:
            row.fetched = plain((answer.data.get("menu") or {}).get("button"))
            row.fetched_tag_menus = _tag_menus_in(answer.data, {each["menuid"] for each in row.remote})
            row.fetched_at = at
        row.save(update_fields=["compare_asked_at", "compare_problem", "fetched", "fetched_tag_menus", "fetched_at"])
    return done


def _tag_menus_in(fetched: Mapping[str, Any], menuids: set[str]) -> list[dict[str, Any]]:
    """Give the personalised menus that WeChat has, of those that were just given to it."""
    found = []
    for row in fetched.get("conditionalmenu") or []:
        if str(row.get("menuid")) in menuids:
            rule = row.get("matchrule") or {}
            tag_id = str(rule.get("tag_id") or rule.get("group_id") or "")
            found.append(
                {
                    "menuid": str(row.get("menuid")),
                    "remote_tag_id": int(tag_id) if tag_id.isdigit() else None,
                    "buttons": plain(row.get("button")),
                }
            )
    return found


def _require(answer: Answer) -> None:
    if answer.ok:
        return
    said = explained(answer)
    cause = str(said.cause) if said else _("WeChat could not be reached (%(cause)s)") % {"cause": answer.cause}
    raise MenuRefused(cause, str(said.action) if said else _("Try again in a few minutes."))


def settle_menus(brand_id: int, account_id: int, *, at: datetime) -> int:
    """Have WeChat hold for everybody's last tag the one whose menu they are meant to see. Gives how many were changed.

    WeChat looks at the tag applied last. Who has several tags gets the one of the most important menu applied once more
    (that applying a tag again makes it the last is unconfirmed). Nothing is taken off, so nobody is without a menu.

    Whom WeChat refuses is found by halving, kept, and not asked for again while they have the same tags; what it
    refuses for everybody is kept on the menu and tried again after a while.
    """
    with brand_scope(brand_id):
        account = OfficialAccount.objects.get(pk=account_id)
        menu = Menu.objects.filter(account=account).first()
        if menu is None or (menu.settle_after is not None and menu.settle_after > at):
            return 0
        found = unsettled_people(account_id, most=MOST_SETTLED)
    changed, problem = 0, ""
    for remote_tag_id in sorted({each.wanted for each in found}):
        people = [each for each in found if each.wanted == remote_tag_id]
        size = calls.OPENIDS_PER_TAGGING
        waiting = [people[start : start + size] for start in range(0, len(people), size)]
        while waiting:
            batch = waiting.pop(0)
            answer = calls.tag_followers(account, remote_tag_id, [each.openid for each in batch], at=at)
            point("menus: tagged again")
            if answer.ok:
                _note_tagged(brand_id, batch, None, at)
                changed += len(batch)
            elif is_about_person(answer.code) and len(batch) > 1:
                half = len(batch) // 2
                waiting[:0] = [batch[:half], batch[half:]]
            elif is_about_person(answer.code):
                _note_tagged(brand_id, batch, answer.code, at)
            else:
                if answer.code and answer.cause.startswith("CODE_") and explain(answer.code).error_class in _LASTING:
                    problem = _said(answer)
                break  # it is the same for whoever else has this tag
    if problem != menu.settle_problem or problem:
        with brand_scope(brand_id):
            Menu.objects.filter(pk=menu.pk).update(
                settle_problem=problem[:300], settle_after=at + SETTLE_PAUSE if problem else None
            )
    return changed


def _said(answer: Answer) -> str:
    said = explained(answer)
    return f"{said.cause} {said.action} ({answer.code})" if said else str(answer.code or answer.cause)


def _note_tagged(brand_id: int, people: Sequence[Unsettled], refused_code: int | None, at: datetime) -> None:
    with brand_scope(brand_id):
        LastTag.objects.filter(follower_id__in=[each.follower_id for each in people]).delete()
        LastTag.objects.bulk_create(
            (
                LastTag(
                    follower_id=each.follower_id,
                    remote_tag_id=each.wanted,
                    remote_tag_ids=list(each.remote_tag_ids),
                    refused_code=refused_code,
                    at=at,
                )
                for each in people
            ),
            ignore_conflicts=True,
        )


def settle_again(*, account: OfficialAccount) -> None:
    """Ask WeChat once more for those whom it refused the tag of their menu."""
    menu = Menu.objects.select_for_update().filter(account=account).first()
    if menu is None:
        return
    gone, _kinds = LastTag.objects.filter(follower__account=account, refused_code__isnull=False).delete()
    menu.settle_problem, menu.settle_after = "", None
    menu.save(update_fields=["settle_problem", "settle_after"])
    record_audit(action="tag for menus again", obj=menu, changes={"people": [gone, 0]})
    ring(tasks.settle_menus, menu.brand_id, account.pk)
