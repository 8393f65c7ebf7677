"""Changes to earn rules: drafts, versions that are in force from one moment to another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.utils.translation import gettext as _

from accounts.services import record_audit
from loyalty.earn_rules import earn_kinds, faults
from loyalty.errors import RuleInvalid
from loyalty.models import EarnRule, EarnRuleVersion, RuleState

if TYPE_CHECKING:
    from datetime import datetime


@transaction.atomic
def save_rule(*, rule: EarnRule, at: datetime) -> EarnRule:
    """Save a rule's draft; what is in force stays in force until the draft is activated."""
    is_new = rule.pk is None
    rule.updated_at = at
    rule.save()
    record_audit(action="create earn rule" if is_new else "change earn rule", obj=rule, changes={"draft": rule.draft})
    return rule


@transaction.atomic
def activate_rule(*, rule_id: int, at: datetime) -> EarnRuleVersion:
    """Make the draft the version in force from now on. Raises RuleInvalid."""
    rule = EarnRule.objects.select_for_update().get(pk=rule_id)
    kind = earn_kinds.find(rule.kind)
    if kind is None:
        raise RuleInvalid(_("Not activated. This kind of rule is no longer there."))
    wrong = faults(kind, rule.draft)
    if wrong:
        name, message = next(iter(wrong.items()))
        raise RuleInvalid(str(message), field=name)
    current = EarnRuleVersion.objects.filter(rule=rule, until__isnull=True).first()
    if current is not None and current.params == rule.draft:
        return current
    newest = EarnRuleVersion.objects.filter(rule=rule).order_by("-number").first()
    if current is not None:
        current.until = at
        current.save(update_fields=["until"])
    version = EarnRuleVersion.objects.create(
        rule=rule, number=newest.number + 1 if newest else 1, params=rule.draft, since=at
    )
    rule.state, rule.updated_at = RuleState.ACTIVE, at
    rule.save(update_fields=["state", "updated_at"])
    changes: dict[str, Any] = {"version": [current.number if current else None, version.number]}
    record_audit(action="activate earn rule", obj=rule, changes=changes)
    return version


@transaction.atomic
def stop_rule(*, rule_id: int, at: datetime) -> EarnRule:
    """Give nothing more by a rule; what it gave stays."""
    rule = EarnRule.objects.select_for_update().get(pk=rule_id)
    EarnRuleVersion.objects.filter(rule=rule, until__isnull=True).update(until=at)
    rule.state, rule.updated_at = RuleState.STOPPED, at
    rule.save(update_fields=["state", "updated_at"])
    record_audit(action="stop earn rule", obj=rule)
    return rule
