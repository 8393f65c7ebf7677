"""The same work done the usual way: Django's middleware, an ORM tenant, SET NX against repeats, an ORM row, Celery.

`python -m benchmarks.peers.callback_usual` makes its tables; `application` is the WSGI app.
"""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import django
from django.conf import settings

_database = urlsplit(os.environ["DATABASE_OWNER_URL"])
_redis = os.environ["REDIS_URL"].rsplit("/", 1)[0]
settings.configure(
    SECRET_KEY="x" * 50,
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF=__name__,
    USE_TZ=True,
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"],
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
        "django.middleware.clickjacking.XFrameOptionsMiddleware",
    ],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": _database.path.strip("/"),
            "USER": _database.username,
            "PASSWORD": _database.password,
            "HOST": _database.hostname,
            "PORT": _database.port,
            "CONN_MAX_AGE": 600,
            "OPTIONS": {"options": "-c search_path=bench_usual", "application_name": "bench-usual"},
        },
    },
    CACHES={"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": f"{_redis}/5"}},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
)
django.setup()

from celery import Celery, shared_task  # noqa: E402 - Django first
from django.core.cache import cache  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.db import connection, models  # noqa: E402
from django.http import HttpResponse  # noqa: E402
from django.shortcuts import get_object_or_404  # noqa: E402
from django.urls import path  # noqa: E402
from django.views.decorators.csrf import csrf_exempt  # noqa: E402
from wechatpy import parse_message  # noqa: E402
from wechatpy.crypto import WeChatCrypto  # noqa: E402
from wechatpy.replies import TextReply  # noqa: E402
from wechatpy.utils import check_signature  # noqa: E402

from benchmarks.callback.messages import DEFAULT, KEYWORDS, answer_to, keyword  # noqa: E402

if TYPE_CHECKING:
    from django.http import HttpRequest

_answers = {keyword(number): answer_to(keyword(number)) for number in range(KEYWORDS)}
celery_app = Celery("usual", broker=f"{_redis}/6")
celery_app.conf.task_ignore_result = True


class Tenant(models.Model):
    """A brand's account."""

    path = models.CharField(max_length=64, unique=True)
    token = models.CharField(max_length=64)
    aes_key = models.CharField(max_length=43)
    appid = models.CharField(max_length=32)

    class Meta:
        app_label = "usual"

    def __str__(self) -> str:
        return self.appid


class Message(models.Model):
    """What came in."""

    tenant = models.ForeignKey(Tenant, models.PROTECT)
    msgid = models.BigIntegerField(db_index=True)
    openid = models.CharField(max_length=64, db_index=True)
    kind = models.CharField(max_length=32)
    body = models.TextField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        app_label = "usual"

    def __str__(self) -> str:
        return str(self.msgid)


@shared_task
def handle(message_id: int) -> None:
    """Would run in a worker; none is started."""


@csrf_exempt
def callback(request: HttpRequest, token: str) -> HttpResponse:
    """Answer by keyword after storing the message once."""
    tenant = get_object_or_404(Tenant, path=token)
    given = request.GET
    check_signature(tenant.token, given["signature"], given["timestamp"], given["nonce"])
    crypto = WeChatCrypto(tenant.token, tenant.aes_key, tenant.appid)
    text = crypto.decrypt_message(request.body, given["msg_signature"], given["timestamp"], given["nonce"])
    message = parse_message(text)
    if cache.add(f"seen:{tenant.pk}:{message.source}:{message.id}", 1, timeout=60):
        stored = Message._default_manager.create(
            tenant=tenant, msgid=message.id, openid=message.source, kind=message.type, body=text
        )
        handle.delay(stored.pk)
    reply = TextReply(content=_answers.get(message.content, DEFAULT), message=message)
    encrypted = crypto.encrypt_message(reply.render(), given["nonce"], given["timestamp"])
    return HttpResponse(encrypted, content_type="application/xml")


urlpatterns = [path("wx/<str:token>", callback)]
application = get_wsgi_application()


def _prepare() -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE SCHEMA bench_usual")
    with connection.schema_editor() as editor:
        editor.create_model(Tenant)
        editor.create_model(Message)
    for account in json.loads(os.environ["BENCH_ACCOUNTS"]):
        Tenant._default_manager.create(
            path=account["path"].removeprefix("/wx/"),
            token=account["token"],
            aes_key=account["aes_key"],
            appid=account["appid"],
        )


if __name__ == "__main__":
    sys.modules["benchmarks.peers.callback_usual"] = sys.modules["__main__"]
    _prepare()
