"""What people have refused holds for marketing at once, quiet hours hold it back, and service messages always arrive."""

from datetime import timedelta
from zoneinfo import ZoneInfo

from django.test import Client

from campaigns import plan, reasons
from common import clock
from members.choices import QUIET
from members.models import Follower, OptOut, Purpose
from members.services import Quiet, give_consent, save_topic, set_minor, set_preferences, withdraw_consent
from tests.campaigns.test_allowances import TEXT, crowd, wrote  # noqa: F401 - a fixture
from tests.factories import make_staff

SAID = {"channel": "MINI_PROGRAM", "source": "mini program"}


def choose(stage, follower, **choices):
    with stage.scope:
        set_preferences(member=follower.member, at=clock.now(), **SAID, **choices)


def topic(stage):
    with stage.scope:
        return save_topic(code="events", name="门店活动", at=clock.now())


def test_refused_topic_way_and_age_keep_marketing_out_and_service_messages_arrive(stage, crowd):  # noqa: F811
    events, way, young, off, keen = people = crowd(5)
    wrote(stage, people)
    chosen = topic(stage)
    choose(stage, events, topics={"events": False})
    choose(stage, way, ways={"custom": False})
    with stage.scope:
        set_minor(member=young.member, under_14=True, at=clock.now())
        withdraw_consent(member=off.member, purpose=Purpose.MARKETING, source="t", at=clock.now())
        found = plan.plan_of(stage.campaign(**TEXT, topic=chosen), at=clock.now())
    marketing = stage.launched(**TEXT, topic=chosen)
    service = stage.launched(purpose=Purpose.SERVICE, topic=chosen)

    assert (found.hit, found.opted_out, found.will_send) == (5, 4, 1)
    assert stage.states(marketing) == {
        "PENDING": 1,
        ("SUPPRESSED", reasons.TOPIC_REFUSED): 1,
        ("SUPPRESSED", reasons.WAY_REFUSED): 1,
        ("SUPPRESSED", reasons.UNDER_14): 1,
        ("SUPPRESSED", reasons.OPTED_OUT): 1,
    }
    assert stage.rows(marketing, state="PENDING")[0].member_id == keen.member_id
    stage.send(service)
    assert stage.states(service) == {"SENT": 5}


def test_choice_made_during_the_sending_holds_for_what_still_waits(stage, crowd):  # noqa: F811
    events, way, keen = people = crowd(3)
    wrote(stage, people)
    campaign = stage.launched(**TEXT, topic=topic(stage))
    assert stage.states(campaign) == {"PENDING": 3}
    choose(stage, events, topics={"events": False})
    choose(stage, way, ways={"custom": False})

    stage.send(campaign)

    assert stage.states(campaign) == {
        "SENT": 1,
        ("SUPPRESSED", reasons.TOPIC_REFUSED): 1,
        ("SUPPRESSED", reasons.WAY_REFUSED): 1,
    }
    assert stage.rows(campaign, state="SENT")[0].member_id == keen.member_id


def test_whoever_wants_nothing_personal_gets_what_goes_to_all_and_no_chosen_audience(stage, segment_of, crowd):  # noqa: F811
    shy, keen = people = crowd(2)
    wrote(stage, people)
    choose(stage, shy, personal=False)
    silent = {"condition": "last_interaction", "params": {"how": "within", "days": 30}}
    chosen = segment_of({"all": [silent]})
    everybody = segment_of({"all": [{"condition": "subscribed", "params": {"value": "yes"}}]}, name="所有人")

    to_all = stage.launched(**TEXT, segment=everybody)
    to_some = stage.launched(**TEXT, segment=chosen)

    assert stage.states(to_all) == {"PENDING": 2}
    states = {row.member_id: (row.state, row.reason) for row in stage.rows(to_some)}
    assert states[shy.member_id] == ("SUPPRESSED", reasons.NOT_PERSONALISED)
    assert states[keen.member_id] == ("PENDING", "")


def test_marketing_waits_for_the_end_of_quiet_hours_and_then_goes(stage, crowd):  # noqa: F811
    sleeper, keen = people = crowd(2)
    wrote(stage, people)
    local = clock.now().astimezone(ZoneInfo(stage.brand.timezone))
    begins, ends = ((local + timedelta(hours=shift)).time().replace(microsecond=0) for shift in (-1, 1))
    choose(stage, sleeper, quiet=Quiet(begins, ends))
    campaign = stage.launched(**TEXT)
    service = stage.launched(purpose=Purpose.SERVICE)

    stage.send(campaign)
    stage.send(service)

    states = {row.member_id: (row.state, row.reason) for row in stage.rows(campaign)}
    assert states == {sleeper.member_id: ("PENDING", reasons.QUIET_HOURS), keen.member_id: ("SENT", "")}
    assert stage.reload(campaign).finished_at is None
    held = stage.rows(campaign, state="PENDING")[0]
    assert (held.attempt, held.tried_at) == (0, None)
    assert stage.states(service) == {"SENT": 2}

    with stage.scope:
        OptOut.objects.filter(purpose=QUIET).update(
            quiet_from=(local + timedelta(hours=2)).time(), quiet_until=(local + timedelta(hours=3)).time()
        )
    stage.pass_time(campaign, 901)
    stage.send(campaign)
    assert stage.states(campaign) == {"SENT": 2}


def test_page_of_a_message_names_the_statement_that_allowed_it(stage):
    stage.people(2)
    with stage.scope:
        make_staff("owner-x", "OWNER")
        agreed, silent = Follower.objects.select_related("member").order_by("pk")
        before = clock.now() - timedelta(days=1)
        row = give_consent(
            member=agreed.member, purpose="SERVICE", text_version="2026-11", source="mini program", at=before
        )
    campaign = stage.launched(purpose=Purpose.SERVICE)
    stage.send(campaign)
    client = Client()
    client.post("/login/", {"username": "owner-x", "password": "correct horse battery"})
    pages = {
        each.member_id: client.get(
            f"/b/{stage.brand.slug}/campaigns/{campaign.pk}/messages/{each.pk}/"
        ).content.decode()
        for each in stage.rows(campaign)
    }

    assert f"{row.pk}" in pages[agreed.member_id]
    assert "2026-11" in pages[agreed.member_id]
    assert "2026-11" not in pages[silent.member_id]
    assert 'data-testid="allowed-by"' in pages[silent.member_id]
