"""What an operator does with WeChat on the first day, for a demo brand."""

from __future__ import annotations

from accounts.tenancy import brand_scope
from campaigns import services as campaign_services
from common import clock
from conversations import services as conversation_services
from members import services as member_services
from touchpoints import services as touchpoint_services
from wechat_gateway.models import OfficialAccount


def connect_to_wechat(brand_id: int, account_id: int) -> None:
    """Take over the followers, templates and tags, make the codes, publish the menu."""
    at = clock.now()
    member_services.fetch_followers(brand_id, account_id, at=at)
    with brand_scope(brand_id):
        account = OfficialAccount.objects.get(pk=account_id)
        campaign_services.sync_templates(account=account, at=at)
    touchpoint_services.renew_codes(brand_id, at=at)
    member_services.sync_tags(brand_id, account_id, at=at)  # personalised menus need the tags
    conversation_services.publish_menu(brand_id, account_id, at=at)
    conversation_services.settle_menus(brand_id, account_id, at=at)
