"""Who served a person, as `members.personal` wants it."""

from members.personal import TRADE, Fate, by_member, register

register(
    "guides.Assignment", by_member("guides.Assignment"), "guide__name", "guide__staff_no", "since", "until",
    fate=Fate.KEPT, law=TRADE,
)  # fmt: skip
register(
    "guides.Joining", by_member("guides.Joining"), "guide__name", "guide__staff_no", "store__name", "way", "at",
    fate=Fate.KEPT, law=TRADE,
)  # fmt: skip
