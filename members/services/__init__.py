"""Changes to people: contacts and identity, tags, segments, consent."""

from members.services.consent import give_consent, withdraw_consent
from members.services.identity import bind_phone, link_unionid, merge_members, record_mini_program_user
from members.services.people import (
    join,
    mark_unfollowed,
    record_contact,
    record_follow,
    record_interaction,
    record_unfollow,
    set_store,
)
from members.services.segments import save_segment
from members.services.tags import create_tag, set_tag_sync, tag_members, untag_members

__all__ = [
    "bind_phone",
    "create_tag",
    "give_consent",
    "join",
    "link_unionid",
    "mark_unfollowed",
    "merge_members",
    "record_contact",
    "record_follow",
    "record_interaction",
    "record_mini_program_user",
    "record_unfollow",
    "save_segment",
    "set_store",
    "set_tag_sync",
    "tag_members",
    "untag_members",
    "withdraw_consent",
]
