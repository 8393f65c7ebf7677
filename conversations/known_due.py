"""Triggers that write down of whom a fact has changed that reply rules ask about: tags, scans, tiers, leaving.

They run with the rights of whoever makes the change, in whatever way it is made; row security shows them that brand's
rules alone. A brand without rules that depend on people pays for a look into one small index.
"""

from __future__ import annotations

from typing import Final

_ASKED: Final = "EXISTS (SELECT 1 FROM conversations_replyrule r WHERE r.is_enabled AND {which})"
_ANY: Final = _ASKED.format(which="(r.audience_kind <> '' OR r.trigger = 'REFOLLOW')")
_TAGS: Final = _ASKED.format(which="r.audience_kind <> ''")
_SCANS: Final = _ASKED.format(which="r.audience_kind = 'channel'")
_TIERS: Final = _ASKED.format(which="r.audience_kind = 'tier'")
_NOTE: Final = "INSERT INTO conversations_knowndue (brand_id, account_id, openid) "
_FUNCTION: Final = """
CREATE FUNCTION conversations_{name}_due() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF {asked} THEN
        {notes};
    END IF;
    RETURN NULL;
END $$;
"""
_ROWS: Final = "REFERENCING {which} TABLE AS rows FOR EACH STATEMENT"


def _function(name: str, asked: str, *notes: str) -> str:
    return _FUNCTION.format(name=name, asked=asked, notes=";\n        ".join(_NOTE + note for note in notes))


def _trigger(name: str, table: str, function: str, when: str, how: str) -> str:
    return (
        f"CREATE TRIGGER conversations_{name} AFTER {when} ON {table} {how} "
        f"EXECUTE FUNCTION conversations_{function}_due();\n"
    )


def _of_people(rows: str) -> str:
    return (
        f"SELECT DISTINCT f.brand_id, f.account_id, f.openid FROM {rows} "  # noqa: S608 - constants
        "JOIN members_follower f ON f.brand_id = c.brand_id AND f.member_id = c.member_id"
    )


_BOTH: Final = "(VALUES (OLD.brand_id, OLD.member_id), (NEW.brand_id, NEW.member_id)) AS c(brand_id, member_id)"

FUNCTIONS: Final = (
    _function("followers", _ANY, "SELECT brand_id, account_id, openid FROM rows"),
    _function(
        "follower",
        _ANY,
        "SELECT OLD.brand_id, OLD.account_id, OLD.openid UNION SELECT NEW.brand_id, NEW.account_id, NEW.openid",
    ),
    _function(
        "member",
        _TAGS,
        "SELECT f.brand_id, f.account_id, f.openid FROM members_follower f "
        "WHERE f.brand_id = NEW.brand_id AND f.member_id = NEW.id",
    ),
    _function("touches", _SCANS, _of_people("rows c")),
    _function("touch", _SCANS, _of_people(_BOTH)),
)
TRIGGERS: Final = (
    _trigger("follower_new", "members_follower", "followers", "INSERT", _ROWS.format(which="NEW")),
    _trigger("follower_gone", "members_follower", "followers", "DELETE", _ROWS.format(which="OLD")),
    _trigger(
        "follower_changed",
        "members_follower",
        "follower",
        "UPDATE",
        "FOR EACH ROW WHEN ((OLD.account_id, OLD.openid, OLD.member_id, OLD.unfollowed_at IS NULL) "
        "IS DISTINCT FROM (NEW.account_id, NEW.openid, NEW.member_id, NEW.unfollowed_at IS NULL))",
    ),
    _trigger(
        "member_changed",
        "members_member",
        "member",
        "UPDATE",
        "FOR EACH ROW WHEN (OLD.tag_ids IS DISTINCT FROM NEW.tag_ids)",
    ),
    _trigger("touch_new", "touchpoints_touch", "touches", "INSERT", _ROWS.format(which="NEW")),
    _trigger("touch_gone", "touchpoints_touch", "touches", "DELETE", _ROWS.format(which="OLD")),
    _trigger(
        "touch_changed",
        "touchpoints_touch",
        "touch",
        "UPDATE",
        "FOR EACH ROW WHEN ((OLD.member_id, OLD.touchpoint_id) IS DISTINCT FROM (NEW.member_id, NEW.touchpoint_id))",
    ),
)
ON: Final = "".join((*FUNCTIONS, *TRIGGERS))
OFF: Final = "".join(
    f"DROP FUNCTION conversations_{name}_due CASCADE;\n"
    for name in ("followers", "follower", "member", "touches", "touch")
)

# Where somebody stands, and what becomes of rules when the tiers themselves change: the lowest may be another one then.
_OF_MEMBER: Final = (
    "SELECT f.brand_id, f.account_id, f.openid FROM members_follower f "
    "WHERE f.brand_id = NEW.brand_id AND f.member_id = NEW.id"
)
_TIERS_CHANGED: Final = """
CREATE FUNCTION conversations_tiers_due() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE wechat_gateway_officialaccount a SET replies_version = a.replies_version + 1
    WHERE a.brand_id = coalesce(NEW.brand_id, OLD.brand_id) AND EXISTS (SELECT 1 FROM conversations_replyrule r
        WHERE r.brand_id = a.brand_id AND r.account_id = a.id AND r.is_enabled AND r.audience_kind = 'tier');
    RETURN NULL;
END $$;
"""
TIERS_ON: Final = "".join(
    (
        _function("standings", _TIERS, _of_people("rows c")),
        _function("standing", _TIERS, _of_people(_BOTH)),
        _function("joined", _TIERS, _OF_MEMBER),
        _TIERS_CHANGED,
        _trigger("standing_new", "loyalty_standing", "standings", "INSERT", _ROWS.format(which="NEW")),
        _trigger("standing_gone", "loyalty_standing", "standings", "DELETE", _ROWS.format(which="OLD")),
        _trigger(
            "standing_changed",
            "loyalty_standing",
            "standing",
            "UPDATE",
            "FOR EACH ROW WHEN ((OLD.member_id, OLD.tier_id) IS DISTINCT FROM (NEW.member_id, NEW.tier_id))",
        ),
        _trigger(
            "member_joined",
            "members_member",
            "joined",
            "UPDATE",
            "FOR EACH ROW WHEN ((OLD.joined_at IS NULL) IS DISTINCT FROM (NEW.joined_at IS NULL))",
        ),
        _trigger("tier_new", "loyalty_tier", "tiers", "INSERT OR DELETE", "FOR EACH ROW"),
        _trigger(
            "tier_changed",
            "loyalty_tier",
            "tiers",
            "UPDATE",
            "FOR EACH ROW WHEN (OLD.threshold IS DISTINCT FROM NEW.threshold)",
        ),
    )
)
TIERS_OFF: Final = "".join(
    f"DROP FUNCTION conversations_{name}_due CASCADE;\n" for name in ("standings", "standing", "joined", "tiers")
)
