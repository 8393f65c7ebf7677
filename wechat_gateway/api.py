"""WeChat's JS-SDK for the brand's web pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rest_framework import serializers
from rest_framework.response import Response

from accounts.rest.permissions import needs_scope
from accounts.rest.schema import EITHER, endpoint, problems
from accounts.rest.serializers import CodeField, StrictSerializer, read_body
from accounts.rest.views import BrandAPIView
from common import clock
from wechat_gateway import services

if TYPE_CHECKING:
    from rest_framework.request import Request


class PageAddress(StrictSerializer):
    """The page that is to be signed."""

    appid = CodeField(max_length=32, help_text="AppID of the service account.")
    url = CodeField(max_length=2200, help_text="`location.href` as the browser has it; a fragment is left out.")


class JsConfigShape(serializers.Serializer[Any]):
    """What `wx.config` takes."""

    appId = serializers.CharField(help_text="AppID of the service account.")  # noqa: N815 - as WeChat writes it
    timestamp = serializers.IntegerField(help_text="Seconds since 1970.")
    nonceStr = serializers.CharField(help_text="A random text.")  # noqa: N815
    signature = serializers.CharField(help_text="SHA-1 in hex, for this page only.")


class JsConfig(BrandAPIView):
    """`/api/v1/js-config/`: the signature of a page."""

    permission_classes = (needs_scope("pages.sign", or_member=True),)
    holds_scope = False

    @endpoint(
        "sign_page",
        "Sign a web page for the JS-SDK",
        tag="pages",
        auth=EITHER,
        body=PageAddress,
        body_example={"appid": "wx0123456789abcdef", "url": "https://crm.example.com/h5/coupon?id=7&ch=qr"},
        answer=JsConfigShape,
        example={
            "appId": "wx0123456789abcdef",
            "timestamp": 1714036504,
            "nonceStr": "Wm3WZYTPz0wzccnW",
            "signature": "d4973298370b7c316451acb0cb315f66e9d60017",
        },
        errors=problems(
            404,
            422,
            503,
            s422={
                "invalid": "Some values cannot be used.",
                "page_not_signed": "The host is not one of the account's JS-safe domains, or this is no address.",
            },
            s503={"calls_parked": "WeChat gives no ticket right now."},
        ),
        description=(
            "Gives what `wx.config` takes. The ticket is kept and renewed here; nobody else may fetch one for the "
            "account. Only hosts named on the page of the service account are signed. Keys need the scope `pages.sign`."
        ),
    )
    def post(self, request: Request) -> Response:
        """Sign it."""
        given = read_body(PageAddress, request.data)
        made = services.sign_page(
            brand_id=request.user.brand_id,  # type: ignore[union-attr]
            appid=given["appid"],
            url=given["url"],
            at=clock.now(),
        )
        return Response(
            {"appId": made.appid, "timestamp": made.timestamp, "nonceStr": made.nonce, "signature": made.signature}
        )
