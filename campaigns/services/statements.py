"""The hot statements of the engine, each one round trip for a whole batch. Times are the database's unless given."""

from __future__ import annotations

from typing import Final

from campaigns import reasons

# Why a follower `f` may get no customer-service message at a moment; '' when one may go. Whether one may was worked out
# when the ledger was kept; which acts still count is asked only for the reason. `%(lasts)s` is `windows.spans`.
ALLOWANCE: Final = f"""coalesce((
    SELECT CASE
        WHEN l.open_until > %(at)s::timestamptz THEN ''
        WHEN EXISTS (
            SELECT 1 FROM unnest(
                ARRAY[l.message_at, l.menu_at, l.follow_at, l.scan_at], %(lasts)s::interval[]
            ) AS act(since, lasts)
            WHERE act.since + act.lasts > %(at)s::timestamptz AND coalesce(l.left_at < act.since, true)
        ) THEN '{reasons.WINDOW_USED_UP}'
        ELSE '{reasons.WINDOW_CLOSED}'
    END
    FROM inbox_replyledger l WHERE l.brand_id = %(brand)s AND l.follower_id = f.id
), '{reasons.WINDOW_CLOSED}')"""  # noqa: S608 - constants of ours

# Why somebody with a row `o` among the opt-outs gets nothing: what they said themselves comes first.
HELD_BACK: Final = f"""CASE
    WHEN o.purpose LIKE 'TOPIC:%%' THEN '{reasons.TOPIC_REFUSED}'
    WHEN o.purpose LIKE 'CARRIER:%%' THEN '{reasons.WAY_REFUSED}'
    WHEN o.purpose = 'PERSONAL' THEN '{reasons.NOT_PERSONALISED}'
    WHEN o.minor THEN '{reasons.UNDER_14}'
    WHEN o.withdrawn THEN '{reasons.OPTED_OUT}' WHEN o.listed THEN '{reasons.ON_LIST}' ELSE '{reasons.IN_CONTROL}'
END"""

# How long the quiet hours `q` still last; nothing outside of them. A held message is looked at again after a quarter of
# an hour at the latest: the person may have changed them, and clocks change.
_NOW: Final = (
    "(%(at)s::timestamptz AT TIME ZONE (SELECT b.timezone FROM accounts_brand b WHERE b.id = %(brand)s))::time"
)
QUIET_LEFT: Final = f"""CASE
    WHEN q.quiet_from < q.quiet_until AND {_NOW} >= q.quiet_from AND {_NOW} < q.quiet_until
        THEN least(q.quiet_until - {_NOW}, interval '15 minutes')
    WHEN q.quiet_from > q.quiet_until AND {_NOW} >= q.quiet_from THEN interval '15 minutes'
    WHEN q.quiet_from > q.quiet_until AND {_NOW} < q.quiet_until
        THEN least(q.quiet_until - {_NOW}, interval '15 minutes')
END"""

