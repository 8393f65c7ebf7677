"""Brands are kept apart twice: by the guard in Python and by row security in PostgreSQL."""

import pytest
from django.db import DatabaseError, IntegrityError, ProgrammingError, connection, transaction

from accounts.errors import BrandMismatch, NoBrandInScope, ReadOnlyScope
from accounts.models import AuditEntry, RoleGrant
from accounts.tenancy import BrandRead, brand_scope, current_brand_id, every_brand, read_brands, reporting
from members.models import Member, Tag
from members.services import tag_members
from tests.factories import AT, make_account, make_brand, make_follower, make_tag

TOUCHES = [
    lambda: Tag.objects.count(),
    lambda: Tag.objects.exists(),
    lambda: Tag.objects.exclude(pk=1).exists(),
    lambda: Tag.objects.create(name="x", created_at=AT),
    lambda: Tag.objects.bulk_create([Tag(name="x", created_at=AT)]),
    lambda: Tag(name="x", created_at=AT).save(),
    lambda: Tag._base_manager.count(),
    lambda: Tag.objects.all().update(name="x"),
    lambda: Tag.objects.using("default").count(),
]


@pytest.mark.parametrize("touch", TOUCHES)
def test_brand_rows_without_a_scope_raise(db, touch):
    with pytest.raises(NoBrandInScope):
        touch()


def test_scope_shows_only_its_brand(brand, other_brand):
    with brand_scope(other_brand.pk):
        make_tag("别家")
    with brand_scope(brand.pk):
        make_tag("自家")

        assert list(Tag.objects.values_list("name", flat=True)) == ["自家"]


def test_row_security_holds_without_the_guard(brand, other_brand):
    with brand_scope(other_brand.pk):
        make_tag("别家")
    with brand_scope(brand.pk), connection.cursor() as cursor:
        make_tag("自家")
        cursor.execute("SELECT name FROM members_tag")

        assert cursor.fetchall() == [("自家",)]


def test_row_security_shows_nothing_outside_a_scope(brand):
    with brand_scope(brand.pk):
        make_tag()
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM members_tag")

        assert cursor.fetchone() == (0,)


def test_row_security_refuses_a_row_for_another_brand(brand, other_brand):
    with brand_scope(brand.pk), pytest.raises(ProgrammingError, match="row-level security"), transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(
                'INSERT INTO members_tag (brand_id, name, "group", meaning, sync, created_at) '
                "VALUES (%s, 'x', '', '', false, now())",
                [other_brand.pk],
            )


def test_another_brands_row_is_refused_in_python(brand, other_brand):
    with brand_scope(brand.pk):
        with pytest.raises(BrandMismatch):
            Tag.objects.create(brand=other_brand, name="x", created_at=AT)
        with pytest.raises(BrandMismatch):
            Tag.objects.bulk_create([Tag(brand_id=other_brand.pk, name="x", created_at=AT)])
        with pytest.raises(BrandMismatch):
            Tag.objects.update(brand_id=other_brand.pk)


def test_a_reference_into_another_brand_is_refused_by_the_database(brand, other_brand):
    with brand_scope(other_brand.pk):
        foreign = make_tag("别家")
    with brand_scope(brand.pk):
        follower = make_follower(make_account())
        with pytest.raises(IntegrityError), transaction.atomic():
            tag_members(member_ids=[follower.member_id], tag_ids=[foreign.pk], source="test", at=AT)
            with connection.cursor() as cursor:
                cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")


def test_nesting_another_brand_raises(brand, other_brand):
    with brand_scope(brand.pk):
        with brand_scope(brand.pk):
            assert current_brand_id() == brand.pk
        with pytest.raises(BrandMismatch), brand_scope(other_brand.pk):
            pass
        with pytest.raises(BrandMismatch), every_brand(reason="test"):
            pass


def test_a_rolled_back_scope_leaves_none_behind(brand):
    with pytest.raises(ZeroDivisionError), brand_scope(brand.pk):
        make_tag()
        raise ZeroDivisionError
    with connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(current_setting('app.brand_id', true), '')")

        assert cursor.fetchone() == ("",)


@pytest.mark.django_db(transaction=True)
def test_a_committed_scope_leaves_nothing_on_the_connection():
    brand = make_brand()
    with brand_scope(brand.pk):
        assert Tag.objects.count() == 0

    with connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(current_setting('app.brand_id', true), '')")
        assert cursor.fetchone() == ("",)


