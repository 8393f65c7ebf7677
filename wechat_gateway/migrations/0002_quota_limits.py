"""WeChat's default limits for a new verified account (reference: service account 6.1); data, so that they can change."""

from datetime import date

from django.db import migrations

SOURCE = "WeChat: interface call frequency limits"
DAY = {
    "/cgi-bin/token": 2_000,
    "/cgi-bin/stable_token": 500_000,
    "/cgi-bin/user/info": 5_000_000,
    "/cgi-bin/user/info/batchget": 5_000_000,
    "/cgi-bin/user/get": 500,
    "/cgi-bin/user/info/updateremark": 10_000,
    "/cgi-bin/tags/get": 1_000,
    "/cgi-bin/menu/create": 1_000,
    "/cgi-bin/menu/get": 10_000,
    "/cgi-bin/menu/delete": 1_000,
    "/cgi-bin/menu/addconditional": 2_000,
    "/cgi-bin/menu/trymatch": 20_000,
    "/cgi-bin/qrcode/create": 100_000,
    "/cgi-bin/media/upload": 100_000,
    "/cgi-bin/media/get": 200_000,
    "/cgi-bin/message/custom/send": 500_000,
    "/cgi-bin/message/template/send": 100_000,
    "/cgi-bin/message/mass/sendall": 100,
    "/cgi-bin/message/mass/send": 100,
    "/cgi-bin/message/mass/preview": 100,
    "/cgi-bin/message/mass/delete": 10,
    "/cgi-bin/draft/add": 1_000,
    "/cgi-bin/draft/batchget": 1_000,
    "/cgi-bin/draft/get": 500,
    "/cgi-bin/freepublish/batchget": 100,
}
MINUTE = {"/cgi-bin/stable_token": 10_000, "/cgi-bin/message/mass/sendall": 60, "/cgi-bin/message/mass/send": 60}


def add(apps, schema_editor):  # noqa: ANN001, ANN201 - Django's signature
    QuotaLimit = apps.get_model("wechat_gateway", "QuotaLimit")
    QuotaLimit.objects.using(schema_editor.connection.alias).bulk_create(
        QuotaLimit(api=api, window=window, limit=limit, valid_from=date(2023, 1, 1), source=SOURCE)
        for window, limits in (("DAY", DAY), ("MINUTE", MINUTE))
        for api, limit in limits.items()
    )


class Migration(migrations.Migration):
    dependencies = [("wechat_gateway", "0001_initial")]
    operations = [migrations.RunPython(add, migrations.RunPython.noop)]
