"""What programs of this app decide about a person, and the profile in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console import formats
from members.decisions import Decider, Decision, deciders, said
from members.models import Follower, Grouping, MemberTag, OptOut, Purpose, Segment, StageMember, TagRule
from members.selectors import profile_of

if TYPE_CHECKING:
    from datetime import datetime

    from members.models import Member

BY_THE_SWITCH: Final = gettext_lazy("Ends when personalised messages are turned off.")
BY_A_PERSON: Final = gettext_lazy("A person looks at it again when somebody asks for an explanation and says why.")


def profile_in_words(member: Member, *, at: datetime) -> list[str]:
    """Say what is known of a person in a few sentences; facts are named, not shown."""
    lines = [
        _("Member since %(day)s.") % {"day": f"{formats.local(member.joined_at):%Y-%m-%d}"}
        if member.joined_at
        else _("Not a member yet.")
    ]
    followers = Follower.objects.filter(member=member, subscribed=True).order_by("account__name", "pk")
    names = list(followers.values_list("account__name", flat=True))
    lines += [_("Follows %(accounts)s.") % {"accounts": _(", ").join(names)}] if names else []
    known = [
        (member.name, _("name")),
        (member.phone_tail, _("phone")),
        (member.birth_mmdd, _("birthday")),
        (member.gender, _("gender")),
        (member.city, _("city")),
    ]
    facts = [label for value, label in known if value]
    facts += [fact.label for fact in profile_of(member.pk, at=at) if fact.field is not None and fact.words]
    lines += [_("Known: %(facts)s.") % {"facts": _(", ").join(facts)}] if facts else [_("No facts are known.")]
    rows = MemberTag.objects.filter(member=member).order_by("tag__name", "pk")
    tags = list(rows.values_list("tag__name", flat=True))
    lines += [_("Tags: %(tags)s.") % {"tags": _(", ").join(tags)}] if tags else []
    return lines


def tags_by_rules(member: Member, _at: datetime) -> list[Decision]:
    """Give the tags that automatic rules hold on somebody, each with its rules."""
    rows = [row for row in MemberTag.objects.filter(member=member).select_related("tag").order_by("-at", "pk")
            if row.rule_ids]  # fmt: skip
    rules = {rule.pk: rule for rule in TagRule.objects.filter(pk__in=[pk for row in rows for pk in row.rule_ids])}
    return [
        Decision(
            _("Tag “%(tag)s”") % {"tag": row.tag.name},
            tuple(said(rules[pk].rule) for pk in sorted(row.rule_ids) if pk in rules),
            row.at,
        )
        for row in rows
    ]


def stages(member: Member, _at: datetime) -> list[Decision]:
    """Give the stages in which a person was last found."""
    rows = list(StageMember.objects.filter(member_id=member.pk).exclude(stage_id=0).order_by("grouping_id", "pk"))
    found = {row.pk: row for row in Segment.objects.filter(pk__in=[row.stage_id for row in rows])}
    names = dict(Grouping.objects.filter(pk__in=[row.grouping_id for row in rows]).values_list("pk", "name"))
    return [
        Decision(
            _("%(grouping)s: %(stage)s") % {"grouping": names[row.grouping_id], "stage": found[row.stage_id].name},
            (said(found[row.stage_id].rule),),
            row.since,
        )
        for row in rows
        if row.stage_id in found
    ]


def control_group(member: Member, _at: datetime) -> list[Decision]:
    """Say whether a person is in the group that gets no marketing."""
    row = OptOut.objects.filter(member=member, purpose=Purpose.MARKETING, control=True).first()
    why = _("Chosen by chance from the member's id, by nothing they are or did; it shows what marketing brings.")
    return [Decision(_("In the control group: gets no marketing"), (why,), row.at)] if row else []


deciders.register(
    "members.stages", Decider(gettext_lazy("Sorted into groups"), BY_A_PERSON, stages, 40),
)  # fmt: skip
deciders.register(
    "members.tags",
    Decider(gettext_lazy("Tags given by rules"), BY_THE_SWITCH, tags_by_rules, 50, ends_with_switch=True),
)
deciders.register(
    "members.control", Decider(gettext_lazy("Control group"), BY_A_PERSON, control_group, 60),
)  # fmt: skip
