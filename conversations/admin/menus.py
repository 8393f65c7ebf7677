"""The page of the menu: draft, phone preview, publishing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.http import Http404, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext, gettext_lazy

from common.clock import now
from common.errors import AppError
from console.http import brand_of, viewer_of
from console.registry import Page, Tab, nav, pages
from console.site import page_response
from conversations import services
from conversations.menus import SUB, SUB_BYTES, TOP, TOP_BYTES, faults
from conversations.models import Menu
from wechat_gateway.models import OfficialAccount

if TYPE_CHECKING:
    from django.http import HttpRequest

ENDLESS = 60
BUTTON_TYPES = [
    ("", gettext_lazy("no button")),
    ("click", gettext_lazy("Ask us (an automatic answer)")),
    ("view", gettext_lazy("Open a web page")),
    ("miniprogram", gettext_lazy("Open a mini-program")),
]


def _chosen(request: HttpRequest) -> tuple[list[OfficialAccount], OfficialAccount | None]:
    accounts = list(OfficialAccount.objects.filter(is_active=True).order_by("pk"))
    wanted = request.POST.get("account") or request.GET.get("account")
    if wanted:
        chosen = next((row for row in accounts if str(row.pk) == wanted), None)
        if chosen is None:
            raise Http404
        return accounts, chosen
    return accounts, accounts[0] if accounts else None


def menu_page(request: HttpRequest) -> HttpResponse:
    """Edit the draft of an account's menu (three buttons, five entries each), see it on a phone, publish it."""
    accounts, account = _chosen(request)
    menu = Menu.objects.filter(account=account).first() if account else None
    draft = menu.draft if menu else []
    problems: list[Any] = []
    if request.method == "POST" and account is not None:
        viewer_of(request).require("menus.edit")
        draft = _read_buttons(request)
        done = _save(request, account, draft)
        if done is not None:
            return done
    problems = faults(draft) if draft else []
    published = menu.published if menu else []
    context = {
        "title": gettext("Custom menu"),
        "accounts": accounts,
        "account": account,
        "menu": menu,
        "rows": _rows(draft),
        "types": BUTTON_TYPES,
        "problems": problems,
        "differs": _difference(draft, published),
        "may_edit": viewer_of(request).can("menus.edit"),
        "limits": {"top": TOP_BYTES, "sub": SUB_BYTES},
        "phone": {
            "account": account.name if account else "",
            "bubbles": [{"kind": "note", "text": gettext("This is how the draft looks")}],
            "menu": draft,
        },
    }
    return page_response(request, "console/menu.html", context)


def _save(request: HttpRequest, account: OfficialAccount, draft: list[dict[str, Any]]) -> HttpResponse | None:
    here = HttpResponseRedirect(f"{reverse('admin:conversations_menu')}?account={account.pk}")
    services.save_menu(account=account, buttons=draft)
    if request.POST.get("act") != "publish":
        messages.success(request, gettext("The draft is saved. People see it once it is published."))
        return here
    try:
        services.publish_menu(brand_of(request).pk, account.pk, at=now())
    except AppError as error:
        messages.error(request, " ".join(part for part in (error.message, error.hint) if part))
        return None
    messages.success(request, gettext("The menu is published. Phones show it within five minutes."))
    return here


def _rows(draft: list[dict[str, Any]]) -> list[dict[str, Any]]:
    rows = []
    for index in range(TOP):
        button = draft[index] if index < len(draft) else {}
        children = button.get("sub_button") or []
        rows.append(
            {
                "prefix": f"b{index}",
                "number": index + 1,
                "button": button,
                "children": [
                    {
                        "prefix": f"b{index}s{place}",
                        "number": place + 1,
                        "button": children[place] if place < len(children) else {},
                    }
                    for place in range(SUB)
                ],
            },
        )
    return rows


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
    def text(name: str, limit: int = 1_024) -> str:
        return request.POST.get(f"{prefix}-{name}", "").strip()[:limit]

    name, kind = text("name", ENDLESS), text("type", 20)
    if not name and not kind:
        return None
    button: dict[str, Any] = {"name": name}
    if kind == "click":
        button.update(type=kind, key=text("value", 128))
    elif kind == "view":
        button.update(type=kind, url=text("value"))
    elif kind == "miniprogram":
        button.update(type=kind, url=text("value"), appid=text("appid", 40), pagepath=text("pagepath", 200))
    return button


def _difference(draft: list[dict[str, Any]], published: list[dict[str, Any]]) -> int:
    def flat(buttons: list[dict[str, Any]]) -> set[str]:
        found = set()
        for index, button in enumerate(buttons):
            found.add(f"{index}:{sorted((key, str(value)) for key, value in button.items() if key != 'sub_button')}")
            for place, child in enumerate(button.get("sub_button") or []):
                found.add(f"{index}.{place}:{sorted((key, str(value)) for key, value in child.items())}")
        return found

    return len(flat(draft) ^ flat(published))


pages.register("conversations.menu", Page("conversations/menu/", menu_page, "conversations_menu", "menus"))
nav.register("inbox.menu", Tab("inbox", gettext_lazy("Custom menu"), "conversations_menu", "menus", 20))
