"""Changes to people: contacts and identity, tags, segments, consent."""

from members.services.consent import give_consent, withdraw_consent
from members.services.erasure import erase_due, privacy_policy, set_privacy_policy, start_clocks, stop_clock
from members.services.followers import fetch_followers, refresh_due
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
from members.services.profile import change_profile
from members.services.segments import save_segment
from members.services.sessions import claim_phone_code, end_session, open_session, purge_sessions, release_phone_code
from members.services.tag_sync import sync_tags
from members.services.tags import create_tag, set_tag_sync, tag_members, untag_members

__all__ = [
    "bind_phone",
    "change_profile",
    "claim_phone_code",
    "create_tag",
    "end_session",
    "erase_due",
    "fetch_followers",
    "give_consent",
    "join",
    "link_unionid",
    "mark_unfollowed",
    "merge_members",
    "open_session",
    "privacy_policy",
    "purge_sessions",
    "record_contact",
    "record_follow",
    "record_interaction",
    "record_mini_program_user",
    "record_unfollow",
    "refresh_due",
    "release_phone_code",
    "save_segment",
    "set_privacy_policy",
    "set_store",
    "set_tag_sync",
    "start_clocks",
    "stop_clock",
    "sync_tags",
    "tag_members",
    "untag_members",
    "withdraw_consent",
]
