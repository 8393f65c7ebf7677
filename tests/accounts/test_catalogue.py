"""The database itself keeps brands apart: read from its catalogue, so that a new table without a decision fails."""

import pytest
from django.apps import apps
from django.db import connection

from accounts.tenancy import BrandForeignKey, BrandOwned
from members.watched import watched

GLOBAL = {
    "accounts_brand", "accounts_brandkey", "accounts_staffuser", "accounts_staffuser_groups", "accounts_staffuser_user_permissions",
    "auth_group", "auth_group_permissions", "auth_permission", "axes_accessattempt", "axes_accessattemptexpiration",
    "axes_accessfailurelog", "axes_accesslog", "django_admin_log", "django_content_type", "django_migrations",
    "django_session", "otp_totp_totpdevice", "wechat_gateway_quotalimit",
    "wechat_gateway_platform", "wechat_gateway_platformpush",
}  # fmt: skip


def rows(sql, *args):
    with connection.cursor() as cursor:
        cursor.execute(sql, args)
        return cursor.fetchall()


@pytest.fixture
def brand_tables(db):
    return {model._meta.db_table: model for model in apps.get_models() if issubclass(model, BrandOwned)}


def test_every_table_is_a_brands_or_declared_global(brand_tables):
    tables = {row[0] for row in rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}

    assert tables - set(brand_tables) - GLOBAL == set()


def test_every_brand_table_has_forced_row_security(brand_tables):
    secured = {
        row[0]
        for row in rows(
            "SELECT c.relname FROM pg_class c JOIN pg_policy p ON p.polrelid = c.oid AND p.polname = 'brand_rows' "
            "WHERE c.relrowsecurity AND c.relforcerowsecurity AND p.polcmd = '*' "
            "AND p.polqual IS NOT NULL AND p.polwithcheck IS NOT NULL",
        )
    }

    assert set(brand_tables) - secured == set()


def test_no_brand_is_taken_for_empty_by_statistics_that_are_older(brand_tables):
    judged = {
        row[0]
        for row in rows(
            "SELECT c.relname::text FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid "
            "WHERE a.attname = 'brand_id' AND a.attstattarget = 0",
        )
    }

    assert set(brand_tables) - judged == set()


def test_every_primary_and_unique_key_starts_with_the_brand(brand_tables):
    # A key that is random by construction may stand alone: it tells nothing about another brand.
    random = {"public_id", "path_token", "prefix", "appid"}
    keys = rows(
        "SELECT i.indrelid::regclass::text, array(SELECT a.attname::text FROM unnest(i.indkey::int[]) WITH ORDINALITY k(n, o) "
        "JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.n ORDER BY k.o) FROM pg_index i WHERE i.indisunique",
    )
    wrong = [
        (table, columns)
        for table, columns in keys
        if table in brand_tables and columns[0] != "brand_id" and not set(columns) <= random
    ]

    assert wrong == []


def test_every_reference_between_brand_tables_carries_the_brand(brand_tables):
    composite = {
        (row[0], tuple(row[1]))
        for row in rows(
            "SELECT c.conrelid::regclass::text, array(SELECT a.attname::text FROM unnest(c.conkey) WITH ORDINALITY k(n, o) "
            "JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.n ORDER BY k.o) "
            "FROM pg_constraint c WHERE c.contype = 'f'",
        )
    }
    missing = []
    for table, model in brand_tables.items():
        for field in model._meta.local_fields:
            if field.remote_field and issubclass(field.remote_field.model, BrandOwned):
                assert isinstance(field, BrandForeignKey), f"{model.__name__}.{field.name}"
                if not field.guarded and (table, ("brand_id", field.column)) not in composite:
                    missing.append((table, field.column))

    assert missing == []


def test_every_brand_table_refers_to_the_brand_but_those_written_by_the_hundred_thousand(brand_tables):
    direct = {
        row[0]
        for row in rows(
            "SELECT conrelid::regclass::text FROM pg_constraint WHERE contype = 'f' AND confrelid = 'accounts_brand'::regclass"
        )
    }
    by_account = rows(
        "SELECT count(*) FROM pg_constraint c WHERE contype = 'f' AND conrelid = 'wechat_gateway_inboundpush'::regclass "
        "AND confrelid = 'wechat_gateway_officialaccount'::regclass AND convalidated AND (SELECT bool_and(a.attnotnull) "
        "FROM pg_attribute a WHERE a.attrelid = c.conrelid AND a.attnum = ANY (c.conkey))",
    )

    assert set(brand_tables) - direct == {
        "wechat_gateway_inboundpush",
        "campaigns_delivery",
        "campaigns_deliveryattempt",
        "coupons_code",
        "members_segmentmember",
    }
    assert by_account == [(1,)]


