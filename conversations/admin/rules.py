"""The page of reply rules: list with the test box, form with overlaps shown before saving."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.db.models import Case, Q, Value, When
from django.http import Http404, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext, gettext_lazy, ngettext, pgettext, pgettext_lazy
from unfold.contrib.filters.admin import DropdownFilter

from common.clock import now
from console import formats
from console.admin import ConsoleModelAdmin, site
from console.columns import excerpt, state, two_lines
from console.http import row_id, viewer_of
from console.registry import BulkColumn, Page, Step, home_cards, pages
from conversations import answers, reasons, services
from conversations.admin.rule_forms import EXTRA, EXTRA_LABELS, FIRST_FIELDS, RuleForm, suggestion_named
from conversations.audiences import EVERYBODY_RANK, Audience, audience_kinds
from conversations.engine import ANSWERS, EARLIER, Asked, Facts, contents_of, schedule_of
from conversations.models import DialogueVersion, Match, ReplyRule, Trigger
from conversations.patterns import normalised
from conversations.script import begin
from conversations.selectors import MOST_COMPARED, dialogues_of, facts_of, hits_of, rules_of
from members.models import Follower
from members.opened import Way, shows
from members.services import look_up_in_words, note_listed
from members.services.lookups import LookedUp
from touchpoints.models import Touchpoint
from wechat_gateway.models import OfficialAccount

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest

    from accounts.viewer import Viewer
    from conversations.answers import Content
    from conversations.engine import Rule
    from conversations.overlaps import Overlap

SHOWN = 20
TRIALS = (
    (Trigger.KEYWORD, gettext_lazy("Writes")),
    (Trigger.FOLLOW, gettext_lazy("Follows")),
    (Trigger.REFOLLOW, gettext_lazy("Comes back")),
    (Trigger.CLICK, gettext_lazy("Taps the menu (key)")),
)


#: As WeChat's console divides them, and in which a follower meets them.
BY_TRIGGER = Case(*(When(trigger=key, then=Value(place)) for place, key in enumerate(Trigger.values)))


def by_rank() -> Case:
    """Give the place of welcomes among those that are tried: for whom they are comes before their position."""
    ranks = [When(audience_kind=key, then=Value(kind.rank)) for key, kind in audience_kinds.items()]
    rank = Case(*ranks, default=Value(EVERYBODY_RANK))
    return Case(When(trigger__in=[Trigger.FOLLOW, Trigger.REFOLLOW], then=rank), default=Value(0))


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


def _hits_cell(value: Any, row: ReplyRule) -> Any:
    from django.utils.html import format_html

    link = reverse("admin:conversations_replyrecord_changelist")
    return format_html('<a href="{}?rule={}">{}</a>', link, row.pk, f"{value:,}") if value else "0"


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
    field_labels: ClassVar[dict[str, Any]] = {
        "trigger": pgettext_lazy("rule", "Answers to"),
        "picture_url": gettext_lazy("Picture (link)"),
    }
    list_display = (
        "order",
        "named",
        "answers_to",
        "keyword_list",
        "answer",
        BulkColumn("hits", gettext_lazy("answers, 7 days"), hits_of, number=True, show=_hits_cell, missing=0),
        "enabled",
    )
    list_display_links = ("named",)
    list_select_related = ("account",)
    list_filter = (TriggerView,)
    views_filter = TriggerView
    ordering = ("brand", "account", BY_TRIGGER, "position", "pk")
    phone_columns: ClassVar[tuple[str, ...]] = ("named", "keyword_list", "enabled")
    number_columns: ClassVar[tuple[str, ...]] = ("order",)
    change_list_template = "conversations/rules.html"
    change_form_template = "conversations/rule_form.html"
    conditional_fields: ClassVar[dict[str, str]] = {
        "match": "trigger == 'KEYWORD'",
        "words": "trigger == 'KEYWORD' || trigger == 'CLICK'",
        "text": "['TEXT','NEWS','PERSON','VIDEO'].includes(reply_kind)",
        "title": "['NEWS','MINI','VIDEO'].includes(reply_kind)",
        "url": "['NEWS','MINI'].includes(reply_kind)",
        "picture_url": "reply_kind == 'NEWS'",
        "media_id": "['IMAGE','VOICE','VIDEO','MINI'].includes(reply_kind)",
        "mini_appid": "reply_kind == 'MINI'",
        "mini_page": "reply_kind == 'MINI'",
        "mini_channel": "reply_kind == 'MINI'",
        **{
            f"m{number}_{name}": f"{kinds}.includes(m{number}_kind)"
            for number in range(1, EXTRA + 1)
            for name, kinds in {
                "text": "['TEXT','NEWS','PERSON','VIDEO']",
                "title": "['NEWS','MINI','VIDEO']",
                "url": "['NEWS','MINI']",
                "picture_url": "['NEWS']",
                "media_id": "['IMAGE','VOICE','VIDEO','MINI']",
                "appid": "['MINI']",
                "page": "['MINI']",
                "channel": "['MINI']",
            }.items()
        },
    }
    fieldsets = (
        (
            pgettext_lazy("rule", "When"),
            {"fields": ("account", "name", "trigger", "match", "words", "position", "is_enabled")},
        ),
        (
            gettext_lazy("Answer"),
            {"fields": ("reply_kind", *FIRST_FIELDS, "mini_channel", "overlap_seen", "suggestion")},
        ),
        (
            gettext_lazy("For whom and at which times"),
            {
                "fields": ("who", "days", ("from_time", "until_time"), ("from_date", "until_date")),
                "classes": ("collapse",),
            },
        ),
        *(
            (
                formats.numbered(gettext_lazy("Answer %(number)s"), number + 1),
                {
                    "fields": (
                        *(("pick",) if number == 1 else ()),
                        f"m{number}_kind",
                        *(f"m{number}_{name}" for name in EXTRA_LABELS),
                    ),
                    "classes": ("collapse",),
                },
            )
            for number in range(1, EXTRA + 1)
        ),
    )

    def get_ordering(self, request: HttpRequest) -> Any:
        """List rules in the order in which they are tried: welcomes by for whom they are before their position."""
        return ("brand", "account", BY_TRIGGER, by_rank(), "position", "pk")

    @admin.display(description=gettext_lazy("order"))
    def order(self, row: ReplyRule) -> int:
        """Show the place in the order."""
        return row.position

    @admin.display(description=gettext_lazy("name"))
    def named(self, row: ReplyRule) -> Any:
        """Show the name, and below it for whom and when when that is not always."""
        audience = Audience(row.audience_kind, row.audience_id) if row.audience_kind and row.audience_id else None
        limits = (_say_kind(audience), reasons.say_schedule(schedule_of(row)))
        return two_lines(row.name, " · ".join(part for part in limits if part))

    @admin.display(description=pgettext_lazy("rule", "answers to"))
    def answers_to(self, row: ReplyRule) -> Any:
        """Show the trigger and the account."""
        return two_lines(Trigger(row.trigger).label, row.account.name)

    @admin.display(description=gettext_lazy("keywords"))
    def keyword_list(self, row: ReplyRule) -> Any:
        """Show the keywords and how they are compared."""
        words = excerpt(gettext(", ").join(str(word) for word in row.keywords)) or "--"
        return two_lines(words, Match(row.match).label if row.trigger == Trigger.KEYWORD else "")

    @admin.display(description=gettext_lazy("answer"))
    def answer(self, row: ReplyRule) -> Any:
        """Show the beginning of the first answer, and how many follow."""
        found = contents_of(row)
        more = gettext("and %(count)s more") % {"count": len(found) - 1} if len(found) > 1 else ""
        return two_lines(excerpt(answers.summary_of(found[0])), more)

    @admin.display(description=gettext_lazy("state"))
    def enabled(self, row: ReplyRule) -> Any:
        """Show whether the rule answers."""
        return state(gettext("enabled"), "success") if row.is_enabled else state(gettext("disabled"))

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Show roles that may only look the stored row, without the form's own fields."""
        may = self.has_change_permission(request, obj) if obj is not None else self.has_add_permission(request)
        if may:
            return super().get_fieldsets(request, obj)
        return ((None, {"fields": ("account", "named", "answers_to", "keyword_list", "answer", "enabled")}),)

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Begin a rule from a suggestion."""
        suggestion = suggestion_named(request.GET.get("suggestion"))
        if suggestion is None:
            accounts = list(OfficialAccount.objects.filter(is_active=True).order_by("pk")[:2])
            only = {"account": accounts[0].pk} if len(accounts) == 1 else {}
            words = request.GET.get("words", "").replace("\x00", "").strip()[:60]
            return only | ({"trigger": Trigger.KEYWORD, "words": words} if words else {})
        return {
            "account": suggestion.account_id,
            "name": suggestion.keyword,
            "trigger": Trigger.KEYWORD,
            "match": Match.CONTAINS,
            "words": suggestion.keyword,
            "suggestion": str(suggestion.pk),
        }

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Show the overlaps that were found beside the form."""
        form = context["adminform"].form
        found: list[Overlap] = getattr(form, "overlaps", [])
        context |= _overlaps_context(found, getattr(form, "left_out", 0))
        context["zy_overlaps_link"] = _overlaps_link(kwargs.get("obj"))
        context["zy_seen"] = bool(found)
        context["zy_save_label"] = gettext("Save anyway") if form.errors and found else ""
        return super().render_change_form(request, context, *args, **kwargs)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the rules, and what every one of them says to the question in the test box."""
        context = (
            {**(extra_context or {}), **self._trial(request)} if self.has_view_permission(request) else extra_context
        )
        if any(name.startswith("try") for name in request.GET):
            kept: Any = request.GET.copy()
            for name in ("try", "try_account", "try_kind", "try_who"):
                kept.pop(name, None)
            request.GET = kept
        return super().changelist_view(request, context)

    def _trial(self, request: HttpRequest) -> dict[str, Any]:
        accounts = list(OfficialAccount.objects.order_by("pk"))
        text = request.GET.get("try", "").strip()[:200]
        chosen = next((row for row in accounts if str(row.pk) == request.GET.get("try_account")), None)
        chosen = chosen or (accounts[0] if accounts else None)
        kind = request.GET.get("try_kind", "")
        kind = kind if kind in {key for key, _label in TRIALS} else Trigger.KEYWORD
        wanted = request.GET.get("try_who", "").strip()[:40]
        trial: dict[str, Any] = {
            "text": text,
            "accounts": accounts,
            "account": chosen,
            "kind": kind,
            "kinds": TRIALS,
            "who": wanted,
        }
        if chosen is not None and (text or kind in {Trigger.FOLLOW, Trigger.REFOLLOW}) and "try" in request.GET:
            trial |= _ask(viewer_of(request), chosen, kind, text, wanted)
        return {"trial": trial}

    def save_model(self, request: HttpRequest, obj: ReplyRule, form: Any, change: bool) -> None:
        """Save through the service; the gateway answers by the rule within a second."""
        services.save_rule(rule=obj, at=now(), suggestion=form.chosen_suggestion, channels=form.chosen_channels)
        if form.left_out:
            self.message_user(request, not_compared(form.left_out), level="warning")


def _say_kind(audience: Audience | None) -> str:
    from conversations.audiences import audience_kinds

    kind = audience_kinds.find(audience.kind) if audience else None
    return str(kind.label) if kind else ""


def _overlaps_link(row: ReplyRule | None) -> str:
    link = reverse("admin:conversations_replyrule_overlaps")
    return f"{link}?rule={row.pk}" if row is not None else link


def overlaps_part(request: HttpRequest) -> HttpResponse:
    """Show what the rule that is being typed shares with others; nothing is saved."""
    pk = row_id(request.GET.get("rule"))
    row = ReplyRule.objects.filter(pk=pk).first() if pk is not None else None
    if "rule" in request.GET and row is None:
        raise Http404
    admin_of: Any = site._registry[ReplyRule]  # noqa: SLF001 - the site's public lack of a getter
    form = admin_of.get_form(request, row)(request.POST, instance=row)
    found = form.look_while_typing()
    context = {**_overlaps_context(found or [], form.left_out), "zy_compared": found is not None, "zy_may_save": True}
    return TemplateResponse(request, "conversations/_overlaps.html", context)


def _overlaps_context(found: list[Overlap], left_out: int) -> dict[str, Any]:
    return {
        "zy_overlaps": _said(found),
        "zy_more_overlaps": max(0, len(found) - SHOWN),
        "zy_left_out": not_compared(left_out),
    }


def not_compared(left_out: int) -> str:
    """Say how many rules a rule was not compared with; '' for none."""
    if not left_out:
        return ""
    said = ngettext(
        "%(count)s rule further down the order was not compared: at most %(most)s are.",
        "%(count)s rules further down the order were not compared: at most %(most)s are.",
        left_out,
    )
    return said % {"count": f"{left_out:,}", "most": f"{MOST_COMPARED:,}"}


def _said(found: list[Overlap]) -> list[dict[str, Any]]:
    return [
        {
            "name": each.other.name,
            "pk": each.other.pk,
            "position": each.other.position,
            "example": each.example,
            "match": what_of(each.other),
            "is_dialogue": each.other.pk < 0,
            "share": each.share,
            "theirs": each.winner.pk == each.other.pk,
            "link": link_of(each.other.pk),
        }
        for each in found[:SHOWN]
    ]


def what_of(other: Rule) -> str:
    """Say how a rule matches, or that it is a dialogue, which has a negative number."""
    return pgettext("conversations", "Dialogue") if other.pk < 0 else str(Match(other.match).label)


def link_of(pk: int) -> str:
    """Lead to a rule, or to the dialogue behind a negative number."""
    page = "conversations_dialogue_change" if pk < 0 else "conversations_replyrule_change"
    return reverse(f"admin:{page}", args=[abs(pk)])


def _ask(viewer: Viewer, account: OfficialAccount, kind: str, text: str, wanted: str) -> dict[str, Any]:
    """Ask the engine what the gateway asks, for a person if one is named."""
    rules = rules_of(account.pk)
    at = now()
    found = look_up_in_words(viewer, wanted, at=at, limit=1) if wanted else LookedUp([])
    person = next(iter(found.members), None)
    note_listed(people=[person.pk] if person else [], page="conversations.try", at=at)
    follower = Follower.objects.filter(account=account, member=person).order_by("pk").first() if person else None
    facts = facts_of(rules, account.pk, follower.openid, at=at) if follower else Facts()
    if kind in {Trigger.FOLLOW, Trigger.REFOLLOW}:
        facts = Facts(kind == Trigger.REFOLLOW, facts.holds)
    trigger = Trigger.FOLLOW if kind == Trigger.REFOLLOW else kind
    asked = Asked(trigger, at, text=text, key=text, scene=_scene_of(account, text) if trigger == Trigger.FOLLOW else "")
    decision = rules.decide(asked, facts)
    dialogue = _begun_by(account, trigger, text)
    names = reasons.names_of_audiences()
    verdicts = [
        {
            "name": verdict.rule.name,
            "says": verdict.says,
            "why": reasons.say_verdict(verdict, names),
            "link": link_of(verdict.rule.pk) if verdict.rule.pk else "",
        }
        for verdict in rules.explain(asked, facts)
    ]
    if dialogue is not None:
        first, dialogue_name, pk = dialogue
        why = gettext("Answers: “%(word)s” begins this dialogue, and dialogues come before rules.") % {"word": text}
        later = gettext("Would answer, but the dialogue comes before it.")
        verdicts = [
            {"name": dialogue_name, "says": ANSWERS, "why": why, "link": link_of(-pk)},
            *(row | ({"says": EARLIER, "why": later} if row["says"] == ANSWERS else {}) for row in verdicts),
        ]
        return {
            "asked": True,
            "person": person,
            "unknown": bool(wanted) and follower is None,
            "why_unknown": found.why,
            "dialogue": dialogue_name,
            "decision": None,
            "bubbles": [{"kind": "text", "text": first}],
            "verdicts": verdicts,
        }
    return {
        "asked": True,
        "person": person,
        "unknown": bool(wanted) and follower is None,
        "why_unknown": found.why,
        "decision": decision.rule,
        "bubbles": [_bubble(content) for content in decision.contents],
        "verdicts": verdicts,
    }


def _begun_by(account: OfficialAccount, trigger: str, text: str) -> tuple[str, str, int] | None:
    """Give what the dialogue says first that a message or a tap begins, its name and its number; None without one."""
    if trigger not in {Trigger.KEYWORD, Trigger.CLICK}:
        return None
    version_id, steps = dialogues_of(account.pk).starts.get(normalised(text), (0, ()))
    if not steps:
        return None
    dialogue = DialogueVersion.objects.select_related("dialogue").get(pk=version_id).dialogue
    return begin(steps).text, dialogue.name, dialogue.pk


def _scene_of(account: OfficialAccount, text: str) -> str:
    """Give the scene of the code that is named, by its name or as it is printed below it; '' when there is none."""
    codes = Touchpoint.objects.filter(Q(name=text) | Q(scene=text), account=account).exclude(scene="").order_by("pk")
    return codes.values_list("scene", flat=True).first() or "" if text else ""


def _bubble(content: Content) -> dict[str, Any]:
    if content.kind == "NEWS":
        return {"kind": "news", "title": content.title, "text": content.text}
    return {"kind": "text", "text": answers.summary_of(content)}


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


pages.register(
    "conversations.overlaps",
    Page("conversations/rules/overlaps/", overlaps_part, "conversations_replyrule_overlaps", "replies", "edit"),
)


shows("conversations.try", gettext_lazy("Answer to somebody, tried out"), "name", "tags", way=Way.SEARCH)
