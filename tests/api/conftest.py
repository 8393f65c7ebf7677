"""Two brands with everything a leak could show, and callers whose every answer is held against the description."""

import itertools
import json
from dataclasses import dataclass

import pytest
import redis
from django.test import Client

from accounts.models import Brand
from accounts.rest import throttling
from accounts.rest.authentication import issue_member_token, token_lifetime
from accounts.sealing import forget_keys
from accounts.services import issue_api_key
from accounts.tenancy import brand_scope
from common import clock
from common.secret import Secret
from guides.models import Guide
from guides.services import assign_guide
from members import services
from members.models import Member, Tag
from stores.models import Store
from tests.api import contract
from tests.factories import (
    AT,
    make_account,
    make_brand,
    make_follower,
    make_guide,
    make_mini_program,
    make_store,
    make_tag,
)
from wechat_gateway.models import MiniProgram, OfficialAccount

EVERYTHING = [
    *("members.read", "members.write", "segments.read", "stores.read", "channels.read", "pages.sign", "campaigns.read"),
    *("points.read", "points.write", "counter.use", "joins.write", "library.read", "library.write"),
    *("coupons.read", "coupons.write", "coupons.redeem", "imports.write", "exports.write"),
]
_numbers = itertools.count(1)


class Caller:
    """A front end or another system: sends JSON, and checks every answer against the API description."""

    def __init__(self, authorization="", **headers):
        self._http = Client()
        self._headers = {"authorization": authorization, **headers} if authorization else dict(headers)

    def get(self, path, **query):
        return self.send("GET", path, query_params=query)

    def post(self, path, body):
        return self.send("POST", path, json.dumps(body))

    def patch(self, path, body):
        return self.send("PATCH", path, json.dumps(body))

    def delete(self, path):
        return self.send("DELETE", path)

    def send(self, method, path, data="", *, content_type="application/json", query_params=None, **more):
        answer = self._http.generic(
            method,
            f"/api/v1{path}",
            data,
            content_type=content_type,
            headers=self._headers,
            query_params=query_params,
            **more,
        )
        contract.check(f"/api/v1{path}", method, answer)
        return answer


@dataclass
class Side:
    """One brand, with one of everything."""

    brand: Brand
    account: OfficialAccount
    program: MiniProgram
    store: Store
    guide: Guide
    tag: Tag
    member: Member
    session_id: object
    me: Caller
    system: Caller

    def key(self, *scopes):
        """A caller with an API key that has some scopes."""
        return key_caller(self.brand, scopes)

    def session(self, member=None, at=None):
        return session_of(self, member or self.member, at)


def key_caller(brand, scopes):
    with brand_scope(brand.pk):
        _key, clear = issue_api_key(label="shop system", scopes=list(scopes), at=clock.now())
    return Caller(f"Key {clear}")


def session_of(side, member, at=None):
    with brand_scope(side.brand.pk):
        session = services.open_session(
            member=member,
            appid=side.program.appid,
            openid=f"oMini{member.pk}",
            session_key=Secret("AAECAwQFBgcICQoLDA0ODw=="),
            lifetime=token_lifetime(),
            at=at or clock.now(),
        )
    token, _seconds = issue_member_token(brand_id=side.brand.pk, session_id=session.public_id)
    return session.public_id, Caller(f"Bearer {token}")


def make_side(slug, name, city):
    brand = make_brand(slug, name)
    with brand_scope(brand.pk):
        account, program = make_account(name), make_mini_program()
        store = make_store(code="S1", name=f"{name}店")
        Store.objects.filter(pk=store.pk).update(city=city)
        guide, tag = make_guide(store, name=f"{name}导购"), make_tag("会员")
        follower = make_follower(account)
        member = services.bind_phone(member=follower.member, number="13800138000", source="test", at=AT)
        member = services.change_profile(member_id=member.pk, name=f"{name}会员", birth_mmdd=817, city=city)
        services.set_store(member_id=member.pk, store=store, at=AT)
        services.tag_members(member_ids=[member.pk], tag_ids=[tag.pk], source="test", at=AT)
        assign_guide(member_id=member.pk, guide=guide, reason="test", at=AT)
        member.refresh_from_db()
    side = Side(brand, account, program, store, guide, tag, member, None, None, key_caller(brand, EVERYTHING))
    side.session_id, side.me = side.session()
    return side


@pytest.fixture(autouse=True)
def rates(settings):
    """No test meets a limit unless it sets one; nothing is left in the buckets or in caches of this process."""
    settings.API_RATES = dict.fromkeys(("log-in", "phone", "code", "member", "key"), (100_000, 100_000.0))
    with redis.Redis.from_url(settings.CACHES["default"]["LOCATION"]) as store:
        for key in store.scan_iter("zhiyin:*bucket*"):
            store.delete(key)
    throttling.buckets.cache_clear()
    forget_keys()


@pytest.fixture
def a(db):
    return make_side("lanyu", "澜屿", "上海")


@pytest.fixture
def b(db):
    return make_side("zaoshan", "灶山", "成都")


@pytest.fixture
def wechat(simulator):
    """The simulated WeChat over real HTTP."""
    return simulator


@pytest.fixture
def stranger():
    return Caller()


def make_person(simulator, phone="13900139000"):
    """Somebody new in the simulated WeChat; gives their id."""
    name = f"api-person-{next(_numbers)}"
    return simulator.post("/_sim/people", nickname=name, id=name, phone=phone)["id"]
