import psycopg2.errors
import pytest

from launcher import roles
from launcher.errors import LauncherError
from launcher.launched import Launched
from launcher.state import State

PASSWORDS = {roles.OWNER: "o'wner", roles.APP: "a p:p/@", roles.INTAKE: "intake"}


@pytest.fixture
def superuser(tmp_path, monkeypatch):
    """The URL of the superuser of a server of our own."""
    monkeypatch.delenv("DATABASE_URL")
    monkeypatch.delenv("REDIS_URL")
    with Launched("--only", "servers", "--state-dir", str(tmp_path)) as launched:
        yield roles.replace_in_url(
            launched.env["DATABASE_URL"],
            user="postgres",
            password=State(tmp_path).secrets()["postgres_password"],
            database="postgres",
        )


def scalar(url, sql):
    with roles.cursor_on(url) as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0]


def test_roles_have_no_power_beyond_their_work(test_run):
    with roles.cursor_on(test_run.owner_url) as cursor:
        cursor.execute(
            "SELECT rolname::text, rolcanlogin, rolcreatedb, rolinherit, rolsuper, rolbypassrls, rolcreaterole "
            "FROM pg_roles WHERE rolname LIKE 'zhiyin%' ORDER BY rolname"
        )
        assert cursor.fetchall() == [
            ("zhiyin_app", True, False, False, False, False, False),
            ("zhiyin_cleaner", False, False, True, False, True, False),  # on servers that live as long as a test
            ("zhiyin_intake", True, False, False, False, False, False),
            ("zhiyin_owner", True, True, True, False, False, False),
            ("zhiyin_reports", False, False, False, False, False, False),
        ]


def test_nobody_but_the_owner_of_a_test_server_has_the_cleaner_and_the_owner_only_after_set_role(test_run):
    with roles.cursor_on(test_run.owner_url) as cursor:
        cursor.execute(
            "SELECT member::regrole::text, inherit_option, set_option FROM pg_auth_members "
            "WHERE roleid = 'zhiyin_cleaner'::regrole AND member <> 'postgres'::regrole"
        )
        assert cursor.fetchall() == [("zhiyin_owner", False, True)]


def test_roles_app_has_the_rights_of_reports_only_after_set_role(test_run):
    with roles.cursor_on(test_run.app_url) as cursor:
        cursor.execute("SELECT pg_has_role('zhiyin_reports', 'USAGE'), pg_has_role('zhiyin_reports', 'SET')")
        assert cursor.fetchone() == (False, True)
        cursor.execute("SET ROLE zhiyin_reports")
        cursor.execute("SELECT current_user::text")
        assert cursor.fetchone() == ("zhiyin_reports",)


def test_roles_database_has_the_trusted_extensions(test_run):
    with roles.cursor_on(test_run.owner_url) as cursor:
        cursor.execute("SELECT extname::text FROM pg_extension WHERE extname <> 'plpgsql' ORDER BY 1")
        assert cursor.fetchall() == [("btree_gin",), ("pg_trgm",)]


@pytest.mark.parametrize("url", ["app_url", "intake_url"])
def test_roles_of_the_product_cannot_make_tables(test_run, url):
    with roles.cursor_on(getattr(test_run, url)) as cursor, pytest.raises(psycopg2.errors.InsufficientPrivilege):
        cursor.execute("CREATE TABLE public.mine (n int)")


@pytest.mark.stack
def test_roles_gone_astray_are_mended(superuser):
    assert scalar(superuser, "SELECT count(*) FROM pg_roles WHERE rolname = 'zhiyin_cleaner'") == 0  # this one lasts
    roles.statements(
        superuser,
        "ALTER ROLE zhiyin_app INHERIT BYPASSRLS CREATEDB",
        "ALTER ROLE zhiyin_reports LOGIN",
        "GRANT ALL ON DATABASE zhiyin TO PUBLIC",
    )
    mended = roles.ensure(superuser, PASSWORDS)
    powers = "SELECT bool_or(rolinherit OR rolbypassrls OR rolcreatedb) FROM pg_roles WHERE rolname = 'zhiyin_app'"
    assert scalar(mended.app, powers) is False
    assert scalar(mended.app, "SELECT rolcanlogin FROM pg_roles WHERE rolname = 'zhiyin_reports'") is False
    assert scalar(mended.app, "SELECT has_database_privilege(current_user, 'zhiyin', 'CREATE')") is False


@pytest.mark.stack
def test_roles_are_made_by_an_administrator_who_is_no_superuser(superuser):
    """As in a cloud: he may make roles and databases, and whatever he made is his."""
    roles.statements(
        superuser,
        "DROP DATABASE zhiyin",
        *(f"DROP ROLE {name}" for name in (roles.APP, roles.INTAKE, roles.OWNER, roles.REPORTS)),
        "CREATE ROLE cloud LOGIN CREATEROLE CREATEDB PASSWORD 'cloud'",
    )
    cloud = roles.replace_in_url(superuser, user="cloud", password="cloud")
    made = roles.ensure(cloud, PASSWORDS, "shop-1")
    assert roles.ensure(cloud, PASSWORDS, "shop-1") == made
    assert scalar(made.intake, "SELECT current_database()::text") == "shop-1"
    assert (roles.is_administrator(cloud), roles.is_administrator(made.owner)) == (True, False)


@pytest.mark.stack
def test_launcher_uses_a_named_server_of_an_administrator(superuser, tmp_path, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", roles.replace_in_url(superuser, database="elsewhere"))
    with Launched("--only", "servers", "--state-dir", str(tmp_path / "second")) as launched:
        assert set(launched.pids) == {"valkey"}
        assert scalar(launched.env["DATABASE_URL"], "SELECT current_user || '@' || current_database()") == (
            "zhiyin_app@elsewhere"
        )


def test_urls_keep_everything_but_what_is_replaced():
    url = "postgres://a%40b:p%2Fw@db.example:6432/one?sslmode=require"
    assert roles.replace_in_url(url, database="two") == "postgres://a%40b:p%2Fw@db.example:6432/two?sslmode=require"
    assert roles.replace_in_url(url, user="c", password="d:") == "postgres://c:d%3A@db.example:6432/one?sslmode=require"
    assert roles.without_password(url) == "postgres://a%40b@db.example:6432/one?sslmode=require"


def test_passwords_are_read_from_the_three_urls_and_other_roles_refused():
    urls = roles.urls("postgresql://x@db/zhiyin", PASSWORDS)
    assert roles.passwords_in(urls.environment().values()) == PASSWORDS
    with pytest.raises(LauncherError, match="the URLs are for the roles admin"):
        roles.passwords_in(["postgresql://admin:x@db/zhiyin"])
