"""Changes to people: contacts and identity, tags, segments, consent."""

from members.services.consent import (
    end_suppressions,
    give_consent,
    release_members,
    set_control_group,
    suppress_members,
    withdraw_consent,
)
from members.services.erasure import erase_due, privacy_policy, set_privacy_policy, start_clocks, stop_clock
from members.services.facts import note_fact
from members.services.followers import fetch_followers, refresh_due
from members.services.groupings import begin_lifecycle, save_grouping, take_monthly, take_snapshot
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
from members.services.pre_tags import apply_pre_tags, pre_tag
from members.services.profile import change_profile
from members.services.segments import recount_segments, save_segment
from members.services.sessions import claim_phone_code, end_session, open_session, purge_sessions, release_phone_code
from members.services.tag_rules import (
    apply_due_facts,
    apply_rules,
    dry_run,
    remove_tag_rule,
    run_rules,
    save_tag_rule,
    switch_tag_rule,
)
from members.services.tag_sync import sync_tags
from members.services.tags import (
    change_tag,
    create_tag,
    expire_tags,
    save_tag_group,
    set_tag_sync,
    tag_members,
    untag_members,
)

__all__ = [
    "apply_due_facts",
    "apply_pre_tags",
    "apply_rules",
    "begin_lifecycle",
    "bind_phone",
    "change_profile",
    "change_tag",
    "claim_phone_code",
    "create_tag",
    "dry_run",
    "end_session",
    "end_suppressions",
    "erase_due",
    "expire_tags",
    "fetch_followers",
    "give_consent",
    "join",
    "link_unionid",
    "mark_unfollowed",
    "merge_members",
    "note_fact",
    "open_session",
    "pre_tag",
    "privacy_policy",
    "purge_sessions",
    "record_contact",
    "record_follow",
    "record_interaction",
    "record_mini_program_user",
    "record_unfollow",
    "recount_segments",
    "refresh_due",
    "release_members",
    "release_phone_code",
    "remove_tag_rule",
    "run_rules",
    "save_grouping",
    "save_segment",
    "save_tag_group",
    "save_tag_rule",
    "set_control_group",
    "set_privacy_policy",
    "set_store",
    "set_tag_sync",
    "start_clocks",
    "stop_clock",
    "suppress_members",
    "switch_tag_rule",
    "sync_tags",
    "tag_members",
    "take_monthly",
    "take_snapshot",
    "untag_members",
    "withdraw_consent",
]
