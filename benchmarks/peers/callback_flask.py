"""wechatpy in Flask, after wechatpy's own example of an encrypted account; a WSGI app."""

from __future__ import annotations

import json
import os

from flask import Flask, abort, request
from wechatpy import parse_message
from wechatpy.crypto import WeChatCrypto
from wechatpy.exceptions import InvalidAppIdException, InvalidSignatureException
from wechatpy.replies import TextReply
from wechatpy.utils import check_signature

from benchmarks.callback.messages import DEFAULT, KEYWORDS, answer_to, keyword

_account = json.loads(os.environ["BENCH_ACCOUNTS"])[0]
_answers = {keyword(number): answer_to(keyword(number)) for number in range(KEYWORDS)}

application = Flask(__name__)


@application.route(_account["path"], methods=["POST"])  # type: ignore[untyped-decorator, unused-ignore]
def callback() -> str:
    """Answer by keyword."""
    given = request.args
    try:
        check_signature(_account["token"], given["signature"], given["timestamp"], given["nonce"])
        crypto = WeChatCrypto(_account["token"], _account["aes_key"], _account["appid"])
        text = crypto.decrypt_message(request.data, given["msg_signature"], given["timestamp"], given["nonce"])
    except (InvalidSignatureException, InvalidAppIdException):
        abort(403)
    message = parse_message(text)
    reply = TextReply(content=_answers.get(message.content, DEFAULT), message=message)
    encrypted: str = crypto.encrypt_message(reply.render(), given["nonce"], given["timestamp"])
    return encrypted
