from django.db import migrations

# Pictures keep their numbers: lines of conversations name them. Row security hides every brand but the one in scope,
# from the tables' owner too, so each brand's rows move in its own scope.
_MOVE = """
INSERT INTO library_mediaitem
  (id, brand_id, kind, name, description, content_type, size, sha256, path, sent, created_at)
SELECT m.id, m.brand_id, 'IMAGE', m.name, '', m.content_type, m.size, m.sha256, m.path,
       (SELECT count(*) FROM inbox_message l
        WHERE l.brand_id = m.brand_id AND l.direction = 'OUT' AND l.kind = 'image' AND l.facts ->> 'item' = m.id::text),
       m.created_at
FROM inbox_mediaitem m WHERE m.brand_id = %(brand)s
"""
_MOVE_COPIES = """
INSERT INTO library_mediacopy (brand_id, item_id, account_id, permanent, state, media_id, expires_at, attempts, cause)
SELECT c.brand_id, c.item_id, c.account_id, false, 'THERE', c.media_id, c.expires_at, 0, ''
FROM inbox_mediacopy c WHERE c.brand_id = %(brand)s
"""


def move(apps, schema_editor):  # noqa: ANN001, ANN201 - Django's signature
    last = 0
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("SELECT id FROM accounts_brand ORDER BY id")
        for (brand,) in cursor.fetchall():
            cursor.execute("SELECT set_config('app.brand_id', %s, true)", [str(brand)])
            cursor.execute(_MOVE, {"brand": brand})
            cursor.execute(_MOVE_COPIES, {"brand": brand})
            cursor.execute("SELECT coalesce(max(id), 0) FROM library_mediaitem WHERE brand_id = %s", [brand])
            last = max(last, cursor.fetchone()[0])
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SELECT set_config('app.brand_id', '', true)")
        if last:
            cursor.execute("SELECT setval(pg_get_serial_sequence('library_mediaitem', 'id'), %s)", [last])


class Migration(migrations.Migration):
    dependencies = [("inbox", "0002_newest_messages"), ("library", "0001_initial")]

    operations = [
        migrations.RunPython(move, migrations.RunPython.noop),
        migrations.DeleteModel(name="MediaCopy"),
        migrations.DeleteModel(name="MediaItem"),
    ]
