"""What a process of the product remembers between requests, and how to make it forget."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from accounts.sealing import forget_keys
from accounts.tenancy import forget_conditions
from campaigns.services.results import forget_rings
from campaigns.services.sending import forget_streaks
from common.clock import forget_mapping
from conversations.inbound import just_said
from conversations.known import known
from conversations.selectors import forget_compiled
from wechat_gateway.client import forget_answers
from wechat_gateway.quotas import forget_limits
from wechat_gateway.refusals import forget_told
from wechat_gateway.services.inbox import forget_met
from wechat_gateway.tokens import forget_cached

FORGET: Final[tuple[Callable[[], None], ...]] = (
    forget_keys,
    forget_conditions,
    forget_rings,
    forget_streaks,
    forget_compiled,
    forget_answers,
    forget_limits,
    forget_met,
    forget_told,
    forget_cached,
    forget_mapping,
    just_said.forget,
    known.forget,
)
