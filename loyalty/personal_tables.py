"""What a person earned, as `members.personal` wants it: the ledger stays, under a number without a name or reasons."""

from __future__ import annotations

from django.db.models import Q

from loyalty.models import Entry, Journal
from members.personal import GONE, LEDGER, TRADE, Fate, by_member, register

register(
    "loyalty.Journal",
    lambda person: Journal.objects.filter(
        Q(member_id__in=person.member_ids) | Q(other_id__in=person.member_ids)
    ).order_by("pk"),
    "kind", "points", "source", "number", "reason", "available", "held", "owed", "at",
    fate=Fate.ANONYMOUS, law=LEDGER, blank={"reason": GONE}, through="loyalty_forget_journal",
)  # fmt: skip
register(
    "loyalty.Lot", by_member("loyalty.Lot"), "granted", "remaining", "held", "earned_at", "expires_at",
    fate=Fate.KEPT, law=LEDGER,
)  # fmt: skip
register(
    "loyalty.Entry",
    lambda person: Entry.objects.filter(
        Q(member_id__in=person.member_ids) | Q(journal__member_id__in=person.member_ids)
    ).order_by("pk"),
    "pocket", "points", "at",
    fate=Fate.KEPT, law=LEDGER,
)  # fmt: skip
register("loyalty.Account", by_member("loyalty.Account"), "available", "held", "owed", fate=Fate.KEPT, law=LEDGER)
register("loyalty.Hold", by_member("loyalty.Hold"), "points", "state", "until", "ended_at", fate=Fate.KEPT, law=LEDGER)
register(
    "loyalty.Adjustment", by_member("loyalty.Adjustment"), "points", "reason", "state", "asked_at", "decided_at",
    fate=Fate.ANONYMOUS, law=LEDGER, blank={"reason": GONE, "note": GONE},
)  # fmt: skip
register("loyalty.ExpiryWarning", by_member("loyalty.ExpiryWarning"), "day", "points", fate=Fate.KEPT, law=LEDGER)
register("loyalty.Notice", by_member("loyalty.Notice"), "about", "day", "at", "way")
register(
    "loyalty.MergedAssets",
    lambda person: (
        by_member("loyalty.MergedAssets", "kept_id")(person) | by_member("loyalty.MergedAssets", "merged_id")(person)
    ).order_by("pk"),
    "at",
    fate=Fate.KEPT, law=LEDGER,
)  # fmt: skip
register(
    "loyalty.BenefitUse", by_member("loyalty.BenefitUse"), "number", "amount", "applied", "at",
    fate=Fate.KEPT, law=TRADE,
)  # fmt: skip
register("loyalty.Standing", by_member("loyalty.Standing"), "tier__name", "since", "evaluates_at", "locked_until")
register(
    "loyalty.TierChange", by_member("loyalty.TierChange"), "kind", "before", "after", "value", "reason", "at",
    fate=Fate.ANONYMOUS, law=LEDGER, blank={"reason": GONE}, through="loyalty_forget_tierchange",
)  # fmt: skip
register(
    "loyalty.Fact", by_member("loyalty.Fact"),
    "system", "kind", "number", "store__name", "amount", "body", "happened_at",
    fate=Fate.KEPT, law=TRADE,
)  # fmt: skip
register(
    "loyalty.BirthdayGrant", by_member("loyalty.BirthdayGrant"), "year", "day", "benefit", "state", "at",
    fate=Fate.KEPT, law=LEDGER,
)  # fmt: skip
