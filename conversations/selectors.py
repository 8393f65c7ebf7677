"""Questions about automatic answers."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

from django.db.models import BooleanField, Case, Count, Value, When

from accounts.models import Brand
from accounts.tenancy import current_brand_id
from common.clock import now
from common.errors import AppError
from conversations.audiences import Audience, Scan, audience_kinds, line_up
from conversations.engine import Facts, Rule, Rules, compile_rules, rule_of
from conversations.models import ReplyRecord, ReplyRule, Suggestion, SuggestionState, Trigger, UnmatchedPhrase
from members.models import Member
from touchpoints.models import Touchpoint, TouchpointTag
from touchpoints.selectors import welcome_texts
from wechat_gateway.models import OfficialAccount

if TYPE_CHECKING:
    from datetime import date, datetime

    from django.db.models import QuerySet

logger = logging.getLogger(__name__)

MOST_COMPARED: Final = 2_000
_MOST_REMEMBERED: Final = 500
_remembered: OrderedDict[tuple[int, int], tuple[int, Rules]] = OrderedDict()


def brand_zone() -> ZoneInfo:
    """Give the zone of the brand in scope."""
    return ZoneInfo(Brand.objects.values_list("timezone", flat=True).get(pk=current_brand_id()))


def rules_of(account_id: int) -> Rules:
    """Compile the enabled rules of an account, in order, with the welcome texts of its codes."""
    rows = list(ReplyRule.objects.filter(account_id=account_id, is_enabled=True).order_by("position", "pk"))
    return compiled_with(rows, account_id)


def compiled_with(rows: list[ReplyRule], account_id: int) -> Rules:
    """Compile these rules of an account with all that rules refer to."""
    return compile_rules(
        rows,
        scenes={scene: ("", text) for scene, text in welcome_texts(account_id).items()},
        zone=brand_zone(),
        scans=_scans(account_id) if any(_welcomes_some(row) for row in rows) else {},
        audiences=_prepared(
            {Audience(row.audience_kind, row.audience_id) for row in rows if row.audience_kind and row.audience_id}
        ),
    )


def current_rules(account_id: int) -> Rules:
    """Give the compiled rules of an account as of now, compiled again only when they have changed."""
    version = OfficialAccount.objects.values_list("replies_version", flat=True).get(pk=account_id)
    key = (current_brand_id(), account_id)
    known = _remembered.get(key)
    if known is not None and known[0] == version:
        _remembered.move_to_end(key)
        return known[1]
    rules = rules_of(account_id)
    _remembered[key] = (version, rules)
    while len(_remembered) > _MOST_REMEMBERED:
        _remembered.popitem(last=False)
    return rules


def facts_of(rules: Rules, account_id: int, openid: str, *, at: datetime) -> Facts:
    """Look a person up with one query: did they come back, and which audiences of the rules hold."""
    asked = {f"holds_{number}": audience for number, audience in enumerate(rules.audiences)}
    tests: dict[str, Any] = {}
    for name, audience in asked.items():
        try:
            predicate = audience_kinds.get(audience.kind).to_q(rules.audiences[audience], at)
        except AppError:  # a segment whose rule can no longer be used selects nobody
            logger.warning("the audience %s %s cannot be used", audience.kind, audience.value)
            continue
        tests[name] = Case(When(predicate, then=True), default=Value(False), output_field=BooleanField())
    row = (
        Member.objects.filter(followers__account_id=account_id, followers__openid=openid)
        .annotate(**tests)
        .values("followers__unfollowed_at", *tests)
        .order_by("pk")
        .first()
    )
    if row is None:
        return Facts()
    return Facts(
        came_back=row["followers__unfollowed_at"] is not None,
        holds=frozenset(asked[name] for name in tests if row[name]),
    )


def _welcomes_some(row: ReplyRule) -> bool:
    return row.trigger in {Trigger.FOLLOW, Trigger.REFOLLOW} and bool(row.audience_kind)


def _prepared(audiences: set[Audience]) -> Mapping[Audience, Any]:
    found: dict[Audience, Any] = {}
    for kind_key in sorted({audience.kind for audience in audiences}):
        kind = audience_kinds.find(kind_key)
        if kind is not None:
            wanted = {audience.value for audience in audiences if audience.kind == kind_key}
            found |= {Audience(kind_key, value): ready for value, ready in kind.prepare(wanted).items()}
    return found


def _scans(account_id: int) -> dict[str, Scan]:
    above: dict[int, int | None] = dict(Touchpoint.objects.order_by("pk").values_list("pk", "parent_id"))
    leaves = Touchpoint.objects.filter(account_id=account_id, is_active=True).exclude(scene="").order_by("pk")
    tags: dict[int, set[int]] = {}
    for touchpoint_id, tag_id in TouchpointTag.objects.order_by("pk").values_list("touchpoint_id", "tag_id"):
        tags.setdefault(touchpoint_id, set()).add(tag_id)
    return {
        scene: Scan(frozenset(line_up(pk, above)), frozenset(tags.get(pk, ())))
        for pk, scene in leaves.values_list("pk", "scene")
    }


def rules_to_compare(account_id: int, *, except_for: int | None = None) -> list[Rule]:
    """Give the enabled keyword rules of an account, ready to be compared with another."""
    rows = ReplyRule.objects.filter(account_id=account_id, is_enabled=True, trigger=Trigger.KEYWORD)
    if except_for is not None:
        rows = rows.exclude(pk=except_for)
    ready = (rule_of(row) for row in rows.order_by("position", "pk")[:MOST_COMPARED])
    return [rule for rule in ready if rule is not None]


def hits_of(rule_ids: list[int]) -> dict[int, int]:
    """Give how often rules answered within the last seven days: {rule: times}."""
    since = now() - timedelta(days=7)
    rows = ReplyRecord.objects.filter(rule_id__in=rule_ids, at__gte=since).values("rule_id")
    return {row["rule_id"]: row["times"] for row in rows.annotate(times=Count("pk")).order_by("rule_id")}


def open_suggestions() -> QuerySet[Suggestion]:
    """Give the suggestions nobody has dealt with, the most frequent first."""
    rows = Suggestion.objects.filter(state=SuggestionState.OPEN).select_related("account")
    return rows.order_by("-week", "-count", "pk")


def unmatched_phrases(week: date) -> QuerySet[UnmatchedPhrase]:
    """Give the messages of a week that no rule answered, the most frequent first."""
    return UnmatchedPhrase.objects.filter(week=week).select_related("account").order_by("-count", "pk")
