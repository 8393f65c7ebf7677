"""Reads the product's own records for a story: one expression a line in, one JSON value a line out."""

from __future__ import annotations

import json
import sys

from django.db import connection

import campaigns.models
import campaigns.services
import conversations.models
import conversations.selectors
import conversations.services
import guides.models
import inbox.models
import inbox.selectors
import loyalty.invariants
import members.models
import members.services
import stores.models
import touchpoints.models
import wechat_gateway.models
import welcomes.models
from accounts.services import issue_api_key
from accounts.tenancy import brand_scope
from common import clock
from members.segments import matching


def send_to_everybody(template: str, content: dict[str, str]) -> int:
    """Launch a campaign to every follower of the brand; give its id."""
    at = clock.now()
    segment = members.services.save_segment(
        name="所有粉丝", rule={"all": [{"condition": "subscribed", "params": {"value": "yes"}}]}, at=at
    )
    campaign = campaigns.services.create_campaign(
        name="同时发送",
        account=wechat_gateway.models.OfficialAccount.objects.get(),
        purpose="SERVICE",
        at=at,
        segment=segment,
        carrier="template",
        template=campaigns.models.MessageTemplate.objects.get(title=template),
        content=content,
    )
    return campaigns.services.launch(campaign=campaign, at=at).pk


def speak_to(segment_id: int, text: str) -> int:
    """Launch a customer-service message, meant to sell, to the people of a segment; give the campaign's id."""
    at = clock.now()
    campaign = campaigns.services.create_campaign(
        name=text[:20],
        account=wechat_gateway.models.OfficialAccount.objects.get(),
        purpose="MARKETING",
        at=at,
        segment=members.models.Segment.objects.get(pk=segment_id),
        carrier="custom",
        content={"text": text},
    )
    return campaigns.services.launch(campaign=campaign, at=at).pk


def change_rule(name: str, text: str) -> str:
    """Give a reply rule another text; give the one it had."""
    rule = conversations.models.ReplyRule.objects.get(name=name)
    before, rule.text = rule.text, text
    conversations.services.save_rule(rule=rule, at=clock.now())
    return before


def first_buttons(account_id: int, openids: list[str]) -> list[str]:
    """Give the first button of the menu that we predict for each person."""
    followers = members.models.Follower.objects.filter(account_id=account_id)
    ids = [followers.get(openid=openid).pk for openid in openids]
    seen = conversations.selectors.menus_seen(account_id, ids)
    return [seen[pk][0]["name"] for pk in ids]


def left_for(openid: str) -> int:
    """Give how many customer-service messages our meter allows for a person now."""
    follower = members.models.Follower.objects.get(openid=openid)
    return inbox.selectors.allowance_of(follower.pk, at=clock.now()).left


def serve() -> None:
    """Answer until standard input ends."""
    names = {
        "clock": clock,
        "member_services": members.services,
        "send_to_everybody": send_to_everybody,
        "speak_to": speak_to,
        "change_rule": change_rule,
        "first_buttons": first_buttons,
        "breaches": loyalty.invariants.breaches,
        "issue_api_key": issue_api_key,
        "matching": matching,
        "left_for": left_for,
    }
    for module in (campaigns, conversations, guides, inbox, members, stores, touchpoints, wechat_gateway, welcomes):
        names |= {name: item for name, item in vars(module.models).items() if not name.startswith("_")}
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            with brand_scope(asked["brand"]):
                # The stories are ours: this is a reading glass for them, not an interface.
                answer = {"value": eval(asked["expression"], dict(names))}
        except Exception as error:
            answer = {"error": repr(error)}
            connection.close()
        sys.stdout.write(json.dumps(answer, default=str) + "\n")
        sys.stdout.flush()
