"""One-time codes of mini programs: who signs in, and which phone they share (reference: mini program 1.1, 1.2)."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NoReturn

from common.secret import Secret
from wechat_gateway import calls
from wechat_gateway.answers import Answer
from wechat_gateway.errcodes import ErrorClass, Reaction, explain
from wechat_gateway.errors import CodeRefused, PersonBlocked, TooManyTries, WeChatAway
from wechat_gateway.models import MiniProgram
from wechat_gateway.selectors import programs_with_appid

logger = logging.getLogger(__name__)

_MAINLAND: Final = "86"


@dataclass(frozen=True, slots=True)
class SignIn:
    """Who WeChat says has signed in, and where. `unionid` is "" for an app outside every Open Platform account."""

    program: MiniProgram
    openid: str
    unionid: str
    session_key: Secret


def sign_in(appid: str, code: str) -> SignIn:
    """Ask WeChat whose log-in code this is. Call it outside every brand scope: it waits for the network.

    Two brands may hold one appid; the one whose AppSecret WeChat accepts is meant, and a wrong secret spends no code.
    Raises CodeRefused (an appid nobody has connected looks the same), PersonBlocked, TooManyTries, WeChatAway.
    """
    programs = programs_with_appid(appid)
    if not programs:
        raise CodeRefused
    program = programs[0]
    answer = calls.exchange_login_code(program, code)
    for other in programs[1:]:
        if not _is_about_app(answer):
            break
        program, answer = other, calls.exchange_login_code(other, code)
    if not answer.ok:
        _refuse(answer, program)
    openid, session_key = answer.data.get("openid"), answer.data.get("session_key")
    unionid = answer.data.get("unionid", "")
    if not (isinstance(openid, str) and openid and isinstance(session_key, str) and isinstance(unionid, str)):
        raise WeChatAway
    return SignIn(program, openid, unionid, Secret(session_key))


def shared_phone(program: MiniProgram, code: str, *, openid: str, at: datetime) -> str:
    """Ask WeChat which phone a person shared; E.164. Call it outside every brand scope.

    WeChat compares `openid` with the person the code was made for. Raises CodeRefused, TooManyTries, WeChatAway.
    """
    answer = calls.exchange_phone_code(program, code, openid=openid, at=at)
    if not answer.ok:
        _refuse(answer, program)
    info = answer.data.get("phone_info")
    if not isinstance(info, dict):
        raise WeChatAway
    number, country = info.get("purePhoneNumber"), str(info.get("countryCode") or _MAINLAND)
    watermark = info.get("watermark")
    if not isinstance(watermark, dict) or watermark.get("appid") != program.appid:
        logger.warning("a phone answer for app %s carries another app's watermark", program.appid)
        raise WeChatAway
    if not isinstance(number, str) or not (country + number).isascii() or not (country + number).isdigit():
        raise WeChatAway
    return f"+{country}{number}"


def _is_about_app(answer: Answer) -> bool:
    return answer.code is not None and not answer.ok and explain(answer.code).error_class is ErrorClass.CONFIGURATION


def _refuse(answer: Answer, program: MiniProgram) -> NoReturn:
    if answer.reaction is Reaction.PAUSE_MINUTE:
        raise TooManyTries
    if answer.code is not None and answer.cause != "PARKED":
        known = explain(answer.code).error_class
        if known is ErrorClass.REQUEST:
            raise CodeRefused
        if known is ErrorClass.PERSON:
            raise PersonBlocked
    logger.warning("app %s: WeChat did not take a code (%s %s)", program.appid, answer.code, answer.cause)
    raise WeChatAway
