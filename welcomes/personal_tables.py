"""What a new follower was sent by itself, as `members.personal` wants it."""

from members.personal import by_follower, register

register("welcomes.StepRecord", by_follower("welcomes.StepRecord", "enrolment__follower_id"), "step", "outcome", "at")
register("welcomes.Enrolment", by_follower("welcomes.Enrolment"), "sequence__name", "state", "followed_at", "ended")
