"""Pages of automatic answers: reply rules with the test box, and the menu with its phone preview."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.http import Http404, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext, gettext_lazy, pgettext_lazy
from unfold.contrib.filters.admin import DropdownFilter
from unfold.widgets import UnfoldAdminTextareaWidget

from common.clock import now
from common.errors import AppError
from console.admin import ConsoleModelAdmin, site
from console.columns import excerpt, state
from console.forms import BrandModelForm
from console.http import brand_of, viewer_of
from console.registry import Page, Step, Tab, home_cards, nav, pages
from console.site import page_response
from conversations import services
from conversations.menus import SUB, SUB_BYTES, TOP, TOP_BYTES, faults
from conversations.models import Match, Menu, ReplyKind, ReplyRule, Trigger
from conversations.selectors import rules_of
from wechat_gateway.models import OfficialAccount

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest

    from accounts.viewer import Viewer

SEPARATORS = re.compile(r"[\n,，、;；]+")
ENDLESS = 60
BUTTON_TYPES = [
    ("", gettext_lazy("no button")),
    ("click", gettext_lazy("Ask us (an automatic answer)")),
    ("view", gettext_lazy("Open a web page")),
    ("miniprogram", gettext_lazy("Open a mini-program")),
]


class RuleForm(BrandModelForm):
    """A rule; keywords are separated by commas or new lines."""

    words = forms.CharField(
        label=gettext_lazy("Keywords"),
        required=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}),
        help_text=gettext_lazy("For keyword replies and menu buttons. Separate several by commas or new lines."),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Show the stored keywords in one text."""
        super().__init__(*args, **kwargs)
        self.initial["words"] = gettext(", ").join(str(word) for word in self.instance.keywords)

    def clean(self) -> dict[str, Any]:
        """Ask for what the kind of rule and of answer needs."""
        cleaned = super().clean() or self.cleaned_data
        words = [word.strip() for word in SEPARATORS.split(cleaned.get("words", "")) if word.strip()]
        cleaned["words"] = words
        if cleaned.get("trigger") in {Trigger.KEYWORD, Trigger.CLICK} and not words:
            self.add_error("words", gettext("Write at least one keyword (for a menu button: its key)."))
        if cleaned.get("reply_kind") == ReplyKind.TEXT and not cleaned.get("text", "").strip():
            self.add_error("text", gettext("Write what is answered."))
        if cleaned.get("reply_kind") == ReplyKind.NEWS:
            for name in ("title", "url"):
                if not cleaned.get(name):
                    self.add_error(name, gettext("An article card needs a title and a link."))
        self.instance.keywords = words
        return cleaned


class TriggerView(DropdownFilter):  # type: ignore[misc] # Unfold has no types
    """What the rules answer, as WeChat's console divides them."""

    title = gettext_lazy("answers")
    parameter_name = "answers"
    views: ClassVar = list(Trigger.choices)

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Name the triggers."""
        return list(Trigger.choices)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Narrow to the chosen trigger."""
        return queryset.filter(trigger=self.value()) if self.value() in Trigger.values else queryset


@admin.register(ReplyRule, site=site)
class ReplyRuleAdmin(ConsoleModelAdmin):
    """Automatic answers, in the order in which they are tried."""

    area = "replies"
    place = "inbox"
    tab = gettext_lazy("Automatic replies")
    tab_order = 10
    add_label = gettext_lazy("New rule")
    audit_writes = False  # save_rule writes the entry
    empty_text = gettext_lazy("Rules answer by themselves: when somebody follows, types a keyword or taps the menu.")
    form = RuleForm
    field_labels: ClassVar[dict[str, Any]] = {"trigger": pgettext_lazy("rule", "Answers to")}
    list_display = ("order", "name", "trigger", "match_kind", "keyword_list", "answer", "account", "enabled")
    list_display_links = ("name",)
    list_select_related = ("account",)
    list_filter = (TriggerView,)
    views_filter = TriggerView
    ordering = ("brand", "account", "trigger", "position", "pk")
    phone_columns: ClassVar[tuple[str, ...]] = ("name", "keyword_list", "enabled")
    number_columns: ClassVar[tuple[str, ...]] = ("order",)
    change_list_template = "console/rules.html"
    fieldsets = (
        (
            pgettext_lazy("rule", "When"),
            {"fields": ("account", "name", "trigger", "match", "words", "position", "is_enabled")},
        ),
        (gettext_lazy("Answer"), {"fields": ("reply_kind", "text", "title", "url", "picture_url")}),
    )

    @admin.display(description=gettext_lazy("order"))
    def order(self, row: ReplyRule) -> int:
        """Show the place in the order."""
        return row.position

    @admin.display(description=gettext_lazy("match"))
    def match_kind(self, row: ReplyRule) -> str:
        """Show how keywords are compared; other triggers have none."""
        return str(Match(row.match).label) if row.trigger == Trigger.KEYWORD else "--"

    @admin.display(description=gettext_lazy("keywords"))
    def keyword_list(self, row: ReplyRule) -> str:
        """Show the keywords."""
        return excerpt(gettext(", ").join(str(word) for word in row.keywords)) or "--"

    @admin.display(description=gettext_lazy("keywords"))
    def words(self, row: ReplyRule) -> str:
        """Show the keywords to roles that may only look."""
        return gettext(", ").join(str(word) for word in row.keywords) or "--"

    @admin.display(description=gettext_lazy("answer"))
    def answer(self, row: ReplyRule) -> str:
        """Show the beginning of the answer."""
        return excerpt(row.title if row.reply_kind == ReplyKind.NEWS else row.text)

    @admin.display(description=gettext_lazy("state"))
    def enabled(self, row: ReplyRule) -> Any:
        """Show whether the rule answers."""
        return state(gettext("enabled"), "success") if row.is_enabled else state(gettext("disabled"))

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the rules, and what the engine answers to the text in the test box."""
        context = (
            {**(extra_context or {}), **self._trial(request)} if self.has_view_permission(request) else extra_context
        )
        if "try" in request.GET or "try_account" in request.GET:
            kept: Any = request.GET.copy()
            for name in ("try", "try_account"):
                kept.pop(name, None)
            request.GET = kept
        return super().changelist_view(request, context)

    def _trial(self, request: HttpRequest) -> dict[str, Any]:
        accounts = list(OfficialAccount.objects.order_by("pk"))
        text = request.GET.get("try", "").strip()[:200]
        chosen = next((row for row in accounts if str(row.pk) == request.GET.get("try_account")), None)
        chosen = chosen or (accounts[0] if accounts else None)
        found = rules_of(chosen.pk).for_text(text) if text and chosen is not None else None
        return {"trial": {"text": text, "answer": found, "accounts": accounts, "account": chosen}}

    def save_model(self, request: HttpRequest, obj: ReplyRule, form: Any, change: bool) -> None:
        """Save through the service; the gateway answers by the rule within a second."""
        services.save_rule(rule=obj, at=now())


# --- the menu --------------------------------------------------------------------------------------------------------


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


@home_cards.add("conversations.first_answer")
def first_answer(viewer: Viewer) -> Step | None:
    """Give the first-day step: what somebody reads who follows."""
    if not viewer.can("replies.edit"):
        return None
    done = ReplyRule.objects.filter(trigger=Trigger.FOLLOW, is_enabled=True).exists()
    return Step(
        gettext("Answer people who follow"),
        gettext("Write the welcome that everybody reads first."),
        done,
        reverse("admin:conversations_replyrule_add"),
        gettext("New rule"),
        20,
    )
