"""The four database roles and the database itself: made or mended, never taken away.

`zhiyin_owner` owns the schema and migrates. `zhiyin_app` (web, workers) and `zhiyin_intake` (gateway) own nothing, so
row-level security binds them; `zhiyin_reports` cannot sign in and is lent to `zhiyin_app` by SET ROLE. None of them is
a superuser or may bypass row-level security. Grants on tables belong to the migrations.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

from launcher.errors import LauncherError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from psycopg2.extensions import connection as Connection  # noqa: N812 - a class with a lower-case name
    from psycopg2.extensions import cursor as Cursor  # noqa: N812

OWNER, APP, INTAKE, REPORTS = "zhiyin_owner", "zhiyin_app", "zhiyin_intake", "zhiyin_reports"
CLEANER = "zhiyin_cleaner"  # of test servers only
DATABASE = "zhiyin"
_MAINTENANCE = "postgres"
EXTENSIONS = ("pg_trgm", "btree_gin")

# Role -> wanted attributes in pg_roles. NOINHERIT: the rights of zhiyin_reports only count after SET ROLE.
_ATTRIBUTES = {
    OWNER: {"rolcanlogin": True, "rolcreatedb": True, "rolinherit": True},
    APP: {"rolcanlogin": True, "rolcreatedb": False, "rolinherit": False},
    INTAKE: {"rolcanlogin": True, "rolcreatedb": False, "rolinherit": False},
    REPORTS: {"rolcanlogin": False, "rolcreatedb": False, "rolinherit": False},
}
_NEVER = {"rolsuper": False, "rolbypassrls": False, "rolcreaterole": False, "rolreplication": False}
_WORDS = {
    "rolcanlogin": "LOGIN",
    "rolcreatedb": "CREATEDB",
    "rolinherit": "INHERIT",
    "rolsuper": "SUPERUSER",
    "rolbypassrls": "BYPASSRLS",
    "rolcreaterole": "CREATEROLE",
    "rolreplication": "REPLICATION",
}
_WITH_GRANT_OPTIONS = 160000  # PostgreSQL 16 made INHERIT a property of each grant
_WITH_SCRAM_ITERATIONS = 160000  # … and lets one say how long a login has to calculate


@dataclass(frozen=True)
class DatabaseUrls:
    """The three URLs of the product's roles, all to one database."""

    app: str
    owner: str
    intake: str

    def environment(self) -> dict[str, str]:
        """Return them under the names that the product reads."""
        return {"DATABASE_URL": self.app, "DATABASE_OWNER_URL": self.owner, "DATABASE_INTAKE_URL": self.intake}


def replace_in_url(
    url: str, *, user: str | None = None, password: str | None = None, database: str | None = None
) -> str:
    """Return `url` with another user, password or database; host, port and parameters stay."""
    parts = urlsplit(url)
    user = unquote(parts.username or "") if user is None else user
    password = unquote(parts.password or "") if password is None else password
    place = parts.netloc.rpartition("@")[2]
    login = quote(user, safe="") + (":" + quote(password, safe="") if password else "")
    path = parts.path if database is None else "/" + quote(database, safe="")
    return parts._replace(netloc=f"{login}@{place}", path=path).geturl()


def database_of(url: str) -> str:
    """Return the name of the database in `url`, or an empty string."""
    return unquote(urlsplit(url).path.lstrip("/"))


def connect(url: str) -> Connection:
    """Open an autocommitting connection; raises LauncherError when the server refuses."""
    import psycopg2

    # The URL schemes of Django's settings are more than libpq knows.
    scheme, separator, rest = url.partition("://")
    dsn = f"postgresql{separator}{rest}" if scheme in {"postgres", "postgis", "pgsql", "psql"} else url
    try:
        opened = psycopg2.connect(dsn, connect_timeout=10)
    except psycopg2.OperationalError as error:
        raise LauncherError(
            f"the PostgreSQL server at {urlsplit(url).hostname} refuses the connection: {str(error).strip()}",
            "check host, port, user and password of the URL (DATABASE_URL or --admin-url).",
        ) from error
    opened.autocommit = True
    return opened


@contextmanager
def cursor_on(url: str) -> Iterator[Cursor]:
    """Open a cursor on a connection of its own, outside transactions, and close both at the end of the block."""
    opened = connect(url)
    try:
        yield opened.cursor()
    finally:
        opened.close()


def is_administrator(url: str) -> bool:
    """Tell whether the role of `url` may make other roles; the database of an administrator need not exist yet."""
    try:
        return _may_make_roles(url)
    except LauncherError:
        try:
            return _may_make_roles(replace_in_url(url, database=_MAINTENANCE))
        except LauncherError:
            pass  # what the named database said is the better message
        raise


def _may_make_roles(url: str) -> bool:
    with cursor_on(url) as cursor:
        cursor.execute("SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user")
        row = cursor.fetchone()
    return bool(row and row[0])


