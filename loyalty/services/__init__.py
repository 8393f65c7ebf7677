"""Changes to points and tiers."""

from loyalty.services.birthdays import (
    carry_birthdays,
    find_birthdays,
    give_birthdays,
    move_grants,
    save_birthday_programme,
)
from loyalty.services.corrections import APPROVES, adjust_points, decide_adjustment, set_policy
from loyalty.services.facts import DryRun, Outcome, Report, dry_run, record_fact
from loyalty.services.ledger import Operation
from loyalty.services.news import carry_news, due_kinds, find_news, save_news_text
from loyalty.services.notices import before_notices, on_notice
from loyalty.services.people import lapse_points, move_points, return_points, shown_points, undo_merge
from loyalty.services.points import (
    burn_points,
    capture,
    earn_points,
    earn_unless_left_out,
    expire_due,
    expire_lots,
    freeze_points,
    gift_points,
    reinstate_points,
    release,
    release_due,
    reverse,
)
from loyalty.services.rules import activate_rule, save_rule, stop_rule
from loyalty.services.tiers import evaluate_due, lock_tier, refresh_tier, unlock_tier, use_benefits
from loyalty.services.warnings import carry_warnings, warn_of_expiry

__all__ = [
    "APPROVES",
    "DryRun",
    "Operation",
    "Outcome",
    "Report",
    "activate_rule",
    "adjust_points",
    "before_notices",
    "burn_points",
    "capture",
    "carry_birthdays",
    "carry_news",
    "carry_warnings",
    "decide_adjustment",
    "dry_run",
    "due_kinds",
    "earn_points",
    "earn_unless_left_out",
    "evaluate_due",
    "expire_due",
    "expire_lots",
    "find_birthdays",
    "find_news",
    "freeze_points",
    "gift_points",
    "give_birthdays",
    "lapse_points",
    "lock_tier",
    "move_grants",
    "move_points",
    "on_notice",
    "record_fact",
    "refresh_tier",
    "reinstate_points",
    "release",
    "release_due",
    "return_points",
    "reverse",
    "save_birthday_programme",
    "save_news_text",
    "save_rule",
    "set_policy",
    "shown_points",
    "stop_rule",
    "undo_merge",
    "unlock_tier",
    "use_benefits",
    "warn_of_expiry",
]
