"""How long conversations are kept: old lines leave in small pieces, with their files, and then what they hung on."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from django.db import connection
from django.utils.translation import gettext as _

from accounts.services import record_audit
from accounts.tenancy import brand_scope
from common.errors import Invalid
from common.failpoints import point
from inbox.models import InboxPolicy
from inbox.selectors import inbox_policy
from library import files

SHORTEST: Final = 30
LONGEST: Final = 1_095
PIECE: Final = 1_000
_MOST_PIECES: Final = 200

# The oldest lines stand at the end of their index. A delete locks only the rows that go, and nobody needs those.
_LINES: Final = """
WITH old AS (
    SELECT m.id, m.attachment_id FROM inbox_message m
    WHERE m.brand_id = %(brand)s AND m.at < %(old)s ORDER BY m.brand_id DESC, m.at, m.id LIMIT %(piece)s
), answers AS (
    DELETE FROM inbox_answer a WHERE a.brand_id = %(brand)s AND a.message_id IN (SELECT id FROM old)
), kept AS (
    DELETE FROM inbox_attachment f WHERE f.brand_id = %(brand)s AND f.id IN (SELECT attachment_id FROM old)
    RETURNING f.path
), gone AS (
    DELETE FROM inbox_message m WHERE m.brand_id = %(brand)s AND m.id IN (SELECT id FROM old) RETURNING 1
)
SELECT (SELECT count(*) FROM gone), (SELECT array_agg(path) FROM kept WHERE path <> '')
"""
# Whoever writes at this moment holds the row, which is then passed over; what was answered or closed may go.
_CONVERSATIONS: Final = """
WITH empty AS (
    SELECT c.id FROM inbox_conversation c
    WHERE c.brand_id = %(brand)s AND c.last_at < %(old)s AND c.state IN ('RESOLVED', 'OPEN')
      AND NOT EXISTS (SELECT 1 FROM inbox_message m WHERE m.brand_id = c.brand_id AND m.conversation_id = c.id)
    ORDER BY c.brand_id DESC, c.last_at, c.id LIMIT %(piece)s FOR UPDATE OF c SKIP LOCKED
), hops AS (
    DELETE FROM inbox_hop h WHERE h.brand_id = %(brand)s AND h.conversation_id IN (SELECT id FROM empty)
), tasks AS (
    DELETE FROM inbox_agenttask t WHERE t.brand_id = %(brand)s AND t.conversation_id IN (SELECT id FROM empty)
), answers AS (
    DELETE FROM inbox_answer a WHERE a.brand_id = %(brand)s AND a.conversation_id IN (SELECT id FROM empty)
), gone AS (
    DELETE FROM inbox_conversation c WHERE c.brand_id = %(brand)s AND c.id IN (SELECT id FROM empty) RETURNING 1
)
SELECT count(*) FROM gone
"""
# What still waits stays in the lists, without the words that were said.
_SNIPPETS: Final = """
WITH shown AS (
    SELECT c.id FROM inbox_conversation c
    WHERE c.brand_id = %(brand)s AND c.last_at < %(old)s AND c.last_text <> ''
    ORDER BY c.brand_id DESC, c.last_at, c.id LIMIT %(piece)s FOR UPDATE OF c SKIP LOCKED
)
UPDATE inbox_conversation c SET last_text = '', version = c.version + 1
WHERE c.brand_id = %(brand)s AND c.id IN (SELECT id FROM shown)
"""


def set_inbox_policy(*, keep_days: int, at: datetime) -> InboxPolicy:
    """Choose for how many days conversations are kept. Raises Invalid."""
    if not SHORTEST <= keep_days <= LONGEST:
        raise Invalid(
            _("Conversations are kept for %(least)s to %(most)s days.") % {"least": SHORTEST, "most": LONGEST},
            hint="",
            field="keep_days",
        )
    policy = inbox_policy()
    before, policy.keep_days, policy.updated_at = policy.keep_days, keep_days, at
    policy.save()
    record_audit(action="change retention", obj=policy, changes={"keep_days": [before, keep_days]})
    return policy


def forget_old(*, brand_id: int, at: datetime) -> int:
    """Delete a brand's lines that are older than it keeps them, and what hung on them; gives how many lines went.

    Every piece is a transaction of its own; what is left waits for the next round. Files go when their rows have gone:
    one that a crash leaves over has a name nobody knows.
    """
    with brand_scope(brand_id):
        old = at - timedelta(days=inbox_policy().keep_days)
    values = {"brand": brand_id, "old": old, "piece": PIECE}
    deleted = 0
    for _piece in range(_MOST_PIECES):
        gone, paths = _run(_LINES, values)
        point("inbox: lines gone, files not")
        for path in paths or ():
            files.drop(path)
        deleted += gone
        if gone < PIECE:
            break
    for _piece in range(_MOST_PIECES):
        if _run(_CONVERSATIONS, values)[0] < PIECE:
            break
    for _piece in range(_MOST_PIECES):
        if _count(_SNIPPETS, values) < PIECE:
            break
    return deleted


def _run(statement: str, values: dict[str, Any]) -> tuple[Any, ...]:
    with brand_scope(values["brand"]), connection.cursor() as cursor:
        cursor.execute(statement, values)
        row: tuple[Any, ...] = cursor.fetchone() or (0, None)
    return row


def _count(statement: str, values: dict[str, Any]) -> int:
    with brand_scope(values["brand"]), connection.cursor() as cursor:
        cursor.execute(statement, values)
        changed: int = cursor.rowcount
    return changed
