"""The yearly verification of an account: WeChat says when it ends, and the brand is told until it is renewed."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest

from accounts.tenancy import brand_scope
from tests.factories import AT, make_account
from tests.wechat_gateway import forge
from wechat_gateway import incidents, selectors
from wechat_gateway.models import InboundPush
from wechat_gateway.services import handle_inbound

pytestmark = pytest.mark.django_db(transaction=True)


def told(account, event, at, **fields):
    """WeChat tells something about an account."""
    body = forge.event(event, openid="oSystem", created=int(at.timestamp()), **fields)
    with brand_scope(account.brand_id):
        InboundPush.objects.create(
            account=account, dedupe_key=uuid.uuid4(), digest=uuid.uuid4(), kind=event, openid="oSystem", lane=0,
            event_at=at, received_at=at, body=body.replace(forge.ORIGINAL_ID, account.original_id),
        )  # fmt: skip
    handle_inbound(brand_id=account.brand_id, lane=0, at=at)
    with brand_scope(account.brand_id):
        return sorted((row.kind, row.appid) for row in selectors.open_incidents())


def test_a_verification_that_ends_is_an_incident_of_its_account_until_it_is_renewed(brand):
    with brand_scope(brand.pk):
        account, other = make_account(), make_account("第二个号")
    day, expires = timedelta(days=1), {"ExpiredTime": int((AT + timedelta(days=30)).timestamp())}

    assert told(account, "annual_renew", AT, **expires) == [(incidents.RENEWAL, account.appid)]
    assert told(account, "annual_renew", AT + day, **expires) == [(incidents.RENEWAL, account.appid)]
    both = [(incidents.RENEWAL, account.appid), (incidents.UNVERIFIED, account.appid)]
    assert told(account, "verify_expired", AT + 30 * day, **expires) == both
    assert told(other, "naming_verify_success", AT + 31 * day, **expires) == both
    assert told(account, "qualification_verify_success", AT + 32 * day, **expires) == []
