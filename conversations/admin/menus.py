"""The page of menus: draft, phone preview, differences, publishing now or later, versions, personalised menus."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.db.models import Q
from django.http import Http404, HttpResponse, HttpResponseRedirect
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext, gettext_lazy

from common.clock import now
from common.errors import AppError
from console import formats
from console.http import row_id, viewer_of
from console.registry import Incident, Page, Tab, home_cards, nav, pages
from console.site import page_response
from conversations import reasons, services
from conversations.menus import FIELDS, SUB, SUB_BYTES, TOP, TOP_BYTES, TYPES, MenuFault, changes, faults
from conversations.models import Menu, MenuState, MenuVersion, TagMenu
from conversations.selectors import (
    MenuUses,
    Uses,
    differences_at_wechat,
    leaves_of,
    menus_seen,
    people_of_menus_lately,
    refused_taggings,
    tapped_by,
    troubles_of_menu,
    uses_of_menu,
)
from library.models import MediaKind
from library.selectors import files_for_menus
from members.models import Follower, Tag
from members.opened import Way, shows
from members.selectors import visible_members
from members.services import look_up_in_words, note_listed
from members.services.lookups import LookedUp
from touchpoints.selectors import channels_by_scene, channels_to_count_for, scene_in, without_scene
from wechat_gateway.errcodes import explain
from wechat_gateway.models import OfficialAccount

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.http import HttpRequest

    from accounts.viewer import Viewer
    from console.registry import Card

ENDLESS = 60
LONGEST = 1_024
VERSIONS = 20
NAMED = 5
FIELD_LABELS = {
    "key": gettext_lazy("Key"),
    "url": gettext_lazy("Link"),
    "appid": gettext_lazy("AppID"),
    "pagepath": gettext_lazy("Page"),
    "media_id": gettext_lazy("File of the library"),
    "article_id": gettext_lazy("Id of the article"),
}
EXAMPLES = {"url": "https://shop.example.com/spring", "pagepath": "pages/home/index", "appid": "wx0123456789abcdef"}


def _chosen(request: HttpRequest) -> tuple[list[OfficialAccount], OfficialAccount | None]:
    accounts = list(OfficialAccount.objects.filter(is_active=True).order_by("pk"))
    wanted = request.POST.get("account") or request.GET.get("account")
    if wanted:
        chosen = next((row for row in accounts if str(row.pk) == wanted), None)
        if chosen is None:
            raise Http404
        return accounts, chosen
    return accounts, accounts[0] if accounts else None


def _tag_menu(request: HttpRequest, rows: list[TagMenu]) -> TagMenu | None:
    """Give the personalised menu that is looked at, None for the default one."""
    wanted = request.POST.get("for") or request.GET.get("for")
    if not wanted:
        return None
    chosen = next((row for row in rows if row.pk == row_id(wanted)), None)
    if chosen is None:
        raise Http404
    return chosen


def menu_page(request: HttpRequest) -> HttpResponse:
    """Edit a menu of an account (three buttons, five entries each), see it on a phone, publish everything."""
    accounts, account = _chosen(request)
    rows = (
        list(TagMenu.objects.filter(account=account).select_related("tag").order_by("position", "pk"))
        if account
        else []
    )
    chosen = _tag_menu(request, rows)
    menu = Menu.objects.filter(account=account).first() if account else None
    typed: list[dict[str, Any]] | None = None
    if request.method == "POST" and account is not None:
        viewer_of(request).require("menus.edit")
        typed = _read_buttons(request)
        done = _act(request, account, chosen, typed)
        if done is not None:
            return done
    files = services.files_of(account) if account else set()
    draft = typed if typed is not None else (chosen.draft if chosen else (menu.draft if menu else []))
    found = faults(draft, files=files) if draft else []
    uses = uses_of_menu(account.pk, at=now()) if account else None
    context = {
        "title": gettext("Custom menu"),
        "accounts": accounts,
        "account": account,
        "menu": menu,
        "chosen": chosen,
        "rows": _rows(draft, found, uses),
        "used": _used(draft, uses) if uses else None,
        "channels": [_named(pk, name) for pk, name in channels_to_count_for()],
        "types": [("", gettext("no action")), *((key, label) for key, (label, _needs) in TYPES.items())],
        "problems": found,
        "files": _files(account, draft) if account else [],
        "may_edit": viewer_of(request).can("menus.edit"),
        "review": bool(request.GET.get("review")),
        "limits": {"top": TOP_BYTES, "sub": SUB_BYTES},
        "phone": {
            "account": account.name if account else "",
            "bubbles": [{"kind": "note", "text": gettext("This is how the draft looks")}],
            "menu": draft,
        },
        "troubles": [reasons.say_trouble(each) for each in troubles_of_menu(account.pk, draft, at=now())]
        if account
        else [],
        **(_publishing(account, menu) if account else {}),
        **(_personalised(request, account, rows) if account else {}),
        **(_untagged(request, account, menu) if account and menu and menu.remote else {}),
    }
    return page_response(request, "console/menu.html", context)


def _publishing(account: OfficialAccount, menu: Menu | None) -> dict[str, Any]:
    """Give what would change, what waits, and what was published before."""
    wanted = services.draft_of(account)
    planned_at = services.planned_for(menu, at=now())
    latest = MenuVersion.objects.filter(account=account).order_by("-number").first()
    before = {each["tag"]: each for each in (latest.tag_menus if latest else [])}
    differences = [("", change) for change in changes(menu.published if menu else [], wanted["buttons"])]
    for each in wanted["tag_menus"]:
        known = before.pop(each["tag"], {"buttons": []})
        differences += [(each["name"], change) for change in changes(known["buttons"], each["buttons"])]
    for each in before.values():
        differences += [(each["name"], change) for change in changes(each["buttons"], [])]
    return {
        "differences": [
            {
                "label": f"{name} · {change.label}" if name else change.label,
                "before": change.before,
                "after": change.after,
            }
            for name, change in differences
        ],
        "waits": menu is not None and menu.state in {MenuState.WAITING, MenuState.PUBLISHING},
        "later": planned_at is not None,
        "drop": render_to_string("console/_menu_drop.html", {"planned_at": planned_at}) if planned_at else "",
        "failed": menu is not None and menu.state == MenuState.FAILED,
        "comparing": menu is not None and menu.compare_asked_at is not None,
        "at_wechat": _at_wechat(menu) if menu else [],
        "versions": list(MenuVersion.objects.filter(account=account).order_by("-number")[:VERSIONS]),
    }


def _at_wechat(menu: Menu) -> list[dict[str, str]]:
    """Give what WeChat has otherwise than it was published, field by field."""
    found = differences_at_wechat(menu)
    names = dict(
        TagMenu.objects.filter(pk__in={pk for pk, _each in found if pk is not None})
        .order_by("pk")
        .values_list("pk", "tag__name")
    ) if any(pk is not None for pk, _each in found) else {}  # fmt: skip
    return [
        {
            "label": f"{names.get(pk, pk)} · {each.label}" if pk is not None else each.label,
            "before": each.before,
            "after": each.after,
        }
        for pk, each in found
    ]


def _personalised(request: HttpRequest, account: OfficialAccount, rows: list[TagMenu]) -> dict[str, Any]:
    """Give the personalised menus with how many people are meant to see each, and what one person sees."""
    people, as_of = people_of_menus_lately(account.pk, rows, at=now())
    taken = {row.tag_id for row in rows}
    wanted = request.GET.get("who", "").strip()[:40]
    found = look_up_in_words(viewer_of(request), wanted, at=now(), limit=1) if wanted else LookedUp([])
    person = next(iter(found.members), None)
    follower = Follower.objects.filter(account=account, member=person).order_by("pk").first() if person else None
    note_listed(people=[person.pk] if person and follower else [], page="conversations.menu", at=now())
    return {
        "tag_menus": [{"row": row, "people": people.get(row.pk, 0)} for row in rows],
        "default_people": people.get(None, 0),
        "people_as_of": as_of,
        "free_tags": [tag for tag in Tag.objects.filter(sync=True).order_by("name") if tag.pk not in taken],
        "who": wanted,
        "seen_by": person if follower else None,
        "why_unknown": found.why,
        "seen": menus_seen(account.pk, [follower.pk])[follower.pk] if follower else [],
    }


def _untagged(request: HttpRequest, account: OfficialAccount, menu: Menu) -> dict[str, Any]:
    """Give the people whom WeChat refused the tag of their menu, each reason once, and some by name."""
    refused = refused_taggings(account.pk)
    some = [each.member_id for each in refused[:NAMED]]
    members = list(visible_members(viewer_of(request)).filter(pk__in=some)) if some else []
    note_listed(people=[each.pk for each in members], page="conversations.menu", at=now())
    return {
        "untagged": len(refused),
        "untagged_reasons": [
            f"{known.cause} {known.action} ({code})"
            for code in sorted({each.code for each in refused})
            for known in (explain(code),)
        ],
        "untagged_people": [(str(row), reverse("admin:members_member_change", args=[row.pk])) for row in members],
        "settle_problem": menu.settle_problem,
    }


def _act(
    request: HttpRequest, account: OfficialAccount, chosen: TagMenu | None, typed: list[dict[str, Any]]
) -> HttpResponse | None:
    act = request.POST.get("act", "save")
    here = f"{reverse('admin:conversations_menu')}?account={account.pk}"
    try:
        said = _do(request, account, chosen, typed, act)
    except AppError as error:
        messages.error(request, " ".join(part for part in (error.message, error.hint) if part))
        return None if act in {"save", "publish", "later"} else HttpResponseRedirect(here)
    if said:
        messages.success(request, said)
    if act == "add":
        chosen = TagMenu.objects.filter(account=account, tag_id=row_id(request.POST.get("tag")) or 0).first()
    if chosen is not None:
        here = f"{here}&for={chosen.pk}"
    return HttpResponseRedirect(f"{here}&review=1" if request.POST.get("review") else here)


def _do(
    request: HttpRequest, account: OfficialAccount, chosen: TagMenu | None, typed: list[dict[str, Any]], act: str
) -> str:
    at, drop_planned = now(), bool(request.POST.get("drop_planned"))
    if act == "add":
        tag_id = row_id(request.POST.get("tag"))
        default = Menu.objects.filter(account=account).first()
        last = TagMenu.objects.filter(account=account).order_by("-position").first()
        services.save_tag_menu(
            account=account,
            match={"tag_id": tag_id},
            buttons=default.draft if default else [],
            position=(last.position if last else 0) + 10,
        )
        return gettext("The personalised menu begins as a copy of the default one.")
    if act == "restore":
        version = MenuVersion.objects.filter(account=account, pk=row_id(request.POST.get("version")) or 0).first()
        if version is None:
            raise Http404
        services.restore_version(version=version, at=at, drop_planned=drop_planned)
        return gettext("Version %(number)s is being published again.") % {"number": version.number}
    if act in {"cancel", "tag-again", "compare"}:
        return _end(account, act, at)
    services.count_buttons(typed, at=at)
    _save(request, account, chosen, typed)
    if act == "publish":
        services.ask_to_publish(account=account, at=at, drop_planned=drop_planned)
        return gettext("The menu is being published. Phones show it within five minutes.")
    if act == "later":
        moment = _moment(request.POST.get("publish_at", ""))
        services.ask_to_publish(account=account, at=at, publish_at=moment or at, drop_planned=drop_planned)
        return gettext("The menu is published at the time you gave.")
    return gettext("The draft is saved. People see it once it is published.")


def _end(account: OfficialAccount, act: str, at: datetime) -> str:
    """Give up what waits, failed or is out of date: publishing, tagging people for their menus, the comparison.

    The last two are asked for anew.
    """
    if act == "compare":
        services.ask_to_compare(account=account, at=at)
        return ""  # the page says that it goes on, and then what came of it
    if act == "tag-again":
        services.settle_again(account=account)
        return gettext("WeChat is being asked again; the page shows the outcome within a minute.")
    services.cancel_publishing(account=account)
    return gettext("Nothing waits to be published any more.")


def _save(request: HttpRequest, account: OfficialAccount, chosen: TagMenu | None, typed: list[dict[str, Any]]) -> None:
    if chosen is None:
        services.save_menu(account=account, buttons=typed)
        return
    position = row_id(request.POST.get("position"))
    services.save_tag_menu(
        account=account,
        match={"tag_id": chosen.tag_id},
        buttons=typed,
        position=position if position is not None and position < 2**31 else chosen.position,
        is_enabled=bool(request.POST.get("enabled")),
    )


def _moment(text: str) -> datetime | None:
    try:
        return timezone.make_aware(datetime.fromisoformat(text).replace(tzinfo=None))  # the brand's zone is active
    except (ValueError, OverflowError):
        return None


def _files(account: OfficialAccount, draft: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Give (media id, name) of what a button may send; what a menu from elsewhere sends keeps its place."""
    known = [
        (copy.media_id, f"{MediaKind(copy.item.kind).label} · {copy.item.name}") for copy in files_for_menus(account.pk)
    ]
    named = {media_id for media_id, _name in known}
    used = [str(button["media_id"]) for _path, button in leaves_of(draft) if button.get("media_id")]
    foreign = sorted({media_id for media_id in used if media_id not in named})
    return known + [
        (media_id, gettext("Not from the library · %(tail)s") % {"tail": formats.tail(media_id)})
        for media_id in foreign
    ]


