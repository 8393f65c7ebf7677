"""What must hold for campaigns whatever dies and whenever: queries that give no rows (for tests and for operators)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from django.db import connection

from accounts.tenancy import current_brand_id

# Each takes the brand once or twice by name and gives (campaign id, what is wrong). Times are the database's.
INVARIANTS: Final[dict[str, str]] = {
    "everybody has one message": """
        SELECT c.id, c.audience_count - count(d.id) FROM campaigns_campaign c
        LEFT JOIN campaigns_delivery d ON d.brand_id = c.brand_id AND d.campaign_id = c.id
        WHERE c.brand_id = %(brand)s AND c.audience_count IS NOT NULL
        GROUP BY c.id, c.audience_count HAVING c.audience_count <> count(d.id)""",
    "every message has its campaign": """
        SELECT d.campaign_id, min(d.id) FROM campaigns_delivery d WHERE d.brand_id = %(brand)s AND NOT EXISTS (
            SELECT 1 FROM campaigns_campaign c WHERE c.brand_id = d.brand_id AND c.id = d.campaign_id
        ) GROUP BY d.campaign_id""",
    "nobody twice": """
        SELECT campaign_id, member_id FROM campaigns_delivery WHERE brand_id = %(brand)s
        GROUP BY campaign_id, member_id HAVING count(*) > 1""",
    "numbers without gaps": """
        SELECT campaign_id, max(seq) FROM campaigns_delivery WHERE brand_id = %(brand)s
        GROUP BY campaign_id
            HAVING max(seq) <> count(*) OR min(seq) <> 1 OR count(DISTINCT seq) <> count(*)""",
    "numbers follow members": """
        SELECT campaign_id, id FROM (
            SELECT campaign_id, id, seq, row_number() OVER (PARTITION BY campaign_id ORDER BY member_id) AS place
            FROM campaigns_delivery WHERE brand_id = %(brand)s
        ) d WHERE seq <> place""",
    "open exactly when due": """
        SELECT campaign_id, id FROM campaigns_delivery WHERE brand_id = %(brand)s
            AND (state IN ('PENDING', 'LEASED') AND due_at IS NULL
                OR state NOT IN ('PENDING', 'LEASED', 'UNKNOWN') AND due_at IS NOT NULL)""",
    "no lease without an attempt": """
        SELECT campaign_id, id FROM campaigns_delivery WHERE brand_id = %(brand)s
            AND (state IN ('LEASED', 'SENT', 'REFUSED') AND attempt = 0 OR state = 'LEASED' AND tried_at IS NULL)""",
    "no lease a minute past its end": """
        SELECT d.campaign_id, d.id FROM campaigns_delivery d
        JOIN campaigns_campaign c ON c.brand_id = d.brand_id AND c.id = d.campaign_id
        WHERE d.brand_id = %(brand)s AND d.state = 'LEASED' AND d.due_at < now() - interval '60 seconds'
            AND c.state = 'SENDING'""",
    "sent means WeChat gave an id": """
        SELECT d.campaign_id, d.id FROM campaigns_delivery d
        JOIN campaigns_campaign c ON c.brand_id = d.brand_id AND c.id = d.campaign_id
        WHERE d.brand_id = %(brand)s AND d.state = 'SENT' AND d.msgid IS NULL AND c.carrier = 'template'""",
    "one message, one id": """
        SELECT min(campaign_id), msgid FROM campaigns_delivery WHERE brand_id = %(brand)s AND msgid IS NOT NULL
        GROUP BY account_id, msgid HAVING count(*) > 1""",
    "a reason for everything that is not fine": """
        SELECT campaign_id, id FROM campaigns_delivery WHERE brand_id = %(brand)s
            AND state IN ('REFUSED', 'FAILED', 'UNKNOWN', 'SUPPRESSED') AND reason = ''""",
    "tallies equal rows": """
        SELECT coalesce(t.campaign_id, d.campaign_id), coalesce(t.state, d.state) || ' ' || coalesce(t.reason, d.reason)
            || ' ' || coalesce(t.count, 0) || ' <> ' || coalesce(d.count, 0)
        FROM (
            SELECT campaign_id, state, reason, sum(count) AS count FROM campaigns_tally
            WHERE brand_id = %(brand)s GROUP BY 1, 2, 3 HAVING sum(count) <> 0
        ) t
        FULL JOIN (
            SELECT campaign_id,
                CASE WHEN state = 'LEASED' THEN 'PENDING' ELSE state END AS state,
                CASE WHEN state IN ('PENDING', 'LEASED') THEN '' ELSE reason END AS reason, count(*) AS count
            FROM campaigns_delivery WHERE brand_id = %(brand)s GROUP BY 1, 2, 3
        ) d ON d.campaign_id = t.campaign_id AND d.state = t.state AND d.reason = t.reason
        WHERE coalesce(t.count, 0) <> coalesce(d.count, 0)""",
    "finished means nothing is due": """
        SELECT c.id, min(d.id) FROM campaigns_campaign c
        JOIN campaigns_delivery d ON d.brand_id = c.brand_id AND d.campaign_id = c.id AND d.due_at IS NOT NULL
        WHERE c.brand_id = %(brand)s AND c.state = 'FINISHED' GROUP BY c.id""",
}


@dataclass(frozen=True)
class Breach:
    """One invariant that does not hold: which, in which campaign, and what."""

    name: str
    campaign_id: int
    what: Any


def breaches() -> list[Breach]:
    """Every breach in the brand in scope; an empty list is the only good answer."""
    found = []
    with connection.cursor() as cursor:
        for name, statement in INVARIANTS.items():
            cursor.execute(statement, {"brand": current_brand_id()})
            found += [Breach(name, campaign_id, what) for campaign_id, what in cursor.fetchall()]
    return found
