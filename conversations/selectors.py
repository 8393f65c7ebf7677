"""Questions about automatic answers."""

from __future__ import annotations

from conversations.engine import Rules, compile_rules
from conversations.models import ReplyRule
from touchpoints.selectors import welcome_texts


def rules_of(account_id: int) -> Rules:
    """Compile the enabled rules of an account, in order, with the welcome texts of its codes."""
    rows = ReplyRule.objects.filter(account_id=account_id, is_enabled=True).order_by("position", "pk")
    return compile_rules(rows, welcome_texts(account_id))