def test_every_brand_reads_all_and_writes_nothing(brand, other_brand):
    for each in (brand, other_brand):
        with brand_scope(each.pk):
            make_tag()
    with every_brand(reason="test"):
        assert Tag.objects.count() == 2
        with pytest.raises(ReadOnlyScope):
            Tag.objects.update(name="x")
        with pytest.raises(ProgrammingError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("DELETE FROM members_tag")


def test_reporting_reads_one_brand_as_the_reports_role(brand, other_brand):
    for each in (brand, other_brand):
        with brand_scope(each.pk):
            make_tag()
    with reporting(brand.pk):
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_user")
            assert cursor.fetchone() == ("zhiyin_reports",)
        assert Tag.objects.count() == 1
        with pytest.raises(ReadOnlyScope):
            Member.objects.update(name="x")


def test_the_audit_log_cannot_be_changed_or_deleted(in_brand):
    make_tag()
    assert AuditEntry.objects.count() == 1
    for statement in ("UPDATE accounts_auditentry SET action = 'x'", "DELETE FROM accounts_auditentry"):
        with pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute(statement)


def test_the_run_time_role_is_bound_by_row_security(db):
    with connection.cursor() as cursor:
        cursor.execute("SELECT rolsuper, rolbypassrls, rolinherit FROM pg_roles WHERE rolname = current_user")

        assert cursor.fetchone() == (False, False, False)


def test_role_grants_of_two_brands_do_not_meet(brand, other_brand, django_user_model):
    user = django_user_model.objects.create(username="agency")
    for each, role in ((brand, "OWNER"), (other_brand, "ANALYST")):
        with brand_scope(each.pk):
            RoleGrant.objects.create(staff_user=user, role=role)
    with brand_scope(brand.pk):
        assert list(RoleGrant.objects.values_list("role", flat=True)) == ["OWNER"]


def every_tag():
    """All there are, as far as the database shows them."""
    return "SELECT name, pg_typeof(brand_id)::text AS kind FROM members_tag ORDER BY name", ()


@pytest.fixture
def tagged(brand, other_brand):
    for each, names in ((brand, ("自家", "常客")), (other_brand, ("别家",))):
        with brand_scope(each.pk):
            for name in names:
                make_tag(name)


def test_reads_of_several_brands_see_their_own_rows_each(brand, other_brand, tagged):
    def of_brand():
        return Tag.objects.filter(name__contains="%").order_by("pk").values("name").query.sql_with_params()

    reads = [BrandRead(other_brand.pk, every_tag), BrandRead(brand.pk, of_brand), BrandRead(brand.pk, every_tag)]

    found = read_brands(reads, seconds=1)

    assert [[row["name"] for row in rows] for rows in found] == [["别家"], [], ["常客", "自家"]]
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM members_tag")
        assert cursor.fetchone() == (0,)


def test_reads_of_several_brands_ask_the_manager_for_their_own_brand(brand, other_brand, tagged):
    def names():
        return Tag.objects.order_by("name").values("name").query.sql_with_params()

    found = read_brands([BrandRead(brand.pk, names), BrandRead(other_brand.pk, names)], seconds=1)

    assert found == [[{"name": "常客"}, {"name": "自家"}], [{"name": "别家"}]]
    with pytest.raises(NoBrandInScope):
        current_brand_id()


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO members_tag (name) VALUES ('x') RETURNING name",
        "SELECT pg_sleep(3)",
        "SELECT name FROM members_tag; SELECT 1",
        "WITH gone AS (DELETE FROM members_tag RETURNING name) SELECT name FROM gone",
    ],
)
def test_reads_of_several_brands_only_read_and_not_for_long(brand, tagged, statement):
    with pytest.raises(DatabaseError), transaction.atomic():
        read_brands([BrandRead(brand.pk, every_tag), BrandRead(brand.pk, lambda: (statement, ()))], seconds=0.2)
    with brand_scope(brand.pk):
        assert Tag.objects.count() == 2


def test_reads_of_several_brands_are_refused_inside_a_scope(brand, in_brand):
    with pytest.raises(BrandMismatch):
        read_brands([BrandRead(brand.pk, every_tag)], seconds=1)
