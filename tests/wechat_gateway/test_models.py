"""The gateway's tables: what keeps brands apart and what starts with data."""

import pytest
from django.db import connection

from wechat_gateway.models import QuotaLimit

pytestmark = pytest.mark.django_db


def test_quota_limits_come_with_the_installation():
    assert QuotaLimit.objects.get(api="/cgi-bin/message/template/send", window="DAY").limit == 100_000


def test_intake_role_may_insert_pushes_and_read_only_what_a_repeat_needs():
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT attname::text FROM pg_attribute WHERE attrelid = 'wechat_gateway_inboundpush'::regclass "
            "AND attnum > 0 AND has_column_privilege('zhiyin_intake', attrelid, attnum, 'SELECT') ORDER BY 1",
        )
        readable = [row[0] for row in cursor.fetchall()]
        cursor.execute(
            "SELECT relname::text, right_name FROM pg_class, "
            "unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']) AS right_name "
            "WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace "
            "AND has_table_privilege('zhiyin_intake', oid, right_name) ORDER BY 1, 2",
        )
        rights = cursor.fetchall()
    assert readable == ["account_id", "brand_id", "dedupe_key", "digest", "reply"]
    assert rights == [("wechat_gateway_inboundpush", "INSERT")]