def _used(draft: list[dict[str, Any]], uses: MenuUses) -> dict[str, Any]:
    """Add up what the buttons of a menu were used for: answers given beside pages opened."""
    total = uses.total(tapped_by(button) for _path, button in leaves_of(draft))
    return {"month": total, "other": total.taps - total.answered - total.opened, "as_of": uses.as_of}


def _use(button: dict[str, Any], uses: MenuUses | None) -> dict[str, Any] | None:
    """Give what was made of one button; None for one that opens others, or of which WeChat tells nothing."""
    key = tapped_by(button)
    if uses is None or button.get("sub_button") or not key or not button.get("type"):
        return None
    return {"week": uses.week.get(key, Uses()), "month": uses.month.get(key, Uses())}


def _named(pk: int, name: str) -> str:
    """Name a channel as somebody picks it from a list of hundreds: its number tells it from others of the name."""
    return f"{name} #{pk}"


def _rows(draft: list[dict[str, Any]], found: list[MenuFault], uses: MenuUses | None) -> list[dict[str, Any]]:
    channels = channels_by_scene(str(button.get("pagepath", "")) for _path, button in leaves_of(draft))
    said: dict[str, dict[str, str]] = {}
    for fault in found:
        said.setdefault(fault.path, {}).setdefault(fault.field, fault.message)
    rows = []
    for index in range(TOP):
        button = draft[index] if index < len(draft) else {}
        children = button.get("sub_button") or []
        rows.append(
            {
                **_row(f"b{index}", index + 1, button, said.get(f"{index + 1}", {}), channels),
                "use": _use(button, uses),
                "children": [
                    {
                        **_row(
                            f"b{index}s{place}",
                            place + 1,
                            child,
                            said.get(f"{index + 1}.{place + 1}", {}),
                            channels,
                        ),
                        "use": _use(child, uses),
                    }
                    for place, child in enumerate([*children, *({} for _ in range(SUB))][:SUB])
                ],
            },
        )
    return rows


