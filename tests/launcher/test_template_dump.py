"""What tests run on when the migrations were not run: the same tables, rules, rights and rows."""

from pathlib import Path

import pytest

from launcher import roles, template_dump

CATALOGUE = {
    "tables": "SELECT relname, relkind, relrowsecurity, relforcerowsecurity, relacl::text, pg_get_userbyid(relowner) "
    "FROM pg_class WHERE relnamespace = 'public'::regnamespace",
    "columns": "SELECT attrelid::regclass::text, attname, atttypid::regtype::text, attnotnull, attidentity, attacl::text "
    "FROM pg_attribute JOIN pg_class ON oid = attrelid WHERE relnamespace = 'public'::regnamespace AND attnum > 0 AND NOT attisdropped",
    "constraints": "SELECT conrelid::regclass::text, conname, contype, condeferrable, convalidated FROM pg_constraint "
    "WHERE connamespace = 'public'::regnamespace",
    "policies": "SELECT polrelid::regclass::text, polname, polcmd, pg_get_expr(polqual, polrelid) FROM pg_policy",
    "triggers": "SELECT tgrelid::regclass::text, tgname, tgtype, tgenabled, tgfoid::regproc::text FROM pg_trigger "
    "WHERE NOT tgisinternal",
    "functions": "SELECT proname, md5(prosrc), prosecdef, proacl::text FROM pg_proc "
    "WHERE pronamespace = 'public'::regnamespace",
    "defaults": "SELECT defaclobjtype, defaclacl::text FROM pg_default_acl",
    "migrations": "SELECT app, name FROM django_migrations",
}


def catalogue(url):
    with roles.cursor_on(url) as cursor:
        found = {}
        for name, query in CATALOGUE.items():
            cursor.execute(query)
            found[name] = sorted(map(str, cursor.fetchall()))
        return found


@pytest.fixture
def other(test_run):
    name = test_run.database("restored")
    with roles.cursor_on(test_run.owner_url) as cursor:
        cursor.execute(f"DROP DATABASE IF EXISTS {roles.quoted(name)} WITH (FORCE)")
        cursor.execute(f"CREATE DATABASE {roles.quoted(name)} ENCODING 'UTF8' TEMPLATE template0")
    url = test_run.urls(name).owner
    with roles.cursor_on(url) as cursor:
        roles.prepare_database(cursor, name)
    yield url
    roles.statements(test_run.owner_url, f"DROP DATABASE IF EXISTS {roles.quoted(name)} WITH (FORCE)")


def test_a_restored_database_is_the_migrated_one(database_template, test_run, other, tmp_path):
    if not test_run.own_postgres:
        pytest.skip("dumps need the programs of our own server")
    template = test_run.urls(database_template).owner
    template_dump.save(template, tmp_path / "one.dump")
    template_dump.restore(other, tmp_path / "one.dump")
    expected = catalogue(template)
    assert all(expected.values())
    assert catalogue(other) == expected


def test_another_migration_or_field_is_another_dump(tmp_path, monkeypatch):
    for path, text in {
        "shop/migrations/0001_initial.py": "from shop.fields import Money\n",
        "shop/fields.py": "import decimal\n",
        "shop/views.py": "",
        "launcher/roles.py": "",
        "accounts/management/commands/migrate.py": "",
        "requirements.txt": "",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    monkeypatch.setattr(template_dump, "ROOT", tmp_path)
    names = [template_dump.place()]
    for path in ("shop/views.py", "shop/fields.py", "shop/migrations/0002_more.py", "requirements.txt"):
        (tmp_path / path).write_text("# changed\n")
        names.append(template_dump.place())
    assert names[1] == names[0]
    assert len(set(names)) == 4


def test_only_the_newest_dumps_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(
        template_dump, "_run", lambda _program, *arguments: Path(arguments[3][len("--file=") :]).touch()
    )
    for number in range(5):
        template_dump.save("postgresql://localhost/any", tmp_path / f"{number}.dump")
    assert len(list(tmp_path.glob("*.dump"))) == 3
    assert (tmp_path / "4.dump").exists()