# Who is due, may be sent now, and is not being worked on by anybody else. A row that may have been sent already
# (`tried_at`) is only sent again while WeChat still recognises its id; afterwards the campaign's rule decides.
# The moment is the statement's: a process may have been stopped for long since its transaction began.
# Two look-ups for the two members that a follower may have had, key by key: with OR, or with all keys at once,
# PostgreSQL would read all who opted out.
CLAIM: Final = f"""
WITH picked AS (
    SELECT d.id, d.state, d.reason, d.member_id, d.follower_id, d.tried_at, d.round
    FROM campaigns_delivery d
    WHERE d.brand_id = %(brand)s AND d.campaign_id = %(campaign)s AND d.due_at <= statement_timestamp()
        AND EXISTS (
            SELECT 1 FROM campaigns_campaign c
            WHERE c.brand_id = %(brand)s AND c.id = %(campaign)s AND c.state = ANY(%(states)s::text[])
        )
    ORDER BY d.due_at LIMIT %(size)s
    FOR UPDATE OF d SKIP LOCKED
), judged AS (
    SELECT p.*,
        CASE
            WHEN o.id IS NOT NULL THEN {HELD_BACK}
            WHEN f.id IS NULL THEN '{reasons.NOT_FOLLOWER}'
            WHEN NOT f.subscribed THEN '{reasons.UNFOLLOWED}'
            WHEN %(windowed)s THEN {ALLOWANCE}
            ELSE ''
        END AS rule,
        {QUIET_LEFT} AS quiet_left,
        p.tried_at + %(window)s * interval '1 second' AS forgotten_at
    FROM picked p
    LEFT JOIN members_follower f ON f.brand_id = %(brand)s AND f.id = p.follower_id
    LEFT JOIN LATERAL (
        SELECT mine.* FROM unnest(%(keys)s::text[]) AS k(key), LATERAL (
            SELECT o.* FROM members_optout o
            WHERE o.brand_id = %(brand)s AND o.member_id = p.member_id AND o.purpose = k.key
            UNION ALL
            SELECT o.* FROM members_optout o
            WHERE o.brand_id = %(brand)s AND o.member_id = f.member_id AND o.purpose = k.key
                AND f.member_id <> p.member_id
            LIMIT 1
        ) mine
        LIMIT 1
    ) o ON true
    LEFT JOIN LATERAL (
        SELECT h.quiet_from, h.quiet_until FROM members_optout h
        WHERE %(quiet)s AND h.brand_id = %(brand)s AND h.member_id = f.member_id AND h.purpose = 'QUIET'
        LIMIT 1
    ) q ON true
), verdict AS (
    SELECT j.*,
        CASE
            WHEN j.tried_at IS NULL THEN
                CASE WHEN j.rule <> '' THEN 'SUPPRESS' WHEN j.quiet_left IS NOT NULL THEN 'HOLD' ELSE 'SEND' END
            WHEN j.rule <> '' THEN 'LEAVE'
            WHEN statement_timestamp() < j.forgotten_at THEN 'SEND'
            WHEN %(resend)s AND j.round = 0 THEN
                CASE WHEN statement_timestamp() < j.forgotten_at + %(settle)s * interval '1 second'
                    THEN 'WAIT' ELSE 'AGAIN' END
            ELSE 'LEAVE'
        END AS act
    FROM judged j
)
UPDATE campaigns_delivery d SET
    state = CASE
        WHEN v.act IN ('SEND', 'AGAIN') THEN 'LEASED'
        WHEN v.act = 'SUPPRESS' THEN 'SUPPRESSED'
        WHEN v.act = 'HOLD' THEN 'PENDING'
        ELSE 'UNKNOWN'
    END,
    reason = CASE
        WHEN v.act IN ('SEND', 'AGAIN') THEN ''
        WHEN v.act = 'SUPPRESS' THEN v.rule
        WHEN v.act = 'HOLD' THEN '{reasons.QUIET_HOURS}'
        WHEN v.state = 'LEASED' THEN '{reasons.LEASE_LOST}'
        ELSE v.reason
    END,
    attempt = d.attempt + (v.act <> 'HOLD')::int,
    round = d.round + (v.act = 'AGAIN')::int,
    tried_at = CASE
        WHEN v.act = 'AGAIN' OR v.act = 'SEND' AND v.tried_at IS NULL THEN statement_timestamp()
        ELSE v.tried_at
    END,
    due_at = CASE
        WHEN v.act IN ('SEND', 'AGAIN') THEN statement_timestamp() + %(lease)s * interval '1 second'
        WHEN v.act = 'WAIT' THEN v.forgotten_at + %(settle)s * interval '1 second'
        WHEN v.act = 'HOLD' THEN statement_timestamp() + v.quiet_left
    END,
    leased_by = %(worker)s,
    final_at = CASE WHEN v.act = 'SUPPRESS' THEN %(at)s::timestamptz END
FROM verdict v
WHERE d.brand_id = %(brand)s AND d.id = v.id
RETURNING d.id, d.seq, d.openid, d.variables::text, d.attempt, d.round, d.state, d.reason, v.state, v.reason,
    v.act = 'SEND' AND v.tried_at IS NOT NULL, d.follower_id
"""  # noqa: S608 - constants of ours

