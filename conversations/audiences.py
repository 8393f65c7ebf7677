"""For whom a reply rule is: one class a kind. Everybody, or one of the kinds in the order of their rank."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from django.db.models import Exists, OuterRef, Q
from django.utils.translation import gettext_lazy

from common.registry import Registry
from loyalty.models import Standing
from loyalty.selectors.tiers import newcomers, tiers
from members.models import Segment, Tag
from members.picks import remembering
from members.segments import compile_rule
from stores.models import Store
from touchpoints.models import Touchpoint

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

EVERYBODY_RANK = 1000


@dataclass(frozen=True, slots=True)
class Audience:
    """One group of people: a kind and a row of the brand."""

    kind: str
    value: int


@dataclass(frozen=True, slots=True)
class Scan:
    """What scanning a code means before anything is stored: its place in the tree, and the tags it will put on."""

    touchpoint_ids: frozenset[int] = frozenset()
    tag_ids: frozenset[int] = frozenset()


NO_SCAN = Scan()


@dataclass(frozen=True, slots=True)
class Person:
    """What memory keeps of somebody: the tags they carry, the codes they ever scanned, the tier they stand in."""

    tag_ids: frozenset[int] = frozenset()
    touchpoint_ids: frozenset[int] = frozenset()
    tier_ids: frozenset[int] = frozenset()


class AudienceKind(Protocol):
    """A way to say for whom. Lower ranks are asked first when somebody is welcomed."""

    key: ClassVar[str]
    label: ClassVar[Any]
    rank: ClassVar[int]

    def options(self) -> list[tuple[int, str]]:
        """Give what can be chosen, in the brand in scope."""
        ...

    def prepare(self, values: set[int]) -> Mapping[int, Any]:
        """Read once, when rules are compiled, what `to_q` and `holds` need; leave out what is no longer there."""
        ...

    def to_q(self, prepared: Any, at: datetime) -> Q | None:
        """Give the predicate on `Member`, None when what is always looked up settles it. Reads nothing."""
        ...

    def settled_by(self, prepared: Any) -> Person | None:
        """Give the tags, places or tiers of which one is enough, None when only the predicate settles it."""
        ...

    def holds(self, prepared: Any, person: Person, *, found: bool) -> bool:
        """Say whether somebody belongs to it; `found` is what the predicate said of them."""
        ...

    def scanned(self, value: int, scan: Scan) -> bool:
        """Say whether the code just scanned settles it."""
        ...


audience_kinds: Registry[AudienceKind] = Registry("reply audiences", purpose="for whom a reply rule can be")


def audience_kind(cls: type) -> type:
    """Register a kind of audience under its `key`."""
    audience_kinds.register(cls.key, cls())  # type: ignore[attr-defined]
    return cls


def rank_of(audience: Audience | None) -> int:
    """Give the place of an audience in the order of welcomes."""
    kind = audience_kinds.find(audience.kind) if audience else None
    return kind.rank if kind else EVERYBODY_RANK


def options() -> list[tuple[str, list[tuple[str, str]]]]:
    """Give every choice as (kind's label, [(“kind:id”, name)]), in the order of ranks."""
    ordered = sorted((kind for _key, kind in audience_kinds.items()), key=lambda kind: kind.rank)
    return [(str(kind.label), [(f"{kind.key}:{pk}", name) for pk, name in kind.options()]) for kind in ordered]


@audience_kind
class ChannelAudience:
    """Those who came through a channel or one below it."""

    key: ClassVar[str] = "channel"
    label = gettext_lazy("Channel")
    rank: ClassVar[int] = 10

    def options(self) -> list[tuple[int, str]]:
        """Give the channels in use."""
        return list(Touchpoint.objects.filter(is_active=True).order_by("name", "pk").values_list("pk", "name")[:500])

    def prepare(self, values: set[int]) -> Mapping[int, Any]:
        """Give each channel with all below it."""
        above = dict(Touchpoint.objects.order_by("pk").values_list("pk", "parent_id"))
        found: dict[int, list[int]] = {value: [] for value in values if value in above}
        for pk in above:
            for node in line_up(pk, above):
                if node in found:
                    found[node].append(pk)
        return found

    def to_q(self, prepared: Any, at: datetime) -> None:
        """Ask nothing."""

    def settled_by(self, prepared: Any) -> Person:
        """Give the channel and all below it."""
        return Person(touchpoint_ids=frozenset(prepared))

    def holds(self, prepared: Any, person: Person, *, found: bool) -> bool:
        """Look for a scan."""
        return not person.touchpoint_ids.isdisjoint(prepared)

    def scanned(self, value: int, scan: Scan) -> bool:
        """Say whether the code hangs below the channel."""
        return value in scan.touchpoint_ids


def line_up(pk: int, above: Mapping[int, int | None]) -> list[int]:
    """Give a node and all above it; a circle ends where it closes."""
    line: list[int] = []
    node: int | None = pk
    while node is not None and node not in line:
        line.append(node)
        node = above.get(node)
    return line


@audience_kind
class TagAudience:
    """Those who carry a tag."""

    key: ClassVar[str] = "tag"
    label = gettext_lazy("Tag")
    rank: ClassVar[int] = 20

    def options(self) -> list[tuple[int, str]]:
        """Give the tags."""
        return list(Tag.objects.order_by("name", "pk").values_list("pk", "name"))

    def prepare(self, values: set[int]) -> Mapping[int, Any]:
        """Keep the tags that exist."""
        return {pk: pk for pk in Tag.objects.filter(pk__in=values).values_list("pk", flat=True)}

    def to_q(self, prepared: Any, at: datetime) -> None:
        """Ask nothing."""

    def settled_by(self, prepared: Any) -> Person:
        """Give the tag."""
        return Person(tag_ids=frozenset((prepared,)))

    def holds(self, prepared: Any, person: Person, *, found: bool) -> bool:
        """Look among the tags."""
        return prepared in person.tag_ids

    def scanned(self, value: int, scan: Scan) -> bool:
        """Say whether the code puts the tag on."""
        return value in scan.tag_ids


@audience_kind
class TierAudience:
    """Those who stand in a tier, as segments say it: whoever was never decided about stands in the lowest."""

    key: ClassVar[str] = "tier"
    label = gettext_lazy("Tier")
    rank: ClassVar[int] = 30

    def options(self) -> list[tuple[int, str]]:
        """Give the tiers, lowest first."""
        return [(tier.pk, tier.name) for tier in tiers()]

    def prepare(self, values: set[int]) -> Mapping[int, Any]:
        """Keep the tiers that exist, and which of them is the lowest; a change of tiers compiles the rules anew."""
        return {tier.pk: (tier.pk, place == 0) for place, tier in enumerate(tiers()) if tier.pk in values}

    def to_q(self, prepared: Any, at: datetime) -> Q:
        """Look at where the person stands, where nothing is kept of them in memory."""
        tier_id, is_lowest = prepared
        stands = Q(Exists(Standing.objects.filter(member=OuterRef("pk"), tier=tier_id)))
        return stands | newcomers() if is_lowest else stands

    def settled_by(self, prepared: Any) -> Person:
        """Give the tier."""
        return Person(tier_ids=frozenset(prepared[:1]))

    def holds(self, prepared: Any, person: Person, *, found: bool) -> bool:
        """Look at the tier, or take the query's word."""
        return found or prepared[0] in person.tier_ids

    def scanned(self, value: int, scan: Scan) -> bool:
        """Leave it to the person's facts."""
        return False


@audience_kind
class SegmentAudience:
    """Those whom a segment selects at this moment."""

    key: ClassVar[str] = "segment"
    label = gettext_lazy("Segment")
    rank: ClassVar[int] = 40

    def options(self) -> list[tuple[int, str]]:
        """Give the segments."""
        return list(Segment.objects.order_by("name", "pk").values_list("pk", "name"))

    def prepare(self, values: set[int]) -> Mapping[int, Any]:
        """Keep the rules with the names their conditions check, so that nothing is asked for each push."""
        rules = dict(Segment.objects.filter(pk__in=values).values_list("pk", "rule"))
        if not rules:
            return {}
        names = {
            "tags": dict(Tag.objects.order_by("pk").values_list("pk", "name")),
            "stores": dict(Store.objects.order_by("pk").values_list("pk", "name")),
        }
        return {pk: (rule, names) for pk, rule in rules.items()}

    def to_q(self, prepared: Any, at: datetime) -> Q:
        """Compile the segment's rule for this moment."""
        rule, names = prepared
        with remembering(names):
            return compile_rule(rule, at=at)

    def settled_by(self, prepared: Any) -> None:
        """Leave it to the query."""

    def holds(self, prepared: Any, person: Person, *, found: bool) -> bool:
        """Take the query's word."""
        return found

    def scanned(self, value: int, scan: Scan) -> bool:
        """Leave it to the person's facts."""
        return False
