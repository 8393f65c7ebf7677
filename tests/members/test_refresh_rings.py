"""Two workers that were given the same people never wait for each other in a ring."""

import threading
import time
from datetime import timedelta

import pytest
from django.db import connection, transaction

from accounts.tenancy import brand_scope
from members.models import Follower
from members.services import followers
from tests.factories import AT, make_account, make_follower
from wechat_gateway.answers import Answer, Outcome

PATIENCE = 60.0  # seconds, with a machine that has other things to do


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("outcome", [Outcome.ACCEPTED, Outcome.NOT_SENT], ids=["told", "refused"])
def test_who_waits_for_the_first_person_holds_nobody_after_it(brand, monkeypatch, outcome):
    with brand_scope(brand.pk):
        account = make_account()
        first, second = (make_follower(account) for _ in range(2))
        Follower.objects.update(profile_due_at=AT + timedelta(0, 1))
        Follower.objects.filter(pk=second.pk).update(profile_due_at=AT)  # due before, so asked about before
    told = {"user_info_list": [{"openid": each.openid, "subscribe": 1} for each in (second, first)]}
    monkeypatch.setattr(followers.calls, "get_users", lambda *_args, **_options: Answer(outcome, data=told))

    def refresh():
        try:
            followers.refresh_due(brand.pk, at=AT + timedelta(0, 2))
        finally:
            connection.close()

    other = threading.Thread(target=refresh)
    with brand_scope(brand.pk), transaction.atomic():
        Follower.objects.select_for_update().get(pk=first.pk)
        other.start()
        wait_until_somebody_waits_for_us()
        Follower.objects.select_for_update(nowait=True).get(pk=second.pk)
    other.join(PATIENCE)

    with brand_scope(brand.pk):
        due = {each.profile_due_at for each in Follower.objects.all()}
    assert due == ({None} if outcome is Outcome.ACCEPTED else {AT + timedelta(0, 2) + followers.RETRY_AFTER})


def wait_until_somebody_waits_for_us():
    asked = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid)))"
    until = time.monotonic() + PATIENCE
    with connection.cursor() as cursor:
        while time.monotonic() < until:
            cursor.execute(asked)
            if cursor.fetchone() == (True,):
                return
            time.sleep(0.01)
    pytest.fail("nobody waits")
