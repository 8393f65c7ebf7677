"""What is known of a person, at the head of their page: who they say they are, their tags, where they stand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.urls import reverse
from django.utils.translation import gettext as _

from console import formats
from console.labels import source_label
from console.registry import BASICS, BEHAVIOUR, WORTH, Portrait, Trait, portraits
from members import profiles
from members.admin.profile import profile_on, said_in_words
from members.admin.stages import stages_on
from members.admin.timeline import tags_on
from members.models import Gender

if TYPE_CHECKING:
    from collections.abc import Iterable

    from members.models import Member
    from members.selectors import Fact

_SHOWN_TAGS: Final = 4
_SHOWN_STAGES: Final = 2  # further groupings stand in the card below
_COMMON: Final = ("gender", "birthday", "city")


def _who(member: Member) -> Iterable[Trait]:
    """Tell the common facts and the brand's own fields, each by the word that counts."""
    facts = profile_on(member)
    page = reverse("admin:members_member_profile", args=[member.pk])
    said = {fact.key: fact for fact in facts if fact.field is None}
    for number, key in enumerate(_COMMON):
        each = profiles.COMMON[key]
        value = profiles.said_common(key, getattr(member, each.column))
        if key == "gender":
            value = str(dict(Gender.choices).get(value, value))
        if value:
            yield _trait(str(each.label), value, said.get(key), page, 10 + number)
    if member.joined_at is not None:
        yield Trait(BASICS, _("Joined"), formats.local_time(member.joined_at), _("the membership"), order=20)
    for fact in facts:
        if fact.field is not None and fact.counts is not None:
            value = said_in_words(fact, fact.counts.text) or _("kept, not shown")
            yield _trait(fact.label, value, fact, page, 40)


def _trait(label: str, value: str, fact: Fact | None, page: str, order: int) -> Trait:
    """Give a fact with whose word counts; in conflict it leads to everybody's words."""
    if fact is None or fact.counts is None:
        return Trait(BASICS, label, value, _("no source is known"), order=order)
    source = str(profiles.sources.find(fact.counts.source) or fact.counts.source)
    if fact.in_conflict:
        source = _("%(why)s · sources differ") % {"why": source}
    if fact.counts.is_stale:
        source = _("%(why)s · out of date") % {"why": source}
    return Trait(BASICS, label, value, source, fact.counts.at, page if fact.in_conflict else "", order)


def _interests(member: Member) -> Iterable[Trait]:
    """Tell the newest tags that still say something, and when somebody last did anything."""
    tags = [tag for tag in tags_on(member) if not tag.stale]
    if tags:
        newest = tags[0]
        names = _(", ").join(tag.name for tag in tags[:_SHOWN_TAGS])
        more = f" +{len(tags) - _SHOWN_TAGS}" if len(tags) > _SHOWN_TAGS else ""
        source = source_label(newest.source or next((f"rule: {name}" for name in newest.rules), ""))
        yield Trait(BEHAVIOUR, _("Tags"), names + more, source or _("no source is known"), newest.at, order=50)
    if member.last_interaction_at is not None:
        when = formats.ago(member.last_interaction_at)
        yield Trait(BEHAVIOUR, _("Last interaction"), when, _("what the person did themselves"), order=60)


def _stands(member: Member) -> Iterable[Trait]:
    """Tell the stages, such as RFM and the life cycle; whoever stands in none of them is not called anything."""
    link = reverse("admin:groupings")
    for each in [each for each in stages_on(member) if each.stage][:_SHOWN_STAGES]:
        yield Trait(WORTH, each.grouping, each.stage, _("grouping, looked at every day"), each.since, link, 20)


portraits.register("members.who", Portrait(_who))
portraits.register("members.interests", Portrait(_interests))
portraits.register("members.stages", Portrait(_stands, link_area="segments"))
