"""Plants a brand with known secrets into a running product, and reads back the secrets that it was given.

Run inside the product by `manage.py shell -c "from tests.hostile import planted; planted.plant()"`: JSON in and out.
"""

import json
import sys

from accounts.models import Brand, StaffUser
from accounts.services import create_brand, grant_role, issue_api_key
from accounts.tenancy import brand_scope
from campaigns import services as campaigns
from campaigns.models import MessageTemplate
from campaigns.template_content import parse_fields
from common import clock
from members.models import Follower, MiniProgramSession
from members.services import save_segment
from wechat_gateway import services as gateway
from wechat_gateway.models import AccessToken

SCOPES = ["members.read", "members.write", "segments.read", "stores.read", "campaigns.read", "exports.write"]
CONTENT = "事项：{{thing1.DATA}}\n时间：{{time2.DATA}}"


def plant():
    """Make the brand; print what the scenes need."""
    wish = json.load(sys.stdin)
    at = clock.now()
    brand = create_brand(slug="canary", name="金丝雀")
    with brand_scope(brand.pk):
        account = gateway.connect_official_account(at=at, open_platform_subject="canary", **wish["account"])
        for program in wish["programs"]:
            gateway.connect_mini_program(name="会员", open_platform_subject="canary", **program)
        user = StaffUser.objects.create(username="canary-owner", name="店主")
        user.set_password(wish["password"])
        user.save()
        grant_role(staff_user=user, role="OWNER")
        _row, key = issue_api_key(label="ERP", scopes=SCOPES, at=at)
        MessageTemplate.objects.create(
            account=account,
            template_id=wish["template"],
            title="预约提醒",
            content=CONTENT,
            fields=parse_fields(CONTENT),
            synced_at=at,
        )
    answer = {"brand": brand.pk, "account": account.pk, "path_token": account.path_token, "key": key}
    sys.stdout.write(json.dumps(answer) + "\n")


def launch():
    """Send a campaign to everybody who follows."""
    with brand_scope(Brand.objects.get(slug="canary").pk):
        template = MessageTemplate.objects.get()
        campaign = campaigns.create_campaign(
            name="秋季新品",
            account=template.account,
            template=template,
            content={"thing1": "{姓名|会员}的预约", "time2": "2025-06-02 15:30"},
            segment=save_segment(name="全部", rule={"all": []}, at=clock.now()),
            at=clock.now(),
        )
        campaigns.launch(campaign=campaign, at=clock.now())


def secrets():
    """Print the secrets that WeChat gave: access tokens and session keys."""
    with brand_scope(Brand.objects.get(slug="canary").pk):
        tokens = [row.token.reveal() for row in AccessToken.objects.all() if row.token]
        keys = [row.session_key.reveal() for row in MiniProgramSession.objects.all() if row.session_key]
        answer = {"access_token": tokens, "session_key": keys, "followers": Follower.objects.count()}
    sys.stdout.write(json.dumps(answer) + "\n")
