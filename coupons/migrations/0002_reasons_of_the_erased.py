"""The books of coupons let go of the words of one column, for people whose data was deleted."""

from __future__ import annotations

from django.db import migrations

from accounts.operations import ApplicationFunction

# Whoever is at it, owner of the tables included: what happened stays as it was written down, but for the words of a
# reason.
_KEPT = """
CREATE OR REPLACE FUNCTION coupons_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF to_jsonb(NEW) = to_jsonb(OLD) || '{"reason": "***"}' AND to_jsonb(OLD) ? 'reason' THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE insufficient_privilege USING MESSAGE = format('%s of %s: rows are only ever added', TG_OP, TG_TABLE_NAME);
END $$
"""
_KEPT_ALL = """
CREATE OR REPLACE FUNCTION coupons_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE insufficient_privilege USING MESSAGE = format('%s of %s: rows are only ever added', TG_OP, TG_TABLE_NAME);
END $$
"""

# Runs as the owner of the tables, whom row security binds as well: only the brand in scope is touched, and of it only
# the reasons of people whose data was deleted. The product's own words stay.
_FORGET = """
CREATE OR REPLACE FUNCTION {name}(ids bigint[])
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    gone bigint;
BEGIN
    UPDATE public.{table} r SET reason = '***'
    WHERE r.brand_id = nullif(current_setting('app.brand_id', true), '')::bigint AND r.id = ANY(ids)
        AND r.reason NOT IN ('', '***', 'timeout', 'erasure')
        AND EXISTS (
            SELECT 1 FROM public.members_member m
            WHERE m.brand_id = r.brand_id AND m.id IN ({people}) AND m.erased_at IS NOT NULL
        );
    GET DIAGNOSTICS gone = ROW_COUNT;
    RETURN gone;
END
$$
"""


class Migration(migrations.Migration):
    """Let the reasons of people who were erased go."""

    dependencies = [
        ("coupons", "0001_squashed_0008_after_purchases"),
        ("members", "0030_lists_that_were_shown"),
    ]

    operations = [
        migrations.RunSQL(_KEPT, _KEPT_ALL),
        ApplicationFunction(
            "coupons_forget_move(bigint[])",
            _FORGET.format(name="coupons_forget_move", table="coupons_move", people="r.member_id, r.other_id"),
        ),
    ]