def _row(
    prefix: str, number: int, button: dict[str, Any], said: dict[str, str], channels: dict[str, tuple[int, str]]
) -> dict[str, Any]:
    """Give one button with its fields; the page shows those that its type needs."""
    page = str(button.get("pagepath", ""))
    counted = channels.get(scene_in(page)) if page else None
    shown = {**button, "pagepath": without_scene(page)} if counted else button
    return {
        "prefix": prefix,
        "number": number,
        "button": button,
        "wrong": said,
        "channel": _named(*counted) if counted else button.get("channel", ""),
        "fields": [
            {
                "name": f"{prefix}-{field}",
                "label": FIELD_LABELS[field],
                "key": field,
                "value": shown.get(field, ""),
                "wrong": said.get(field, ""),
                "example": EXAMPLES.get(field, ""),
                "types": " ".join(key for key, (_label, needs) in TYPES.items() if field in needs),
            }
            for field in FIELDS
        ],
    }


def _read_buttons(request: HttpRequest) -> list[dict[str, Any]]:
    buttons = []
    for index in range(TOP):
        button = _read_button(request, f"b{index}")
        children = [child for place in range(SUB) if (child := _read_button(request, f"b{index}s{place}")) is not None]
        if children:
            button = {"name": (button or {}).get("name", ""), "sub_button": children}
        if button is not None:
            buttons.append(button)
    return buttons