# `%% 1 = 0` is always true and makes the planner expect few rows, so that it looks each one up by its key: without
# statistics (a table filled a moment ago) it would read all messages of the brand for every batch.
# `attempt` fences: whoever lost the lease finds another number here and changes nothing.
RECORD: Final = """
UPDATE campaigns_delivery d SET
    state = v.state, reason = v.reason, msgid = v.msgid,
    due_at = CASE WHEN v.wait IS NOT NULL THEN now() + v.wait * interval '1 second' END,
    tried_at = CASE WHEN v.untried THEN NULL ELSE d.tried_at END,
    sent_at = CASE WHEN v.state = 'SENT' THEN %(at)s::timestamptz ELSE d.sent_at END,
    final_at = CASE WHEN v.state IN ('REFUSED', 'FAILED', 'SUPPRESSED') THEN %(at)s::timestamptz END
FROM unnest(
    %(ids)s::bigint[], %(attempts)s::int[], %(states)s::text[], %(reasons)s::text[], %(msgids)s::bigint[],
    %(waits)s::float8[], %(untried)s::bool[]
) AS v(id, attempt, state, reason, msgid, wait, untried)
WHERE d.brand_id = %(brand)s AND d.id = v.id AND d.attempt = v.attempt AND d.state = 'LEASED'
    AND v.id %% 1 = 0
RETURNING d.id, d.attempt
"""

NOTE_ATTEMPTS: Final = """
INSERT INTO campaigns_deliveryattempt (brand_id, delivery_id, attempt, outcome, code, message, msgid, at)
SELECT %s, v.*, now() FROM unnest(%s::bigint[], %s::int[], %s::text[], %s::text[], %s::text[], %s::bigint[]) AS v
"""

TAKE_LANE: Final = """
UPDATE campaigns_lane SET taken_until = clock_timestamp() + %s * interval '1 second', taken_by = %s
WHERE brand_id = %s AND campaign_id = %s AND number = %s
    AND (taken_until <= clock_timestamp() OR taken_by = 'queued' OR taken_by <> '' AND taken_by = %s)
"""

# A lane whose wake-up call is in the queue is not rung for again before the call can be taken for lost.
QUEUE_LANES: Final = """
UPDATE campaigns_lane SET taken_until = clock_timestamp() + %s * interval '1 second', taken_by = 'queued'
WHERE brand_id = %s AND campaign_id = %s AND taken_until <= clock_timestamp()
RETURNING number
"""

QUEUE_LANE: Final = """
UPDATE campaigns_lane SET taken_until = clock_timestamp() + %s * interval '1 second', taken_by = 'queued'
WHERE brand_id = %s AND campaign_id = %s AND number = %s AND taken_by = %s
"""

KEEP_LANE: Final = """
UPDATE campaigns_lane SET taken_until = clock_timestamp() + %s * interval '1 second'
WHERE brand_id = %s AND campaign_id = %s AND number = %s AND taken_by = %s
"""

TAKE_TOKENS: Final = """
WITH bucket AS (
    SELECT id, least(
        %(capacity)s::float8,
        tokens + %(refill)s::float8 * greatest(0, extract(epoch FROM clock_timestamp() - filled_at))
    ) AS have
    FROM campaigns_pace WHERE brand_id = %(brand)s AND campaign_id = %(campaign)s FOR UPDATE
)
UPDATE campaigns_pace p SET
    tokens = b.have - least(%(size)s, floor(b.have)), filled_at = clock_timestamp()
FROM bucket b WHERE p.brand_id = %(brand)s AND p.id = b.id
RETURNING least(%(size)s, floor(b.have))::int
"""

ADD_TALLIES: Final = """
INSERT INTO campaigns_tally (brand_id, campaign_id, shard, state, reason, count)
SELECT %s, v.campaign_id, %s, v.state, v.reason, v.count
FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::int[]) AS v(campaign_id, state, reason, count)
ORDER BY v.campaign_id, v.state, v.reason
ON CONFLICT (brand_id, campaign_id, shard, state, reason) DO UPDATE SET count = campaigns_tally.count + excluded.count
"""

# Whoever still waits in a stopped campaign; what is on its way is recorded by its worker.
CLOSE: Final = f"""
WITH picked AS (
    SELECT brand_id, id, state, reason FROM campaigns_delivery
    WHERE brand_id = %s AND campaign_id = %s AND due_at IS NOT NULL AND (state <> 'LEASED' OR due_at <= now())
    LIMIT %s FOR UPDATE SKIP LOCKED
)
UPDATE campaigns_delivery d SET
    state = CASE WHEN p.state = 'PENDING' THEN 'SUPPRESSED' ELSE 'UNKNOWN' END,
    reason = CASE p.state
        WHEN 'PENDING' THEN '{reasons.STOPPED}' WHEN 'LEASED' THEN '{reasons.LEASE_LOST}' ELSE p.reason
    END,
    attempt = d.attempt + 1, due_at = NULL, final_at = %s
FROM picked p WHERE d.brand_id = p.brand_id AND d.id = p.id
RETURNING d.state, d.reason, p.state, p.reason
"""  # noqa: S608 - constants of ours

