"""What visits tell of a person, as `members.personal` wants it."""

from members.personal import SUMS, Fate, by_follower, by_member, register

register(
    "touchpoints.Touch", by_member("touchpoints.Touch"), "touchpoint__name", "kind", "at",
    fate=Fate.ANONYMOUS, law=SUMS, blank={"opening": "", "push_id": None},
)  # fmt: skip
register("touchpoints.Unfollow", by_follower("touchpoints.Unfollow"), "at", fate=Fate.KEPT, law=SUMS)
register("touchpoints.StaffPerson", by_member("touchpoints.StaffPerson"), "since")
register("touchpoints.CountedTouch", by_member("touchpoints.CountedTouch"), "day", fate=Fate.KEPT, law=SUMS)
register("touchpoints.Recount", by_member("touchpoints.Recount"), fate=Fate.KEPT, law=SUMS)