def test_the_only_references_without_a_key_are_those_of_frozen_messages_and_kept_people_and_these_are_guarded(
    brand_tables,
):
    guarded = {
        (table, field.column)
        for table, model in brand_tables.items()
        for field in model._meta.local_fields
        if getattr(field, "guarded", False)
    }
    triggers = {
        (row[0], row[1])
        for row in rows(
            "SELECT tgrelid::regclass::text, tgname FROM pg_trigger WHERE tgenabled = 'O' AND NOT tgisinternal"
        )
    }

    assert guarded == {
        ("campaigns_delivery", "campaign_id"),
        ("coupons_code", "batch_id"),
        ("members_segmentmember", "segment_id"),
    }
    noting_who_is_to_be_counted_again = {
        ("loyalty_fact", "loyalty_fact_recount_moved"),
        ("loyalty_fact", "loyalty_fact_recount_new"),
        ("members_follower", "touchpoints_follower_recount"),
        ("members_member", "touchpoints_member_recount"),
        ("touchpoints_move", "touchpoints_move_recount"),
        ("touchpoints_touch", "touchpoints_touch_recount_changed"),
        ("touchpoints_touch", "touchpoints_touch_recount_gone"),
        ("touchpoints_touch", "touchpoints_touch_recount_new"),
        ("touchpoints_unfollow", "touchpoints_unfollow_recount"),
    }
    writing_down_when_people_had_last_been_heard_of = {("members_member", "members_member_act_logged")}
    entering_the_control_group = {("members_member", "members_member_control")}
    keeping_the_points_ledger = {
        ("loyalty_entry", "loyalty_entry_append_only"),
        ("loyalty_entry", "loyalty_entry_append_only_whole"),
        ("loyalty_entry", "loyalty_entry_balanced"),
        ("loyalty_fact", "loyalty_fact_append_only"),
        ("loyalty_fact", "loyalty_fact_append_only_whole"),
        ("loyalty_fact", "loyalty_fact_moves_only"),
        ("loyalty_journal", "loyalty_journal_append_only"),
        ("loyalty_journal", "loyalty_journal_append_only_whole"),
        ("loyalty_tierchange", "loyalty_tierchange_append_only"),
        ("loyalty_tierchange", "loyalty_tierchange_append_only_whole"),
    }
    noting_who_is_to_be_looked_at_for_segments = {
        (table, f"{table}_segments_{when}")
        for table, column in watched.items()
        for when in ("new", "changed", "gone")
        if column
    }
    keeping_what_happened_to_coupons = {
        (table, f"{table}_append_only{whole}")
        for table in ("coupons_move", "coupons_templateversion")
        for whole in ("", "_whole")
    }
    noting_whose_facts_gateways_read_again = {
        ("members_follower", "conversations_follower_new"),
        ("members_follower", "conversations_follower_changed"),
        ("members_follower", "conversations_follower_gone"),
        ("members_member", "conversations_member_changed"),
        ("touchpoints_touch", "conversations_touch_new"),
        ("touchpoints_touch", "conversations_touch_changed"),
        ("touchpoints_touch", "conversations_touch_gone"),
        ("members_member", "conversations_member_joined"),
        ("loyalty_standing", "conversations_standing_new"),
        ("loyalty_standing", "conversations_standing_changed"),
        ("loyalty_standing", "conversations_standing_gone"),
        ("loyalty_tier", "conversations_tier_new"),
        ("loyalty_tier", "conversations_tier_changed"),
    }
    ours = (
        noting_whose_facts_gateways_read_again
        | noting_who_is_to_be_counted_again
        | writing_down_when_people_had_last_been_heard_of
        | entering_the_control_group
        | keeping_the_points_ledger
        | keeping_what_happened_to_coupons
    )
    assert triggers - ours - noting_who_is_to_be_looked_at_for_segments == {
        ("campaigns_campaign", "campaigns_delivery_campaign_id_kept"),
        ("campaigns_delivery", "campaigns_delivery_campaign_id_fixed"),
        ("coupons_code", "coupons_code_batch_id_fixed"),
        ("coupons_codebatch", "coupons_code_batch_id_kept"),
        ("members_segment", "members_segmentmember_segment_id_kept"),
        ("members_segmentmember", "members_segmentmember_segment_id_fixed"),
    }


