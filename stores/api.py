"""Stores for mini programs and other systems: nearest first, page by page, one by its code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from django.http import Http404
from django.utils.translation import gettext as _
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.response import Response

from accounts.rest.pagination import PAGE_PARAMETERS, Keyset, page_body
from accounts.rest.permissions import needs_scope
from accounts.rest.schema import EITHER, endpoint, problems
from accounts.rest.serializers import (
    DegreesParameter,
    StrictSerializer,
    TextField,
    WholeNumberParameter,
    YesNoParameter,
    read_query,
)
from accounts.rest.views import BrandAPIView, known_text
from common import clock
from stores import selectors

if TYPE_CHECKING:
    from rest_framework.request import Request

    from stores.models import Store
    from stores.selectors import Hours

MOST_NEARBY = 20
_TIME = r"^\d{2}:\d{2}$"


class Span(serializers.Serializer[Any]):
    """From when to when; a span that closes not after it opens reaches into the next day."""

    opens = serializers.RegexField(_TIME, help_text="Local time, `HH:MM`.")
    closes = serializers.RegexField(_TIME, help_text="Local time, `HH:MM`.")


class HoursNow(serializers.Serializer[Any]):
    """Opening hours at this moment, in the brand's time zone; exceptions and nights past midnight are considered."""

    is_open = serializers.BooleanField(help_text="Whether the store is open now.")
    closes = serializers.RegexField(_TIME, allow_null=True, help_text="When it closes, if open.")
    opens = serializers.RegexField(_TIME, allow_null=True, help_text="When it opens next, if closed.")
    opens_on = serializers.DateField(allow_null=True, help_text="On which day that is.")
    today = Span(many=True, help_text="Today's spans.")


class StoreShape(serializers.Serializer[Any]):
    """A store."""

    id = serializers.IntegerField(help_text="Number of the store, as segment rules name it.")
    code = serializers.CharField(help_text="Store code.")
    name = serializers.CharField(help_text="Name.")
    city = serializers.CharField(allow_blank=True, help_text="City.")
    address = serializers.CharField(allow_blank=True, help_text="Address.")
    telephone = serializers.CharField(allow_blank=True, help_text="Telephone.")
    lat = serializers.FloatField(allow_null=True, help_text="Latitude, GCJ-02 degrees.")
    lng = serializers.FloatField(allow_null=True, help_text="Longitude, GCJ-02 degrees.")
    hours = HoursNow()


class StorePage(serializers.Serializer[Any]):
    """A page of stores, by code."""

    results = StoreShape(many=True)
    next = serializers.CharField(allow_null=True, help_text="Cursor of the next page; null on the last.")


class NearbyShape(serializers.Serializer[Any]):
    """A store and how far it is."""

    code = serializers.CharField(help_text="Store code.")
    name = serializers.CharField(help_text="Name.")
    address = serializers.CharField(allow_blank=True, help_text="Address.")
    telephone = serializers.CharField(allow_blank=True, help_text="Telephone.")
    lat = serializers.FloatField(help_text="Latitude, GCJ-02 degrees.")
    lng = serializers.FloatField(help_text="Longitude, GCJ-02 degrees.")
    distance = serializers.IntegerField(help_text="Metres as the crow flies.")
    hours = HoursNow()


class Nearby(serializers.Serializer[Any]):
    """Stores, nearest first."""

    results = NearbyShape(many=True)


