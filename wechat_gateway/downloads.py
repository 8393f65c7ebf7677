"""Files from WeChat, by media id: bytes instead of JSON, larger than other answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

from django.conf import settings

from common import clock
from wechat_gateway import tokens, transport
from wechat_gateway.answers import Answer, Outcome, classify
from wechat_gateway.client import granted, not_granted
from wechat_gateway.errcodes import Reaction
from wechat_gateway.errors import CallsParked

if TYPE_CHECKING:
    from datetime import datetime

    from wechat_gateway.client import App

PATH: Final = "/cgi-bin/media/get"
LARGEST: Final = 10_500_000
SECONDS: Final = 30.0


def download_media(app: App, media_id: str, *, at: datetime | None = None) -> bytes | Answer:
    """The bytes of something somebody sent (5.12), or why there are none. Only WeChat itself is ever asked.

    WeChat answers with JSON when it refuses, and for video (a link, which is not followed).
    """
    at = at or clock.now()
    generation: int | None = None
    answer = Answer(Outcome.NOT_SENT, Reaction.RETRY, cause="NOT_TRIED")
    for _ in range(2):
        try:
            token = tokens.current(app, at=at) if generation is None else tokens.refused(app, generation, at=at)
        except CallsParked as parked:
            return Answer(Outcome.NOT_SENT, Reaction.PARK_BRAND, parked.wechat_code, parked.cause, parked.reason)
        if generation is None and not granted(app, PATH, at=at):
            return not_granted(app, PATH, at=at)
        query = urlencode({"access_token": token.secret.reveal(), "media_id": media_id})
        exchange = transport.perform(
            transport.HttpRequest(
                f"{settings.WECHAT_BASE_URL}{PATH}?{query}", repeatable=True, total_seconds=SECONDS, largest=LARGEST
            )
        )
        if exchange.status == 200 and not exchange.error and exchange.body[:1] not in (b"{", b""):
            return exchange.body
        answer = classify(exchange)
        if answer.reaction is not Reaction.REFRESH_TOKEN:
            break
        generation = token.generation
    if answer.ok:  # JSON without an error: a link to a video
        return Answer(Outcome.REFUSED, Reaction.NONE, cause="NOT_A_FILE")
    return answer