def test_the_run_time_role_owns_nothing_and_may_not_truncate(brand_tables):
    owned = rows(
        "SELECT relname FROM pg_class WHERE relowner = (SELECT oid FROM pg_roles WHERE rolname = current_user)"
    )
    truncatable = rows(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' "
        "AND has_table_privilege(oid, 'TRUNCATE')",
    )

    assert (owned, truncatable) == ([], [])


# information_schema shows a role only its own rights; the functions of has_*_privilege answer for any role.
RIGHTS = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")


def rights_of(role):
    """(table, right) of a role on whole tables; what it may do with single columns is not in it."""
    return set(rows(
        "SELECT c.relname::text, r FROM pg_class c CROSS JOIN unnest(%s) r "
        "WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND has_table_privilege(%s, c.oid, r)",
        list(RIGHTS), role,
    ))  # fmt: skip


def test_the_application_may_not_change_what_is_only_ever_added(brand_tables):
    added_only = {
        *(
            "accounts_auditblock",
            "accounts_auditchange",
            "accounts_auditentry",
            "members_accessentry",
            "members_listaccess",
            "campaigns_deliveryattempt",
            "members_consent",
            "members_consenttext",
            "members_mergerecord",
        ),
        *("loyalty_journal", "loyalty_entry", "loyalty_tierchange", "members_snapshotmember", "members_mergeundo"),
        *("coupons_move", "coupons_templateversion", "members_groupingversion"),
    }

    expected = {
        (table, right)
        for table in brand_tables
        for right in ("SELECT", "INSERT", *(() if table in added_only else ("UPDATE", "DELETE")))
    }

    assert {(table, right) for table, right in rights_of("zhiyin_app") if table in brand_tables} == expected


def test_the_reports_role_may_only_read_the_brands_tables(brand_tables):
    assert {right for table, right in rights_of("zhiyin_reports") if table in brand_tables} == {"SELECT"}


def test_the_intake_role_may_only_insert_pushes_and_read_what_a_repeat_takes(brand_tables):
    readable = rows(
        "SELECT c.relname::text, a.attname::text FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 "
        "WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND NOT a.attisdropped "
        "AND has_column_privilege('zhiyin_intake', c.oid, a.attnum, 'SELECT')",
    )

    assert rights_of("zhiyin_intake") == {("wechat_gateway_inboundpush", "INSERT")}
    assert set(readable) == {
        ("wechat_gateway_inboundpush", column) for column in ("brand_id", "account_id", "dedupe_key", "digest", "reply")
    }


# They replace what was written about somebody who was erased, in the brand's own rows (tests/campaigns/test_erasure.py).
REVIEWED_DEFINERS = [
    *("coupons_forget_move", "loyalty_forget_journal", "loyalty_forget_tierchange"),
    *("members_take_back_copies", "zhiyin_forget_in_audit", "zhiyin_trim_access", "zhiyin_trim_audit"),
    "zhiyin_trim_lists",
]


def test_no_view_or_definer_function_reaches_around_row_security(brand_tables):
    views = rows("SELECT viewname FROM pg_views WHERE schemaname = 'public'")
    materialised = rows("SELECT matviewname FROM pg_matviews WHERE schemaname = 'public'")
    # Whoever owns a function is bound by row security, nobody else's objects stand before ours, and few may call it.
    definers = rows(
        "SELECT proname, r.rolsuper OR r.rolbypassrls, proconfig, has_function_privilege('public', p.oid, 'execute') "
        "FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_roles r ON r.oid = p.proowner "
        "WHERE n.nspname = 'public' AND p.prosecdef ORDER BY proname",
    )

    assert (views, materialised) == ([], [])
    assert sorted(definers) == [
        (name, False, ["search_path=pg_catalog, public, pg_temp"], False) for name in sorted(REVIEWED_DEFINERS)
    ]