KEEP_RESULT: Final = """
INSERT INTO campaigns_finishevent (brand_id, account_id, msgid, openid, status, event_at, tries)
VALUES (%s, %s, %s, %s, %s, %s, 0) ON CONFLICT (brand_id, account_id, msgid) DO NOTHING
"""

# Ways to find the message of a reported result. The first final state of a message stays.
_MATCH: Final = """
WITH v AS (
    SELECT * FROM unnest(
        %(ids)s::bigint[], %(accounts)s::bigint[], %(msgids)s::bigint[], %(openids)s::text[],
        %(received)s::timestamptz[], %(states)s::text[], %(reasons)s::text[], %(moments)s::timestamptz[]
    ) AS v(event_id, account_id, msgid, openid, received, new_state, new_reason, moment)
), old AS (
    {old}
), judged AS (
    SELECT o.*,
        o.state IN ('SENT', 'UNKNOWN') AND row_number() OVER (PARTITION BY o.id ORDER BY o.event_id) = 1 AS settles
    FROM old o
), done AS (
    UPDATE campaigns_delivery d SET
        state = o.new_state, reason = o.new_reason, final_at = o.moment, due_at = NULL,
        msgid = coalesce(d.msgid, o.msgid)
    FROM judged o WHERE d.brand_id = %(brand)s AND d.id = o.id AND o.settles
)
SELECT event_id, id, campaign_id, state, reason,
    CASE WHEN settles THEN new_state END, CASE WHEN settles THEN new_reason END
FROM judged
"""
_MATCHED: Final = "v.event_id, v.msgid, v.new_state, v.new_reason, v.moment, d.id, d.campaign_id, d.state, d.reason"

# `%% 1 = 0`: see RECORD.
BY_MSGID: Final = _MATCH.format(
    old=f"""
    SELECT {_MATCHED} FROM v JOIN campaigns_delivery d
        ON d.brand_id = %(brand)s AND d.msgid = v.msgid AND d.account_id = v.account_id
    WHERE v.event_id %% 1 = 0
    FOR UPDATE OF d""",  # noqa: S608 - constants of ours
)
# The answer of a worker that was too late is only in the attempts.
BY_ATTEMPT: Final = _MATCH.format(
    old=f"""
    SELECT {_MATCHED} FROM v
    JOIN campaigns_deliveryattempt a ON a.brand_id = %(brand)s AND a.msgid = v.msgid
    JOIN campaigns_delivery d ON d.brand_id = %(brand)s AND d.id = a.delivery_id AND d.account_id = v.account_id
    FOR UPDATE OF d""",  # noqa: S608 - constants of ours
)
# An unconfirmed message has no msgid; the only one of its person that a result can belong to is settled by it.
BY_PERSON: Final = _MATCH.format(
    old=f"""
    SELECT {_MATCHED} FROM v
    JOIN campaigns_delivery d ON d.brand_id = %(brand)s AND d.account_id = v.account_id AND d.openid = v.openid
        AND d.state = 'UNKNOWN' AND d.msgid IS NULL
        AND v.received BETWEEN d.tried_at AND d.tried_at + {{window}} * interval '1 second'
    WHERE d.campaign_id IN (
        SELECT t.campaign_id FROM campaigns_tally t WHERE t.brand_id = %(brand)s AND t.state = 'UNKNOWN'
        GROUP BY t.campaign_id HAVING sum(t.count) > 0
    ) AND (SELECT count(*) FROM v again WHERE again.account_id = v.account_id AND again.openid = v.openid) = 1
    AND NOT EXISTS (
        SELECT 1 FROM campaigns_delivery other WHERE other.brand_id = %(brand)s AND other.state = 'UNKNOWN'
        AND other.account_id = d.account_id AND other.openid = d.openid AND other.id <> d.id
        AND other.campaign_id IN (
            SELECT t.campaign_id FROM campaigns_tally t WHERE t.brand_id = %(brand)s AND t.state = 'UNKNOWN'
        )
    )
    FOR UPDATE OF d""",  # noqa: S608 - constants of ours
)