def _read_button(request: HttpRequest, prefix: str) -> dict[str, Any] | None:
    def text(name: str, limit: int = LONGEST + 1) -> str:
        return request.POST.get(f"{prefix}-{name}", "").strip()[:limit]

    name, kind = text("name", ENDLESS + 1), text("type", 30)
    if not name and not kind:
        return None
    button: dict[str, Any] = {"name": name}
    if kind in TYPES:
        button["type"] = kind
        button |= {field: value for field in TYPES[kind][1] if (value := text(field))}
        if "pagepath" in TYPES[kind][1] and (channel := text("channel", 100)):
            button["channel"] = channel
    return button


pages.register("conversations.menu", Page("conversations/menu/", menu_page, "conversations_menu", "menus"))
nav.register("inbox.menu", Tab("inbox", gettext_lazy("Custom menu"), "conversations_menu", "menus", 20))


@home_cards.add("conversations.menus")
def menus_not_published(viewer: Viewer) -> Iterator[Card]:
    """Name menus that could not be published: whoever planned it for tonight does not look at its page tomorrow."""
    if not viewer.can("menus.view"):
        return
    rows = Menu.objects.filter(Q(state=MenuState.FAILED) | Q(fetched_at__isnull=False), account__is_active=True)
    found = list(rows.select_related("account").order_by("pk"))
    for row in [each for each in found if each.state == MenuState.FAILED][:3]:
        yield Incident(
            gettext("The menu of “%(name)s” was not published.") % {"name": row.account.name},
            row.problem,
            f"{reverse('admin:conversations_menu')}?account={row.account_id}",
            gettext("See and fix"),
            since=row.wanted_at,
            order=8,
        )
    for row in [each for each in found if differences_at_wechat(each)][:3]:
        yield Incident(
            gettext("WeChat shows another menu of “%(name)s” than the one published here.")
            % {"name": row.account.name},
            gettext(
                "Followers see what WeChat has. Look at the differences, then publish the menu again, or compare again."
            ),
            f"{reverse('admin:conversations_menu')}?account={row.account_id}",
            gettext("See and fix"),
            since=row.fetched_at,
            order=8,
        )


shows("conversations.menu", gettext_lazy("Which menu somebody sees"), "name", "tags", way=Way.SEARCH)
