"""Segments by channel: first, last or any touch of a code or of what stands below it."""

from datetime import timedelta

import pytest

from members.models import Member
from members.services import record_interaction
from tests.factories import AT, make_account, make_follower, make_touchpoint
from tests.members.kept import fact as why
from tests.members.kept import follows, leaf, named, names, only, said
from touchpoints.models import StaffPerson
from touchpoints.services import record_touch

HOUR = timedelta(hours=1)


@pytest.fixture
def scene(in_brand):
    """A branch with one code below it, and another code; a came by both, b by the other, c by none."""
    account = make_account()
    branch = make_touchpoint(None, name="门店")
    door, site = make_touchpoint(account, name="门口", parent=branch), make_touchpoint(account, name="官网")
    people = {name: make_follower(account, at=AT) for name in "abcs"}
    named(**{name: each.member for name, each in people.items()})
    StaffPerson.objects.create(member=people["s"].member, since=AT)

    def scan(who, code, at):
        record_touch(follower=people[who], scene=code.scene, is_follow=False, at=at)

    scan("a", door, AT)
    scan("a", site, AT + HOUR)
    scan("b", site, AT)
    scan("s", door, AT)
    Member.objects.update(created_at=AT - HOUR)
    return {"branch": branch, "door": door, "site": site, "scan": scan, **people}


def by(which, *codes):
    return only("channel", which=which, channels=[code.pk for code in codes])


def test_first_last_and_any_touch_with_what_stands_below(scene):
    at, door, site, branch = AT + 2 * HOUR, scene["door"], scene["site"], scene["branch"]
    found = {
        which: [names(by(which, *codes), at) for codes in ((door,), (site,), (branch,), (branch, site))]
        for which in ("first", "last", "any")
    }
    assert found == {
        "first": ["a", "b", "a", "ab"],
        "last": ["", "ab", "", "ab"],
        "any": ["a", "ab", "a", "ab"],
    }
    assert names(by("last", door), AT) == "a"  # as it was
    assert why(by("last", door), scene["a"].member, at, then=AT)[0] is True
    assert why(by("first", door), scene["a"].member, at) == (True, "“门口”, 2025-06-01 08:00")
    assert said(by("first", door, site)) == "came first by “门口” or “官网”"


def test_scans_are_counted_but_not_those_of_staff(scene):
    twice = {"all": [leaf("event", how="did", event="touchpoints.scanned", times=2, days=9)]}
    assert names(twice, AT + 2 * HOUR) == "a"
    assert said(twice) == "has scanned a code at least 2 times within 9 days"


def test_channels_follow_new_touches(scene):
    follows(
        [by("first", scene["door"]), by("last", scene["site"]), by("any", scene["branch"])],
        lambda now: scene["scan"]("c", scene["door"], now),
        lambda now: scene["scan"]("b", scene["door"], now),
        lambda now: record_interaction(follower=scene["a"], at=now),
        at=AT + 2 * HOUR,
    )
