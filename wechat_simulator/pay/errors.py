"""Refusals of WeChat Pay: HTTP status, code, words, numeric cause (pay reference 3.11)."""

from __future__ import annotations

from typing import Any

# The cause is the tail of ``Request-Id``; 0 where the reference names none.
CAUSES: dict[str, int] = {
    "parameter": 268435461, "extra": 270924358, "missing order": 268512771, "paid": 268449538, "re-entry": 268498688,
    "mchid": 268447843, "appid": 268445527, "signature": 268443699, "openid": 268501013, "expired": 268447914,
    "rate": 268447840,
}  # fmt: skip
TEXTS: dict[str, tuple[int, str]] = {
    "PARAM_ERROR": (400, "参数错误"),
    "INVALID_REQUEST": (400, "无效请求"),
    "APPID_MCHID_NOT_MATCH": (400, "商户号和AppID未绑定"),
    "ORDER_CLOSED": (400, "订单已关闭"),
    "MCH_NOT_EXISTS": (400, "商户号不存在"),
    "NO_STATEMENT_EXIST": (400, "账单文件不存在"),
    "STATEMENT_CREATING": (400, "账单生成中"),
    "SIGN_ERROR": (401, "错误的签名，验签失败"),
    "NO_AUTH": (403, "商户无权限"),
    "RULE_LIMIT": (403, "业务规则限制"),
    "OUT_TRADE_NO_USED": (403, "商户订单号重复"),
    "ORDERPAID": (403, "订单已支付"),
    "NOT_ENOUGH": (403, "余额不足"),
    "ACCOUNT_ERROR": (403, "账号异常"),
    "TRADE_ERROR": (403, "交易错误"),
    "ORDER_NOT_EXIST": (404, "订单不存在"),
    "RESOURCE_NOT_EXISTS": (404, "查询的资源不存在"),
    "FREQUENCY_LIMITED": (429, "频率超限"),
    "RATELIMIT_EXCEEDED": (429, "频率超限"),
    "SYSTEM_ERROR": (500, "系统异常，请稍后重试"),
    "BANK_ERROR": (500, "银行系统异常"),
    "OPENID_MISMATCH": (500, "openid和appid不匹配"),
    "INVALID_TRANSACTIONID": (500, "订单号非法"),
}


class PayError(Exception):
    """An answer that is not 2xx."""

    def __init__(
        self, code: str, text: str = "", *, cause: str = "", detail: dict[str, Any] | None = None, status: int = 0
    ) -> None:
        super().__init__(code, text)
        known_status, known_text = TEXTS.get(code, (400, code))
        self.status = status or known_status
        self.code = code
        self.text = text or known_text
        self.cause = CAUSES[cause] if cause else 0
        self.detail = detail

    def body(self) -> dict[str, Any]:
        """``{"code", "message", "detail"?}``."""
        more = {"detail": self.detail} if self.detail else {}
        return {"code": self.code, "message": self.text, **more}


def wrong(where: str, issue: str, value: Any = None, *, cause: str = "parameter", location: str = "body") -> PayError:
    """A parameter that is refused, with its place."""
    detail = {"location": location, "value": value, "field": where, "issue": issue}
    return PayError("PARAM_ERROR", f"参数错误：{where} {issue}", cause=cause, detail=detail)
