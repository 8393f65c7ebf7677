"""Brands, people and campaigns on both sides, and the truth to compare with. Import after Django is set up."""

from __future__ import annotations

import itertools
import time
import uuid
from collections import Counter
from datetime import UTC, datetime

import requests
from django.db import connection

from accounts.services import create_brand
from accounts.tenancy import brand_scope
from campaigns import invariants, services
from campaigns.models import Campaign, MessageTemplate
from campaigns.template_content import parse_fields
from common import clock
from members.models import Follower, Member, Purpose
from members.services import save_segment
from wechat_gateway.models import OfficialAccount
from wechat_gateway.selectors import callback_url
from wechat_simulator.world import DEFAULT_SEED, token_urlsafe

SEND = "/cgi-bin/message/template/send"
TOKEN = "/cgi-bin/stable_token"
AT = datetime(2025, 6, 1, tzinfo=UTC)
_numbers = itertools.count(1)


class Wechat:
    """The simulated WeChat's control API."""

    def __init__(self, url):
        self.url = url
        self.http = requests.Session()
        self.http.trust_env = False

    def ask(self, path, data=None, method=""):
        verb = method or ("GET" if data is None else "POST")
        answer = self.http.request(verb, f"{self.url}/_sim{path}", json=data, timeout=120)
        if answer.status_code != 200:
            raise RuntimeError(f"simulator {path}: {answer.status_code} {answer.text[:300]}")
        return answer.json()

    def fault(self, kind, **more):
        return self.ask("/faults", {"kind": kind, **more})

    def heal(self):
        self.ask("/faults", method="DELETE")

    def switch(self, **values):
        self.ask("/switches", values)

    def now(self):
        return self.ask("/clock")["now"]

    def clock_now(self):
        """The simulated time as this process knows it."""
        return clock.timestamp()

    def advance(self, seconds):
        """Move simulated time; the product follows within a second, this process at once."""
        self.ask("/clock", {"advance": seconds})
        clock.resync()
        return time.monotonic()

    def calls(self, appid, path, since=0):
        found = []
        while True:
            page = self.ask(f"/calls?appid={appid}&path={path}&since={since}&limit=100000")["calls"]
            found += page
            if len(page) < 100_000:
                return found
            since = page[-1]["n"]


class Shop:
    """A brand with a service account that the simulated WeChat knows, a template, and people."""

    def __init__(self, stage, name, *, people=0, callbacks=True):
        self.stage, self.rig, self.wechat = stage, stage.rig, stage.wechat
        number = next(_numbers)
        slug = f"{name}-{number}"
        self.brand = create_brand(slug=slug, name=slug)
        self.prefix = f"{slug}x"
        self.appid = f"wx{uuid.uuid4().hex[:16]}"
        self.openids = []
        with self.scope:
            self.account = OfficialAccount.objects.create(
                name=slug, appid=self.appid, original_id=f"gh_{number:012x}", app_secret=f"secret{number:026d}",
                callback_token=f"token{number:05d}",
                encoding_aes_key=f"{number:05d}abcdefghijklmnopqrstuvwxyz0123456789AB",
                open_platform_subject=slug, connected_at=AT,
            )  # fmt: skip
            content = "事项：{{thing1.DATA}}\n时间：{{time2.DATA}}"
            self.template = MessageTemplate.objects.create(
                account=self.account, template_id=f"tpl-{number}", title="预约提醒", content=content,
                fields=parse_fields(content), synced_at=AT,
            )  # fmt: skip
            self.segment = save_segment(name="全部", rule={"all": []}, at=AT)
            url = callback_url(self.account)
        keys = [{"key": "thing1", "label": "事项"}, {"key": "time2", "label": "时间"}]
        self.wechat.ask(
            "/world",
            {
                "accounts": [
                    {
                        "appid": self.appid, "name": slug, "subject": slug, "kind": "service", "mode": "safe",
                        "original_id": self.account.original_id, "secret": self.account.app_secret.reveal(),
                        "token": self.account.callback_token.reveal(),
                        "aes_key": self.account.encoding_aes_key.reveal(),
                        "templates": [{"template_id": f"tpl-{number}", "title": "预约提醒", "keys": keys}],
                        **({"callback_url": url} if callbacks else {}),
                    },
                ],
            },
        )  # fmt: skip
        if people:
            self.add_people(people)

    @property
    def scope(self):
        return brand_scope(self.brand.pk)

    def add_people(self, count):
        """So many followers, here and at WeChat; the openids follow from the simulator's seed."""
        self.wechat.ask("/world", {"crowds": [{"prefix": self.prefix, "count": count, "follows": [self.appid]}]})
        openids = [
            "o" + token_urlsafe(27, DEFAULT_SEED, "openid", self.appid, f"{self.prefix}{index:06d}")
            for index in range(1, count + 1)
        ]
        at = clock.now()
        for start in range(0, count, 5_000):
            part = openids[start : start + 5_000]
            with self.scope:
                rows = Member.objects.bulk_create(
                    Member(
                        public_id=uuid.uuid4(), member_no=f"{start + index:08d}", name=f"顾客{start + index}",
                        created_at=AT, subscribed=True, last_interaction_at=at,
                    )
                    for index in range(len(part))
                )  # fmt: skip
                Follower.objects.bulk_create(
                    Follower(
                        account=self.account, openid=openid, member=row, subscribed=True, followed_at=AT,
                        last_interaction_at=at,
                    )
                    for openid, row in zip(part, rows, strict=True)
                )  # fmt: skip
        self.rig.sql("ANALYZE members_member")
        self.rig.sql("ANALYZE members_follower")
        self.openids = openids

    def draft(self, name="到店提醒", **fields):
        """A campaign to everybody; its text is its own, so that the simulator can tell its duplicates."""
        with self.scope:
            return services.create_campaign(
                **(
                    {
                        "name": name, "account": self.account, "at": clock.now(), "template": self.template,
                        "content": {"thing1": f"提醒{next(_numbers)}", "time2": "2025-06-02 15:30"},
                        "segment": self.segment, "purpose": Purpose.SERVICE,
                    }
                    | fields
                )
            )  # fmt: skip

    def launch(self, **fields):
        """Launch a campaign as an operator does; workers freeze and send it."""
        campaign = self.draft(**fields)
        with self.scope:
            services.launch(campaign=campaign, at=clock.now())
        return Sent(self, campaign.pk)


