"""Saving reply rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import transaction

from accounts.services import record_audit
from conversations.models import Match, ReplyRule, Suggestion, SuggestionState, Trigger
from conversations.patterns import check_pattern
from touchpoints.services import replies_changed

if TYPE_CHECKING:
    from datetime import datetime

    from members.models import Segment


@transaction.atomic
def save_rule(*, rule: ReplyRule, at: datetime, suggestion: Suggestion | None = None) -> ReplyRule:
    """Make or change a rule; the gateway answers by it within a second. Raises `PatternInvalid`.

    With a suggestion it is what was made of it.
    """
    if rule.trigger == Trigger.KEYWORD and rule.match == Match.REGEX:
        for pattern in rule.keywords:
            check_pattern(str(pattern))
    before: dict[str, Any] = dict(ReplyRule.objects.filter(pk=rule.pk).values().first() or {})
    rule.updated_at = at
    rule.save()
    after: dict[str, Any] = dict(ReplyRule.objects.filter(pk=rule.pk).values().get())
    changes = {
        key: [_plain(before.get(key)), _plain(value)]
        for key, value in after.items()
        if key not in {"id", "brand_id", "updated_at"} and before.get(key) != value
    }
    record_audit(action="change rule" if before else "create rule", obj=rule, changes=changes)
    if suggestion is not None:
        Suggestion.objects.filter(pk=suggestion.pk).update(state=SuggestionState.TAKEN)
    replies_changed(account_id=rule.account_id)
    return rule


def look_again(segment: Segment) -> None:
    """Let the answers for a segment be compiled anew, for its rule is another."""
    rules = ReplyRule.objects.filter(audience_kind="segment", audience_id=segment.pk)
    for account_id in rules.order_by("account_id").values_list("account_id", flat=True).distinct():
        replies_changed(account_id=account_id)


def _plain(value: Any) -> Any:
    """Give a value as the audit log keeps it."""
    return value.isoformat() if hasattr(value, "isoformat") else value
