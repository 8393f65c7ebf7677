"""What was answered to a person by itself, as `members.personal` wants it."""

from members.personal import by_follower, by_openid, register

register("conversations.ReplyRecord", by_follower("conversations.ReplyRecord"), "rule__name", "trigger", "way", "at")
register("conversations.KnownDue", by_openid("conversations.KnownDue"), "at")
register("conversations.LastTag", by_follower("conversations.LastTag"), "at")
register("conversations.DialogueRun", by_follower("conversations.DialogueRun"), "answers", "state", "started_at")
register("conversations.ButtonUse", by_follower("conversations.ButtonUse"), "key", "day", "taps")
