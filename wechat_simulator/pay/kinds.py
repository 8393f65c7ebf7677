"""Names of the faults of WeChat Pay; what they do stands beside what they spoil (notify.py, server.py)."""

from __future__ import annotations

from typing import Any

# Of an API call: another answer that is signed well, or one that is not.
CALLS = frozenset(("pay_error", "pay_answer", "pay_unsigned", "pay_forged_answer"))
# Of a notification: whole, or one try of it.
NOTIFICATIONS = frozenset(
    (
        "pay_late", "pay_duplicate", "pay_lost", "pay_forged", "pay_damaged", "pay_amount", "pay_changed", "pay_probe",
        "pay_refund_status",
    )
)  # fmt: skip
HEADERS = {
    "signature": "Wechatpay-Signature",
    "serial": "Wechatpay-Serial",
    "nonce": "Wechatpay-Nonce",
    "timestamp": "Wechatpay-Timestamp",
}
# How a signature or its headers may be wrong (`pay_forged`, parameter `how`).
FORGERIES = (
    "signature", "merchant_key", "unknown_serial", "public_key_id", "old_certificate", "old_timestamp",
    "future_timestamp", "text_timestamp", "millisecond_timestamp", "altered_body", "spaced_body", "localhost",
    "no_headers", *(f"{how}_{name}" for name in HEADERS for how in ("no", "empty", "double")),
)  # fmt: skip
# How a well signed notification may fail to open (`pay_damaged`, parameter `how`).
DAMAGES = (
    "tag", "key", "associated_data", "algorithm", "short_nonce", "long_nonce", "missing", "not_json", "array",
    "duplicate_keys", "megabyte",
)  # fmt: skip
REFUND_ENDS = ("ABNORMAL", "CLOSED")


def check(kind: str, params: dict[str, Any]) -> None:
    """Whether the parameters of a fault make sense; ``ValueError`` says what is possible."""
    name, known = {
        "pay_forged": ("how", FORGERIES),
        "pay_damaged": ("how", DAMAGES),
        "pay_refund_status": ("status", REFUND_ENDS),
    }.get(kind, ("", ()))
    if name and name in params and params[name] not in known:
        msg = f"{name} of {kind} is one of {list(known)}"
        raise ValueError(msg)
