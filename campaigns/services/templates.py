"""Bringing an account's templates over from WeChat."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction

from accounts.services import record_audit
from campaigns.models import MessageTemplate
from campaigns.template_content import parse_fields
from wechat_gateway import client

if TYPE_CHECKING:
    from datetime import datetime

    from wechat_gateway.models import OfficialAccount


def sync_templates(*, account: OfficialAccount, at: datetime) -> int:
    """Make our templates of an account equal to WeChat's; ones that are gone stay, unusable. Gives how many are usable.

    Raises `WeChatRefused` when WeChat refuses or cannot be reached; nothing changes then.
    """
    remote = client.get_templates(account, at=at)
    with transaction.atomic():
        seen = []
        for item in remote:
            template_id = str(item.get("template_id", ""))
            if not template_id:
                continue
            content = str(item.get("content", ""))
            MessageTemplate.objects.update_or_create(
                account=account,
                template_id=template_id,
                defaults={
                    "title": str(item.get("title", ""))[:100],
                    "content": content,
                    "fields": parse_fields(content),
                    "synced_at": at,
                    "is_active": True,
                },
            )
            seen.append(template_id)
        MessageTemplate.objects.filter(account=account).exclude(template_id__in=seen).update(
            is_active=False, synced_at=at
        )
        record_audit(action="sync templates", obj=account, changes={"templates": [None, len(seen)]})
    return len(seen)
