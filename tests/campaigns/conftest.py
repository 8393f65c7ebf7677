"""A brand that can really send: a simulated WeChat on a free port, an account, a template and people on both sides."""

import itertools
import threading
import time
import uuid

import pytest
import requests
from django.db import connection

from accounts.tenancy import brand_scope
from campaigns import invariants, services
from campaigns.models import Campaign, Delivery, DeliveryAttempt, MessageTemplate
from campaigns.template_content import parse_fields
from common import clock
from members.models import Follower, Member, Segment
from members.services import save_segment
from tests.factories import AT, make_account, make_brand
from wechat_simulator.clock import Clock
from wechat_simulator.serving import make_server
from wechat_simulator.simulation import Simulation
from wechat_simulator.switches import Switches

EVERYBODY = {"all": []}
CONTENT = {"thing1": "{姓名|会员}的预约", "time2": "2025-06-02 15:30"}
_numbers = itertools.count(1)


class Wechat:
    """The simulated WeChat, seen from a test."""

    def __init__(self, port):
        self.url = f"http://127.0.0.1:{port}"
        self.http = requests.Session()
        self.http.trust_env = False

    def control(self, path, data=None, method="POST"):
        answer = self.http.request(method, f"{self.url}/_sim{path}", json=data or {}, timeout=60)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def look(self, where, /, **params):
        answer = self.http.get(f"{self.url}/_sim{where}", params=params, timeout=60)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def fault(self, kind, **more):
        return self.control("/faults", {"kind": kind, "path": "/cgi-bin/message/template/send", **more})

    def heal(self):
        self.control("/faults", method="DELETE")


@pytest.fixture(scope="session")
def wechat_server():
    sim = Simulation(clock=Clock(), switches=Switches(finish_delay_seconds=0.0))
    server = make_server(sim, "127.0.0.1", 0)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 60
    while not server.started:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    yield Wechat(server.port)
    server.should_exit = True
    thread.join(10)


@pytest.fixture
def wechat(wechat_server, settings):
    settings.WECHAT_BASE_URL = wechat_server.url
    yield wechat_server
    wechat_server.heal()
    wechat_server.control("/switches", {"client_msg_id_seconds": 600.0, "latency_ms": 0.0})


