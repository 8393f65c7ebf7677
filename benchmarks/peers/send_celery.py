"""The usual way in this field: one Celery task per recipient, wechatpy, an ORM update for each.

`python -m celery -A benchmarks.peers.send_celery worker` is the worker; `python -m benchmarks.peers.send_celery` makes
the rows, rings and waits (see `benchmarks.sending.child.serve`).
"""

from __future__ import annotations

import os
import time
from typing import Any, ClassVar

import django
from celery import Celery
from django.conf import settings
from django.db import connection, models
from environ import Env

for _name in [name for name in os.environ if name.lower().endswith("_proxy")]:
    del os.environ[_name]  # loopback, whatever proxy the machine has; all else is as wechatpy does it
settings.configure(
    DATABASES={"default": {**Env.db_url_config(os.environ["BENCH_DATABASE_URL"]), "CONN_MAX_AGE": 600}},
    INSTALLED_APPS=[],
    USE_TZ=True,
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
)
django.setup()

from django.utils import timezone  # noqa: E402 - needs Django
from redis import Redis  # noqa: E402
from wechatpy import WeChatClient  # noqa: E402
from wechatpy.session.redisstorage import RedisStorage  # noqa: E402

from benchmarks.sending.child import cpu, serve  # noqa: E402

app = Celery("peer", broker=os.environ["BENCH_BROKER"])
app.conf.update(task_ignore_result=True, task_acks_late=True, worker_hijack_root_logger=False)
_TEMPLATE = "bench-template"


class Campaign(models.Model):  # noqa: DJ008
    """A campaign."""

    objects: ClassVar[models.Manager[Campaign]] = models.Manager()
    public_id = models.CharField(max_length=32)

    class Meta:
        app_label = "peer"


class Recipient(models.Model):  # noqa: DJ008
    """One message."""

    objects: ClassVar[models.Manager[Recipient]] = models.Manager()
    campaign = models.ForeignKey(Campaign, models.CASCADE)
    openid = models.CharField(max_length=64)
    name = models.CharField(max_length=60)
    state = models.CharField(max_length=10, default="PENDING", db_index=True)
    msgid = models.BigIntegerField(null=True, db_index=True)
    sent_at = models.DateTimeField(null=True)

    class Meta:
        app_label = "peer"


class _Client(WeChatClient):  # type: ignore[misc]
    API_BASE_URL = os.environ["BENCH_URL"] + "/cgi-bin/"

    def fetch_access_token(self) -> Any:
        """Fetch from the simulator: wechatpy has WeChat's own address here, whatever the base."""
        body = {"grant_type": "client_credential", "appid": self.appid, "secret": self.secret}
        answer = self._http.post(self.API_BASE_URL + "stable_token", json=body, timeout=8).json()
        self.session.set(self.access_token_key, answer["access_token"], answer["expires_in"])
        self.expires_at = int(time.time()) + answer["expires_in"]
        return answer


_clients: dict[int, _Client] = {}


def _client() -> _Client:
    """One per worker process, its token in Redis as wechatpy advises."""
    found = _clients.get(os.getpid())
    if found is None:
        session = RedisStorage(Redis.from_url(os.environ["BENCH_BROKER"]), prefix="wechatpy")
        found = _Client("wxbench", "secret", session=session, timeout=8)
        _clients[os.getpid()] = found
    return found


@app.task(name="send", max_retries=3)  # the ringing process is another module by name
def send(recipient_id: int) -> None:
    """Send one message and write what came of it."""
    recipient = Recipient.objects.select_related("campaign").get(pk=recipient_id)
    if recipient.state != "PENDING":
        return
    answer = _client().post(
        "message/template/send",
        data={
            "touser": recipient.openid,
            "template_id": _TEMPLATE,
            "data": {"thing1": {"value": f"{recipient.name}的预约"}, "time2": {"value": "2025-06-02 15:30"}},
            "client_msg_id": f"{recipient.campaign.public_id}-{recipient.pk}",
        },
    )
    recipient.state, recipient.msgid, recipient.sent_at = "SENT", answer["msgid"], timezone.now()
    recipient.save(update_fields=["state", "msgid", "sent_at"])


def prepare() -> None:
    """Make the tables, and fetch the token once."""
    with connection.schema_editor() as editor:
        editor.create_model(Campaign)
        editor.create_model(Recipient)
    _client().access_token  # noqa: B018 - a property that fetches


def run(count: int, public_id: str, seconds: float) -> dict[str, Any]:
    """Make a campaign's rows, ring once for each, wait until all are final; gives what it took and the ids."""
    began, used = time.monotonic(), cpu()
    campaign = Campaign.objects.create(public_id=public_id)
    rows = Recipient.objects.bulk_create(
        [Recipient(campaign=campaign, openid=f"o{number:027d}", name=f"顾客{number}") for number in range(count)],
        batch_size=1_000,
    )
    for row in rows:
        send.delay(row.pk)
    while Recipient.objects.filter(campaign=campaign, state="PENDING").exists():
        if time.monotonic() - began > seconds:
            message = f"not done within {seconds} s"
            raise TimeoutError(message)
        time.sleep(0.05)
    took = time.monotonic() - began
    done = dict(Recipient.objects.filter(campaign=campaign, state="SENT").values_list("pk", "msgid"))
    return {"cpu": cpu() - used, "seconds": took, "sent": {f"{public_id}-{pk}": str(m) for pk, m in done.items()}}


if __name__ == "__main__":
    serve({"prepare": prepare, "run": run})