def ensure(
    admin_url: str, passwords: Mapping[str, str], database: str = DATABASE, *, quick_logins: bool = False
) -> DatabaseUrls:
    """Make or mend roles and database through an administrator's URL, and return the URLs of the product's roles.

    `passwords`: one for each of zhiyin_owner, zhiyin_app and zhiyin_intake. Safe to repeat on a database in use.
    `quick_logins`: for servers that live as long as a test: nobody has to be kept from guessing the passwords.
    """
    with cursor_on(replace_in_url(admin_url, database=_maintenance_database(admin_url, database))) as cursor:
        if quick_logins and cursor.connection.server_version >= _WITH_SCRAM_ITERATIONS:
            cursor.execute("SET scram_iterations = 1")
        for role, attributes in _ATTRIBUTES.items():
            _ensure_role(cursor, role, {**attributes, **_NEVER}, passwords.get(role))
        options = " WITH INHERIT FALSE, SET TRUE" if cursor.connection.server_version >= _WITH_GRANT_OPTIONS else ""
        cursor.execute(f"GRANT {REPORTS} TO {APP}{options}")
        # An administrator who is no superuser may only give a database to a role he belongs to.
        cursor.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
        if cursor.fetchone() != (True,):
            cursor.execute(f"GRANT {OWNER} TO CURRENT_USER")
        cursor.execute("SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = %s", [database])
        row = cursor.fetchone()
        if row is None:
            cursor.execute(f"CREATE DATABASE {quoted(database)} OWNER {OWNER} ENCODING 'UTF8' TEMPLATE template0")
        elif row[0] != OWNER:
            cursor.execute(f"ALTER DATABASE {quoted(database)} OWNER TO {OWNER}")
    with cursor_on(replace_in_url(admin_url, database=database)) as cursor:
        cursor.execute(f"ALTER SCHEMA public OWNER TO {OWNER}")
        prepare_database(cursor, database)
    return urls(admin_url, passwords, database)


def let_owner_clear_up(admin_url: str, *, lend_cleaner: bool) -> None:
    """Let zhiyin_owner drop test databases in which a session of another role is open.

    `lend_cleaner`: and take `CLEANER`, who sees every brand's rows, to empty tables: on servers that live as long as a
    test alone.
    """
    with cursor_on(replace_in_url(admin_url, database=_MAINTENANCE)) as cursor:
        cursor.execute(f"GRANT pg_signal_backend TO {OWNER}")
        if lend_cleaner and cursor.connection.server_version >= _WITH_GRANT_OPTIONS:
            cursor.execute(f"CREATE ROLE {CLEANER} NOLOGIN BYPASSRLS")
            cursor.execute(f"GRANT pg_write_all_data TO {CLEANER}")
            cursor.execute(f"GRANT {CLEANER} TO {OWNER} WITH INHERIT FALSE, SET TRUE")
            cursor.execute(f"GRANT SET ON PARAMETER session_replication_role TO {OWNER}")


def urls(any_url: str, passwords: Mapping[str, str], database: str = DATABASE) -> DatabaseUrls:
    """Return the three URLs on the server of `any_url`."""
    app, owner, intake = (
        replace_in_url(any_url, user=role, password=passwords[role], database=database) for role in (APP, OWNER, INTAKE)
    )
    return DatabaseUrls(app=app, owner=owner, intake=intake)


def prepare_database(cursor: Cursor, database: str) -> None:
    """Take every right on `database` from PUBLIC, let our roles in and add the trusted extensions.

    `cursor` is connected to that database as its owner or an administrator. A database copied from a template
    starts with everybody's rights again, so copies need this too.
    """
    everyone = f"{APP}, {INTAKE}, {REPORTS}"
    cursor.execute(f"REVOKE ALL ON DATABASE {quoted(database)} FROM PUBLIC")
    cursor.execute(f"GRANT CONNECT ON DATABASE {quoted(database)} TO {everyone}")
    cursor.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
    cursor.execute(f"GRANT USAGE ON SCHEMA public TO {everyone}")
    for extension in EXTENSIONS:
        cursor.execute(f"CREATE EXTENSION IF NOT EXISTS {extension} SCHEMA public")


def _ensure_role(cursor: Cursor, role: str, wanted: Mapping[str, bool], password: str | None) -> None:
    columns = ", ".join(wanted)
    cursor.execute(f"SELECT {columns} FROM pg_roles WHERE rolname = %s", [role])  # noqa: S608 - fixed column names
    row = cursor.fetchone()
    if row is None:
        cursor.execute(f"CREATE ROLE {role} {_clause(wanted)}")
    else:
        # Only what differs: merely naming SUPERUSER needs a superuser, and a cloud's administrator is none.
        wrong = {name: value for (name, value), now in zip(wanted.items(), row, strict=True) if value != now}
        if wrong:
            cursor.execute(f"ALTER ROLE {role} {_clause(wrong)}")
    if password is not None:
        cursor.execute(f"ALTER ROLE {role} PASSWORD %s", [password])


def _clause(attributes: Mapping[str, bool]) -> str:
    return " ".join(_WORDS[name] if value else f"NO{_WORDS[name]}" for name, value in attributes.items())


def _maintenance_database(admin_url: str, database: str) -> str:
    named = database_of(admin_url)
    return named if named and named != database else _MAINTENANCE


def quoted(name: str) -> str:
    """Return `name` as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def passwords_in(urls_of_roles: Iterable[str]) -> dict[str, str]:
    """Read the passwords out of the three URLs; raises LauncherError when a URL is for another role."""
    found = {unquote(parts.username or ""): unquote(parts.password or "") for parts in map(urlsplit, urls_of_roles)}
    if set(found) != {OWNER, APP, INTAKE} or not all(found.values()):
        raise LauncherError(
            f"the URLs are for the roles {', '.join(sorted(found))} or lack a password.",
            f"DATABASE_URL is for {APP}, DATABASE_OWNER_URL for {OWNER}, DATABASE_INTAKE_URL for {INTAKE}.",
        )
    return found


def without_password(url: str) -> str:
    """Return `url` fit for a log."""
    parts = urlsplit(url)
    return parts._replace(netloc=f"{parts.username}@{parts.hostname}:{parts.port}").geturl()


def statements(url: str, *sql: str) -> None:
    """Run statements one by one outside a transaction (CREATE and DROP DATABASE want that)."""
    with cursor_on(url) as cursor:
        for each in sql:
            cursor.execute(each)
