"""Drafts (草稿箱), as far as a mass send needs them: added, read, deleted (reference: service account 5.11)."""

from __future__ import annotations

from typing import Any

from wechat_simulator.api.base import Call, api, ok
from wechat_simulator.errors import WeChatError
from wechat_simulator.world import token_urlsafe

MOST_ARTICLES = 8
TITLE, AUTHOR, DIGEST = 32, 16, 128
CONTENT_LETTERS, CONTENT_BYTES = 20_000, 1_000_000


def _check(call: Call, article: Any) -> dict[str, Any]:
    if not isinstance(article, dict):
        raise WeChatError(47001)
    title = article.get("title")
    if not isinstance(title, str) or not title:
        raise WeChatError(40035)
    for name, most in (("title", TITLE), ("author", AUTHOR), ("digest", DIGEST)):
        if len(str(article.get(name, ""))) > most:
            raise WeChatError(45002)
    content = article.get("content")
    if not isinstance(content, str) or not content:
        raise WeChatError(44004)
    if len(content) >= CONTENT_LETTERS or len(content.encode()) >= CONTENT_BYTES:
        raise WeChatError(45002)
    cover = call.sim.media.find(str(article.get("thumb_media_id", "")), call.now, call.account.appid)
    if article.get("article_type", "news") == "news" and (cover is None or not cover.permanent):
        raise WeChatError(40007)
    return dict(article)


@api("POST", "/cgi-bin/draft/add", raw_text=True)
def add(call: Call) -> dict[str, Any]:
    """One to eight articles; each has a permanent picture as its cover."""
    articles = call.json().get("articles")
    if not isinstance(articles, list) or not articles:
        raise WeChatError(44004)
    if len(articles) > MOST_ARTICLES:
        raise WeChatError(45008)
    checked = [_check(call, article) for article in articles]
    media_id = token_urlsafe(43, call.sim.world.seed, "draft", str(call.sim.world.number()))
    call.sim.drafts[media_id] = (call.account.appid, checked)
    return {"media_id": media_id}


def draft_of(call: Call, media_id: Any) -> list[dict[str, Any]]:
    """The articles of a draft of this account; 40007 for any other, and for one that was sent."""
    appid, articles = call.sim.drafts.get(str(media_id), ("", []))
    if appid != call.account.appid:
        raise WeChatError(40007)
    return articles


@api("POST", "/cgi-bin/draft/get")
def get(call: Call) -> dict[str, Any]:
    """The articles of one."""
    return {"news_item": draft_of(call, call.json().get("media_id"))}


@api("POST", "/cgi-bin/draft/delete")
def delete(call: Call) -> dict[str, Any]:
    """Take one away."""
    media_id = str(call.json().get("media_id"))
    draft_of(call, media_id)
    del call.sim.drafts[media_id]
    return ok()


@api("GET", "/cgi-bin/draft/count")
def count(call: Call) -> dict[str, Any]:
    """How many there are."""
    return {"total_count": sum(appid == call.account.appid for appid, _articles in call.sim.drafts.values())}