class NearbyQuery(StrictSerializer):
    """Where somebody is."""

    lat = DegreesParameter(min_value=-90, max_value=90, help_text="Latitude, GCJ-02 (`wx.getLocation`).")
    lng = DegreesParameter(min_value=-180, max_value=180, help_text="Longitude, GCJ-02.")
    open = YesNoParameter(required=False, default=False, help_text="Only stores that are open now.")
    limit = WholeNumberParameter(
        required=False, default=10, min_value=1, max_value=MOST_NEARBY, help_text="How many, 1 to 20."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Nobody stands at (0, 0): a phone without a position says so."""
        if attrs["lat"] == 0 and attrs["lng"] == 0:
            raise ValidationError({"lat": [_("A position is expected here.")]})
        return attrs


class StoreQuery(StrictSerializer):
    """By what stores can be picked."""

    city = TextField(required=False, max_length=40, help_text="City, exactly as it is written.")


_HOURS_EXAMPLE = {
    "is_open": True,
    "closes": "22:00",
    "opens": None,
    "opens_on": None,
    "today": [{"opens": "10:00", "closes": "22:00"}],
}
_STORE_EXAMPLE = {
    "id": 4,
    "code": "SH004",
    "name": "上海静安店",
    "city": "上海",
    "address": "南京西路 1601 号",
    "telephone": "021-62880001",
    "lat": 31.2239,
    "lng": 121.4471,
    "hours": _HOURS_EXAMPLE,
}
_NEARBY_EXAMPLE = {name: value for name, value in _STORE_EXAMPLE.items() if name not in ("id", "city")} | {
    "distance": 850
}


class StoreView(BrandAPIView):
    """An endpoint for members' sessions and for keys that may read stores."""

    permission_classes = (needs_scope("stores.read", or_member=True),)


class NearbyStores(StoreView):
    """`/api/v1/stores/nearby/`: nearest first."""

    @endpoint(
        "list_nearby_stores",
        "List the nearest stores",
        tag="stores",
        auth=EITHER,
        parameters=[NearbyQuery],
        answer=Nearby,
        example={"results": [_NEARBY_EXAMPLE]},
        errors=problems(422),
        description="At most 20, nearest first. Keys need the scope `stores.read`.",
    )
    def get(self, request: Request) -> Response:
        """Show the nearest stores."""
        wanted = read_query(NearbyQuery, request.query_params)
        found = selectors.nearest_stores(
            lat=wanted["lat"], lng=wanted["lng"], at=clock.now(), limit=wanted["limit"], only_open=wanted["open"]
        )
        return Response(
            {
                "results": [
                    {
                        "code": store.code,
                        "name": store.name,
                        "address": store.address,
                        "telephone": store.telephone,
                        "lat": store.lat,
                        "lng": store.lng,
                        "distance": round(store.distance),
                        "hours": _hours(store.hours),
                    }
                    for store in found
                ],
            },
        )


class StoreList(StoreView):
    """`/api/v1/stores/`: all stores in operation, by code."""

    keyset = Keyset("stores", "code")

    @endpoint(
        "list_stores",
        "List stores",
        tag="stores",
        auth=EITHER,
        parameters=[StoreQuery, *PAGE_PARAMETERS],
        answer=StorePage,
        example={"results": [_STORE_EXAMPLE], "next": None},
        errors=problems(422),
        description="Stores in operation, by code. Keys need the scope `stores.read`.",
    )
    def get(self, request: Request) -> Response:
        """Show a page."""
        wanted = read_query(StoreQuery, request.query_params, paging=True)
        stores, cursor = self.keyset.page(selectors.stores_in_operation(**wanted), request.query_params)
        return Response(page_body(_with_hours(stores), cursor))


class StoreDetail(StoreView):
    """`/api/v1/stores/{code}/`: one store."""

    @endpoint(
        "get_store",
        "Get a store",
        tag="stores",
        auth=EITHER,
        answer=StoreShape,
        example=_STORE_EXAMPLE,
        errors=problems(404),
        description="A store in operation. Keys need the scope `stores.read`.",
    )
    def get(self, request: Request, code: str) -> Response:
        """Show one store."""
        store = selectors.stores_in_operation().filter(code=known_text(code)).first()
        if store is None:
            raise Http404
        return Response(_with_hours([store])[0])


def _with_hours(stores: list[Store]) -> list[dict[str, Any]]:
    hours = selectors.opening_hours(
        [store.pk for store in stores], at=clock.now(), zone=ZoneInfo(selectors.brand_zone())
    )
    return [
        {
            "id": store.pk,
            "code": store.code,
            "name": store.name,
            "city": store.city,
            "address": store.address,
            "telephone": store.telephone,
            "lat": store.lat,
            "lng": store.lng,
            "hours": _hours(hours[store.pk]),
        }
        for store in stores
    ]


def _hours(hours: Hours) -> dict[str, Any]:
    return {
        "is_open": hours.is_open,
        "closes": hours.closes and f"{hours.closes:%H:%M}",
        "opens": hours.opens and f"{hours.opens:%H:%M}",
        "opens_on": hours.opens_on,
        "today": [{"opens": f"{opens:%H:%M}", "closes": f"{closes:%H:%M}"} for opens, closes in hours.today],
    }