class Sent:
    """A launched campaign, looked at from outside."""

    def __init__(self, shop, pk):
        self.shop, self.rig, self.wechat, self.pk = shop, shop.rig, shop.wechat, pk
        self.launched = time.monotonic()

    # --- our own records ---------------------------------------------------------------------------------------------

    def row(self):
        with self.shop.scope:
            return Campaign.objects.get(pk=self.pk)

    @property
    def state(self):
        ((state, code),) = self.rig.sql(
            "SELECT state, parked_code FROM campaigns_campaign WHERE id = %s AND brand_id = %s", self.pk, self._brand
        )
        self.parked_code = code
        return state

    @property
    def _brand(self):
        return self.shop.brand.pk

    def counts(self):
        """People by state, from the tallies (waiting and leased together)."""
        rows = self.rig.sql(
            "SELECT state, sum(count) FROM campaigns_tally WHERE brand_id = %s AND campaign_id = %s GROUP BY 1",
            self._brand, self.pk,
        )  # fmt: skip
        return Counter({state: int(count) for state, count in rows if count})

    def tried(self):
        """How many people are no longer waiting."""
        counts = self.counts()
        return sum(counts.values()) - counts["PENDING"]

    def sum_of(self, expression):
        ((value,),) = self.rig.sql(
            f"SELECT {expression} FROM campaigns_delivery WHERE brand_id = %s AND campaign_id = %s",
            self._brand, self.pk,
        )  # fmt: skip
        return value

    def rows(self, columns, where="true"):
        return self.rig.sql(
            f"SELECT {columns} FROM campaigns_delivery WHERE brand_id = %s AND campaign_id = %s AND {where}",
            self._brand, self.pk,
        )  # fmt: skip

    def openids(self, where="true"):
        return {row[0] for row in self.rows("openid", where)}

    def change(self, service, **more):
        """Do as an operator: `pause`, `resume`, `stop`."""
        with self.shop.scope:
            return service(campaign=Campaign.objects.get(pk=self.pk), at=clock.now(), **more)

    def breaches(self):
        connection.close()
        with self.shop.scope:
            return [f"{each.name}: {each.what}" for each in invariants.breaches()]

    # --- WeChat's ----------------------------------------------------------------------------------------------------

    def calls(self):
        return self.wechat.calls(self.shop.appid, SEND)

    def truth(self):
        """Every message of the campaign that WeChat accepted."""
        ((public_id,),) = self.rig.sql(
            "SELECT public_id::text FROM campaigns_campaign WHERE id = %s AND brand_id = %s", self.pk, self._brand
        )
        mine = public_id.replace("-", "")[:16] + "-"
        rows, since = [], 0
        while True:
            page = self.wechat.ask(f"/truth?appid={self.shop.appid}&kind=template&since={since}&limit=100000")
            rows += [row for row in page["rows"] if row["client_msg_id"].startswith(mine)]
            since = page["next"]
            if since is None:
                self.visible = page["counts"].get(self.shop.appid, {}).get("template", {}).get("visible_duplicates", 0)
                return rows


def duplicate_calls(calls):
    """Calls that repeat a message: a repeat has the very same bytes, client_msg_id included."""
    return sum(count - 1 for count in Counter(call["digest"] for call in calls if handled(call)).values())


def handled(call):
    return call["result"].split(" ")[0] == "0" and "not handled" not in call["result"]


def longest_stall(calls):
    """Seconds between two calls that followed each other, at most."""
    moments = sorted(call["real"] for call in calls)
    return max((after - before for before, after in itertools.pairwise(moments)), default=0.0)
