"""Saving reply rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.db import transaction
from django.db.models import Q
from django.urls import NoReverseMatch, reverse
from django.utils.translation import gettext as _

from accounts.services import record_audit
from conversations.answers import ITEM, MINI, item_key
from conversations.models import Match, ReplyRule, Suggestion, SuggestionState, Trigger
from conversations.patterns import check_pattern
from conversations.selectors import items_of
from library.services import keep_for_good
from library.uses import Use
from touchpoints.errors import NotInTree
from touchpoints.models import SentBy
from touchpoints.services import page_that_counts, replies_changed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from members.models import Segment


MOST_PAGE: Final = 200  # as the column
SENDERS: Final = {
    Trigger.KEYWORD: SentBy.KEYWORD,
    Trigger.FOLLOW: SentBy.WELCOME,
    Trigger.REFOLLOW: SentBy.WELCOME,
    Trigger.CLICK: SentBy.MENU,
}


@transaction.atomic
def save_rule(
    *,
    rule: ReplyRule,
    at: datetime,
    suggestion: Suggestion | None = None,
    channels: Mapping[int, int] | None = None,
) -> ReplyRule:
    """Make or change a rule; the gateway answers by it within a second.

    With a suggestion it is what was made of it. Files of the library are kept for good at the account, for a rule
    answers for months. `channels` says for which channel whoever opens the mini program counts, by the place of the
    answer (0 is the first): its page then carries a short scene. Raises `PatternInvalid`, `LibraryFull`, `NotInTree`.
    """
    if rule.trigger == Trigger.KEYWORD and rule.match == Match.REGEX:
        for pattern in rule.keywords:
            check_pattern(str(pattern))
    keep_files(rule=rule, at=at)
    count_for(rule=rule, channels=channels or {}, at=at)
    before: dict[str, Any] = dict(ReplyRule.objects.filter(pk=rule.pk).values().first() or {})
    rule.updated_at = at
    rule.save()
    after: dict[str, Any] = dict(ReplyRule.objects.filter(pk=rule.pk).values().get())
    changes = {
        key: [plain_value(before.get(key)), plain_value(value)]
        for key, value in after.items()
        if key not in {"id", "brand_id", "updated_at"} and before.get(key) != value
    }
    record_audit(action="change rule" if before else "create rule", obj=rule, changes=changes)
    if suggestion is not None:
        Suggestion.objects.filter(pk=suggestion.pk).update(state=SuggestionState.TAKEN)
    replies_changed(account_id=rule.account_id)
    return rule


def count_for(*, rule: ReplyRule, channels: Mapping[int, int], at: datetime) -> None:
    """Put the scenes of channels into the pages of mini-program cards. Raises `NotInTree`."""
    how: dict[str, Any] = {
        "sent_by": SENDERS.get(Trigger(rule.trigger), SentBy.REPLY),
        "sender": rule.name,
        "at": at,
    }
    if 0 in channels and rule.reply_kind == MINI:
        rule.mini_page = page_that_counts(page=rule.mini_page, appid=rule.mini_appid, touchpoint_id=channels[0], **how)
        if len(rule.mini_page) > MOST_PAGE:
            raise NotInTree(_("The page is too long to carry a scene."), field="channel")
    for place, each in enumerate(rule.more, 1):
        if place in channels and each.get("kind") == MINI:
            page, appid = str(each.get("page", "")), str(each.get("appid", ""))
            each["page"] = page_that_counts(page=page, appid=appid, touchpoint_id=channels[place], **how)


def keep_files(*, rule: ReplyRule, at: datetime) -> None:
    """Have the account keep the files that a rule sends. Raises `LibraryFull`, `MediaMissing`."""
    for item_id in sorted(items_of(rule)):
        keep_for_good(item_id=item_id, account_id=rule.account_id, at=at)


def file_is_there(*, account_id: int, item_id: int) -> None:
    """Let the answers that send a file be compiled anew, for the account has it now."""
    rules = ReplyRule.objects.filter(account_id=account_id, is_enabled=True)
    key = item_key(item_id)
    if rules.filter(Q(media_id=key) | Q(more__contains=[{"media_id": key}])).exists():
        replies_changed(account_id=account_id)


def rules_that_use(item_ids: Sequence[int]) -> dict[int, list[Use]]:
    """Give the rules that send files of the library."""
    wanted = set(item_ids)
    found: dict[int, list[Use]] = {}
    label = _("Automatic reply")
    for rule in ReplyRule.objects.filter(Q(media_id__startswith=ITEM) | ~Q(more=[])).order_by("name", "pk"):
        for item_id in items_of(rule) & wanted:
            found.setdefault(item_id, []).append(Use(label, rule.name, link_of(rule)))
    return found


def look_again(segment: Segment) -> None:
    """Let the answers for a segment be compiled anew, for its rule is another."""
    rules = ReplyRule.objects.filter(audience_kind="segment", audience_id=segment.pk)
    for account_id in rules.order_by("account_id").values_list("account_id", flat=True).distinct():
        replies_changed(account_id=account_id)


def plain_value(value: Any) -> Any:
    """Give a value as the audit log keeps it."""
    return value.isoformat() if hasattr(value, "isoformat") else value


def link_of(rule: ReplyRule) -> str:
    """Give the page of a rule; '' in a process without a console."""
    try:
        return reverse("admin:conversations_replyrule_change", args=[rule.pk])
    except NoReverseMatch:
        return ""
