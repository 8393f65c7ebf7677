"""Bringing an account's templates over from WeChat."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.db import transaction

from accounts.services import record_audit
from campaigns.models import NOTICES, Family, MessageTemplate
from campaigns.template_content import parse_fields
from wechat_gateway import calls, client, incidents

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from wechat_gateway.models import OfficialAccount


_LONG_TERM: Final = 3  # WeChat's `type` of a notification (reference: service account 5.7)


def sync_templates(*, account: OfficialAccount, at: datetime) -> int:
    """Make our templates of an account equal to WeChat's; ones that are gone stay, unusable. Gives how many are usable.

    Raises `WeChatRefused` when WeChat refuses or cannot be reached; nothing changes then. Many accounts may not have
    subscribe notifications: theirs stay as they are when only these are refused.
    """
    remote = client.get_templates(account, at=at)
    said = calls.list_subscribe_templates(account, at=at)
    with transaction.atomic():
        seen = [
            _keep(account, at, str(item.get("template_id", "")), Family.TEMPLATE, item)
            for item in remote
            if item.get("template_id")
        ]
        _without(account, [Family.TEMPLATE.value], seen, at)
        if said.ok:
            notices = _notices(said.data.get("data"))
            kept = [_keep(account, at, str(item["priTmplId"]), _family(item), item) for item in notices]
            _without(account, NOTICES, kept, at)
            seen += kept
        incidents.templates_listed(appid=account.appid, template_ids=seen, at=at)
        record_audit(action="sync templates", obj=account, changes={"templates": [None, len(seen)]})
    return len(seen)


def _notices(found: object) -> list[dict[str, Any]]:
    rows = found if isinstance(found, list) else []
    return [item for item in rows if isinstance(item, dict) and item.get("priTmplId")]


def _family(item: dict[str, Any]) -> Family:
    return Family.NOTICE_LONG if str(item.get("type")) == str(_LONG_TERM) else Family.NOTICE_ONCE


def _keep(account: OfficialAccount, at: datetime, template_id: str, family: Family, item: dict[str, Any]) -> str:
    content = str(item.get("content", ""))
    MessageTemplate.objects.update_or_create(
        account=account,
        template_id=template_id,
        defaults={
            "family": family.value,
            "title": str(item.get("title", ""))[:100],
            "content": content,
            "fields": parse_fields(content),
            "synced_at": at,
            "is_active": True,
        },
    )
    return template_id


def _without(account: OfficialAccount, families: Iterable[str], seen: list[str], at: datetime) -> None:
    """What WeChat no longer names of some families cannot be used any more."""
    rows = MessageTemplate.objects.filter(account=account, family__in=list(families)).exclude(template_id__in=seen)
    rows.update(is_active=False, synced_at=at)
