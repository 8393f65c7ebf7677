"""Behaviour that the reference calls unconfirmed, or that tests want to turn: one table of switches with defaults."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any

from wechat_simulator.wecom.switches import WeComSwitches


@dataclass
class Switches(WeComSwitches):
    """Read and changed over ``/_sim/switches``; README.md lists each with its source."""

    push_timeout_seconds: float = 5.0  # 2: deadline (real seconds)
    push_tries: int = 3  # 2: retries
    push_retry_spacing_seconds: float = 5.0  # 2: a try that fails early is repeated when its 5 s are over (unconfirmed)
    push_concurrency: int = 64  # first tries in flight per account
    push_fresh_signature_per_try: bool = True  # 2, 9.1: unconfirmed
    push_json_numbers_as_text: bool = False  # 1.2: number fields may arrive as strings
    push_retry_client_errors: bool = True  # 2: retry after 4xx (unconfirmed)
    failure_text_events: list[str] = field(default_factory=lambda: ["CLICK", "scancode_waitmsg"])  # 2, 9.1: unconfirmed
    reply_text_limit_bytes: int = 2048  # 4: measured, unconfirmed
    wrong_secret_code: int = 40125  # 5.1, 6.3: 40001 or 40125
    force_refresh_too_soon: str = "45011"  # 5.1: "45011", or "same" for the same token again (unconfirmed)
    token_overlap_seconds: float = 300.0  # 5.1: how long a displaced token of /cgi-bin/token lives; 0 = dies at once
    ip_check_every_call: bool = True  # mini-program reference 0: 40164 is common to all paths
    client_msg_id_seconds: float = 600.0  # 5.6: window length unconfirmed; 0 = not honoured
    finish_delay_seconds: float = 1.0  # 3.4: how long after acceptance the finish event comes (simulated seconds)
    refusing_person: str = "finish_event"  # 3.4: "finish_event" (failed:user block) or "48002" at once
    check_media_ids: bool = True  # 5.9, 6.3: 40007 for what was not uploaded, or is older than three days
    permanent_media: int = 100_000  # 5.12: permanent files of a kind an account may have; a trial takes fewer
    permanent_media_full_code: int = 45001  # 5.12: what a full account answers with is unconfirmed
    windows_add_up: bool = False  # 5.9: assume they do not (unconfirmed)
    temporary_code_default_seconds: int = 60  # 5.5: 60 or 30 (unconfirmed)
    permanent_code_same_scene: bool = True  # 5.5: same scene, same code (unconfirmed)
    batch_tagging_all_or_nothing: bool = True  # 5.3: unconfirmed
    match_client_platform: bool = False  # 5.4: client_platform_type in matchrule (unconfirmed)
    menu_refresh_seconds: float = 300.0  # 5.4: clients refresh at most every 5 minutes
    refuse_unicode_escapes: bool = True  # 5: 40033, or stored as it is
    max_private_templates: int = 25  # 5.6, 9.6
    bizsend_returns_msgid: bool = True  # 5.7: whether bizsend names the MsgID of the later event (unconfirmed)
    unicode_escape_code: int = 40033  # 5: 40033 or 47002
    mass_per_month: int = 4  # 5.10: mass messages a person gets in a month; sends to everybody in a month
    pay_refund_seconds: float = 60.0  # pay 3.9: from acceptance of a refund to its end (simulated seconds)
    pay_close_expired: bool = True  # pay 3.6: an order past time_expire closes by itself (unconfirmed)
    pay_opens_window: bool = False  # 5.9: a payment opens the customer-service window (unconfirmed)
    pay_require_user_agent: bool = True  # pay 3.2: a request without User-Agent or Accept "may be refused"
    pay_unknown_merchant_code: str = "APPID_MCHID_NOT_MATCH"  # pay 5.2; 3.11 lists MCH_NOT_EXISTS too (unconfirmed)
    latency_ms: float = 0.0  # every API answer waits this long (real)
    keep_calls: int = 500_000  # request log, newest kept

    def view(self) -> dict[str, Any]:
        """All switches."""
        return asdict(self)

    def change(self, values: dict[str, Any]) -> None:
        """Set some; an unknown name or a value of another kind is a ``ValueError``."""
        known = {item.name for item in fields(self)}
        for name, value in values.items():
            if name not in known:
                msg = f"unknown switch {name}"
                raise ValueError(msg)
            current = getattr(self, name)
            if isinstance(current, bool) != isinstance(value, bool):
                msg = f"switch {name} takes {type(current).__name__}"
                raise ValueError(msg)
            if isinstance(current, float) and isinstance(value, int):
                value = float(value)  # noqa: PLW2901 - JSON has one kind of number
            if not isinstance(value, type(current)):
                msg = f"switch {name} takes {type(current).__name__}"
                raise ValueError(msg)  # noqa: TRY004 - one kind of error for a bad value
            setattr(self, name, value)
