"""A brand with an account, a template and as many followers as asked for, written by SQL in seconds."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import connection

from accounts.services import create_brand
from accounts.tenancy import brand_scope
from campaigns import services
from campaigns.models import Campaign, MessageTemplate
from campaigns.template_content import parse_fields
from common import clock
from members.models import Segment
from members.services import save_segment
from wechat_gateway.models import AccessToken, OfficialAccount

SUBJECT = "bench"
TEMPLATE = "bench-template"
CONTENT = "事项：{{thing1.DATA}}\n时间：{{time2.DATA}}"
FILLED = {"thing1": "{姓名|会员}的预约", "time2": "2025-06-02 15:30"}
LATELY = {"all": [{"condition": "last_interaction", "params": {"how": "within", "days": 30}}]}  # every second member


@dataclass
class World:
    """The rows a measurement works on."""

    brand_id: int
    account: OfficialAccount
    template: MessageTemplate
    everybody: Segment
    lately: Segment

    def campaign(self, name: str = "bench", **fields: Any) -> Campaign:
        """A launched campaign, to everybody unless told otherwise, its audience not yet frozen."""
        with brand_scope(self.brand_id):
            campaign = services.create_campaign(
                name=name,
                account=self.account,
                at=clock.now(),
                template=self.template,
                content=FILLED,
                **{"segment": self.everybody, **fields},
            )
            return services.launch(campaign=campaign, at=clock.now())


def make(slug: str) -> World:
    """A new brand without people."""
    at = clock.now()
    number = uuid.uuid4().hex
    brand = create_brand(slug=f"{slug}-{number[:8]}", name=slug)
    with brand_scope(brand.pk):
        account = OfficialAccount.objects.create(
            name=slug,
            appid=f"wx{number[:16]}",
            original_id=f"gh_{number[:12]}",
            app_secret=number,
            callback_token="benchtoken",
            encoding_aes_key="abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG",
            open_platform_subject=SUBJECT,
            connected_at=at,
        )
        template = MessageTemplate.objects.create(
            account=account,
            template_id=TEMPLATE,
            title="预约提醒",
            content=CONTENT,
            fields=parse_fields(CONTENT),
            synced_at=at,
        )
        everybody = save_segment(name="everybody", rule={"all": []}, at=at)
        lately = save_segment(name="lately", rule=LATELY, at=at)
    return World(brand.pk, account, template, everybody, lately)


def give_token(world: World) -> None:
    """Store an access token, for endpoints that hand none out."""
    at = clock.now()
    with brand_scope(world.brand_id):
        AccessToken.objects.create(
            appid=world.account.appid,
            token="bench-token",
            generation=1,
            fetched_at=at,
            expires_at=at + timedelta(hours=2),
        )


def people(world: World, openids: list[str]) -> None:
    """One member with one follower for each openid."""
    at = clock.now()
    with brand_scope(world.brand_id), connection.cursor() as cursor:
        cursor.execute(
            """
            WITH people AS (
                SELECT openid, number FROM unnest(%(openids)s::text[]) WITH ORDINALITY AS t(openid, number)
            ), new AS (
                INSERT INTO members_member (
                    brand_id, public_id, member_no, name, phone, phone_tail, phone_masked, city, created_at, joined_at,
                    subscribed, last_interaction_at, tag_ids
                )
                SELECT %(brand)s, gen_random_uuid(), lpad(number::text, 12, '0'), '顾客' || number, NULL, '', '',
                    '上海', %(at)s::timestamptz, %(at)s::timestamptz, true,
                    %(at)s::timestamptz - (number %% 2) * interval '60 days', '{}'
                FROM people ORDER BY number
                RETURNING id, member_no, last_interaction_at
            )
            INSERT INTO members_follower (
                brand_id, account_id, openid, unionid, member_id, subscribed, followed_at, last_interaction_at,
                follow_count, follow_scene
            )
            SELECT %(brand)s, %(account)s, p.openid, '', new.id, true, %(at)s::timestamptz, new.last_interaction_at,
                1, ''
            FROM new JOIN people p ON p.number = new.member_no::bigint
            """,
            {"brand": world.brand_id, "account": world.account.pk, "openids": openids, "at": at},
        )


def only_lately(world: World, count: int) -> None:
    """Let exactly the first `count` members have been there lately (brand in scope)."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE members_member SET last_interaction_at = %(at)s::timestamptz - CASE "
            "WHEN member_no::bigint <= %(count)s THEN interval '1 hour' ELSE interval '90 days' END "
            "WHERE brand_id = %(brand)s",
            {"at": clock.now(), "brand": world.brand_id, "count": count},
        )
