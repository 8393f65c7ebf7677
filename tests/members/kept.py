"""Shows of any rule that following changes finds the same people as finding them anew."""

from collections import Counter
from datetime import timedelta

from django.utils import translation

from members.models import Member, SegmentDue, SegmentMember
from members.segments import compile_rule, matching, sentence, turning
from members.services import save_segment
from members.services.membership import follow, rebuild
from members.why import explain


def leaf(key, **params):
    return {"condition": key, "params": params}


def only(key, **params):
    return {"all": [leaf(key, **params)]}


def names(rule, at):
    return "".join(sorted(matching(rule, at=at).values_list("name", flat=True)))


def named(**people):
    """Call people by one letter each."""
    for name, person in people.items():
        Member.objects.filter(pk=person.pk).update(name=name)


def said(rule):
    with translation.override("en"):
        return sentence(rule)


def fact(rule, member, at, then=None):
    """Give whether somebody is in a rule of one condition, and the fact that was used."""
    with translation.override("en"):
        part = explain(rule, member=Member.objects.get(pk=member.pk), at=at, then=then).tree.parts[0]
    return part.holds, part.fact


def follows(rules, *steps, at):
    """Keep rules, let each step happen a day after the other, and compare; gives who was in them in the end."""
    segments = [
        save_segment(name=f"守{number}", rule=rule, at=at, freshness="MINUTES") for number, rule in enumerate(rules)
    ]
    for segment in segments:
        compile_rule(segment.rule, at=at)
        assert turning(segment.rule, since=at, until=at) is not None, segment.rule
        rebuild(segment, at=at)
    SegmentDue.objects.all().delete()
    moved = Counter()
    for step in (*steps, lambda _now: None):
        step(at)
        at += timedelta(days=1)
        changed = sorted(set(SegmentDue.objects.values_list("member_id", flat=True)))
        SegmentDue.objects.all().delete()
        for segment in segments:
            before = segment.rebuild_at
            change = follow(segment, changed, at=at)
            moved[segment.pk] += change.came + change.gone
            assert segment.rebuild_at == before, "found anew instead of followed"
            kept = SegmentMember.objects.filter(segment=segment.pk).values_list("member_id", flat=True)
            assert sorted(kept) == sorted(matching(segment.rule, at=at).values_list("pk", flat=True)), segment.rule
    assert sum(moved.values()) > 0
    return [moved[segment.pk] for segment in segments]