class Stage:
    """One brand with a service account that WeChat knows, a template and an audience."""

    def __init__(self, wechat, brand):
        self.wechat = wechat
        self.brand = brand
        number = next(_numbers)
        self.prefix = f"p{number}x"
        with brand_scope(brand.pk):
            self.account = make_account(name=brand.name, appid=f"wxstage{uuid.uuid4().hex[:11]}")
            secret = self.account.app_secret.reveal()
        self.template_id = f"tpl-{number}"
        keys = [{"key": "thing1", "label": "事项"}, {"key": "time2", "label": "时间"}]
        self.spec = {
            "appid": self.account.appid,
            "name": brand.name,
            "secret": secret,
            "templates": [{"template_id": self.template_id, "title": "预约提醒", "keys": keys}],
        }
        wechat.control("/world", {"accounts": [self.spec]})
        content = "事项：{{thing1.DATA}}\n时间：{{time2.DATA}}"
        with brand_scope(brand.pk):
            self.template = MessageTemplate.objects.create(
                account=self.account,
                template_id=self.template_id,
                title="预约提醒",
                content=content,
                fields=parse_fields(content),
                synced_at=AT,
            )
            self.segment = save_segment(name="全部", rule=EVERYBODY, at=AT)
        self.openids = []

    @property
    def scope(self):
        return brand_scope(self.brand.pk)

    def people(self, count, **member):
        """So many more followers, here and at WeChat; gives their openids."""
        start = len(self.openids)
        self.wechat.control(
            "/world",
            {"crowds": [{"prefix": self.prefix, "count": start + count, "follows": [self.account.appid]}]},
        )
        found = []
        offset = 0
        while len(found) < start + count:
            page = self.wechat.look("/people", appid=self.account.appid, limit=1000, offset=offset)["people"]
            assert page
            found += [person["accounts"][self.account.appid]["openid"] for person in page]
            offset += len(page)
        fresh = [openid for openid in found if openid not in set(self.openids)]
        with self.scope:
            rows = Member.objects.bulk_create(
                Member(
                    # Chance would choose the control group by it.
                    public_id=uuid.uuid5(uuid.NAMESPACE_OID, f"{self.brand.slug}{start + index}"),
                    member_no=f"{next(_numbers):010d}",
                    created_at=AT,
                    **({"name": f"顾客{index}", "subscribed": True, "last_interaction_at": clock.now()} | member),
                )
                for index in range(len(fresh))
            )
            Follower.objects.bulk_create(
                Follower(
                    account=self.account,
                    openid=openid,
                    member=row,
                    subscribed=True,
                    followed_at=AT,
                    last_interaction_at=clock.now(),
                )
                for openid, row in zip(fresh, rows, strict=True)
            )
        self.openids += fresh
        return fresh

    def campaign(self, **fields):
        with self.scope:
            return services.create_campaign(
                **(
                    {
                        "name": "到店提醒",
                        "account": self.account,
                        "at": clock.now(),
                        "template": self.template,
                        "content": CONTENT,
                        "segment": self.segment,
                    }
                    | fields
                )
            )

    def launched(self, **fields):
        """A campaign with a frozen audience, nothing sent yet."""
        campaign = self.campaign(**fields)
        with self.scope:
            services.launch(campaign=campaign, at=clock.now())
        with self.scope:
            services.freeze_audience(campaign_id=campaign.pk, at=clock.now())
        return campaign

    def send(self, campaign, seconds=30.0):
        """Work on a campaign as a worker does; gives whether more is due."""
        return services.send_slice(
            brand_id=self.brand.pk, campaign_id=campaign.pk, lane=0, until=time.monotonic() + seconds
        )

    def pass_time(self, campaign, seconds):
        """Let the database believe that so many seconds have passed for the campaign's messages."""
        with self.scope, connection.cursor() as cursor:
            cursor.execute(
                "UPDATE campaigns_delivery SET due_at = due_at - %s * interval '1 second', "
                "tried_at = tried_at - %s * interval '1 second' WHERE campaign_id = %s",
                [seconds, seconds, campaign.pk],
            )
            cursor.execute(
                "UPDATE campaigns_lane SET taken_until = taken_until - %s * interval '1 second' WHERE campaign_id = %s",
                [seconds, campaign.pk],
            )

    def reload(self, campaign):
        with self.scope:
            return Campaign.objects.select_related("account", "template").get(pk=campaign.pk)

    def rows(self, campaign, **where):
        with self.scope:
            return list(Delivery.objects.filter(campaign=campaign, **where).order_by("seq"))

    def states(self, campaign):
        counts = {}
        for row in self.rows(campaign):
            key = (row.state, row.reason) if row.reason else row.state
            counts[key] = counts.get(key, 0) + 1
        return counts

    def attempts(self):
        with self.scope:
            return list(DeliveryAttempt.objects.order_by("id").values_list("outcome", "code"))

    def truth(self):
        """What WeChat accepted from this account."""
        rows, since = [], 0
        while True:
            page = self.wechat.look("/truth", appid=self.account.appid, since=since, limit=1000)
            rows += page["rows"]
            since = page["next"]
            if since is None:
                return rows

    def calls(self):
        path = "/cgi-bin/message/template/send"
        return len(self.wechat.look("/calls", appid=self.account.appid, path=path, limit=100_000)["calls"])

    def report(self, rows, status="success"):
        """WeChat reports results, as the gateway would hand them over; then they are matched."""
        with self.scope:
            for row in rows:
                services.record_result(
                    account_id=self.account.pk,
                    openid=row["openid"],
                    msgid=row["msgid"],
                    status=row.get("result", status),
                    event_at=clock.now(),
                )
        self.settle()

    def settle(self):
        with self.scope, connection.cursor() as cursor:
            cursor.execute("UPDATE campaigns_finishevent SET due_at = now()")
        with self.scope:
            while services.settle_results(at=clock.now()):
                pass

    def breaches(self):
        with self.scope:
            return invariants.breaches()


@pytest.fixture
def stage(transactional_db, wechat):
    made = Stage(wechat, make_brand())
    yield made
    assert made.breaches() == []


@pytest.fixture
def other_stage(transactional_db, wechat):
    return Stage(wechat, make_brand("zaoshan", "灶山小馆"))


@pytest.fixture
def segment_of(stage):
    def make(rule, name="一部分"):
        with stage.scope:
            return Segment.objects.create(name=name, rule=rule, created_at=AT, updated_at=AT)

    return make
