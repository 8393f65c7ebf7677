"""Discovery of what can be asked, and what is declared about it. Whatever is found and not declared is a fault."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.management import get_commands
from django.db import models
from django.urls import URLPattern, get_resolver
from django.urls.resolvers import RegexPattern
from rest_framework import serializers

from accounts.tenancy import BrandOwned
from campaigns.models import Campaign, Delivery, TestSend
from console.site import site
from coupons.models import Coupon, Push
from guides.models import Guide
from imports.models import Export, Import
from inbox.models import AgentTask, Conversation, Message
from library.models import MediaItem
from loyalty.models import Hold, Journal
from members.models import Grouping, Member, RightsRequest, Segment, Tag, TagRule
from stores.models import Store
from touchpoints.models import MiniCode, Touchpoint
from wechat_gateway.models import OfficialAccount

METHODS = ("GET", "POST", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE")


# --- addresses -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Address:
    """A pattern of the product: its name and the parameters a caller can choose."""

    name: str
    pieces: tuple[str, ...]  # text, or "<parameter>"

    @property
    def parameters(self) -> list[str]:
        return [piece[1:-1] for piece in self.pieces if piece.startswith("<")]

    def path(self, **values: Any) -> str:
        return "".join(str(values[piece[1:-1]]) if piece.startswith("<") else piece for piece in self.pieces)


def _patterns(resolver: Any, prefix: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], URLPattern]]:
    for entry in resolver.url_patterns:
        parts = (*prefix, entry.pattern)
        if isinstance(entry, URLPattern):
            yield parts, entry
        else:
            yield from _patterns(entry, parts)


def _pieces(parts: tuple[Any, ...]) -> tuple[str, ...]:
    text = ""
    for part in parts:
        if isinstance(part, RegexPattern):
            text += re.sub(r"\(\?P<(\w+)>.*?\)", r"<\1>", str(part)).replace("^", "").replace("$", "")
        else:
            text += re.sub(r"<(?:\w+:)?(\w+)>", r"<\1>", str(part))
    return tuple(piece for piece in re.split(r"(<\w+>)", text) if piece)


def addresses(urlconf: str) -> list[tuple[Address, Any]]:
    """Every address of a URL configuration with its view."""
    return [
        (Address("".join(str(part) for part in parts), _pieces(parts)), entry.callback)
        for parts, entry in _patterns(get_resolver(urlconf))
    ]


def console() -> list[tuple[Address, Any]]:
    """Addresses below /b/<brand>/."""
    return addresses(settings.CONSOLE_URLCONF)


def outside() -> list[tuple[Address, Any]]:
    """Addresses outside any brand."""
    return addresses(settings.ROOT_URLCONF)


# Which row a parameter of an address names. The admin's object_id is the row of the model in the address.
PREFIXES: dict[str, type[models.Model]] = {
    "campaigns/": Campaign,
    "loyalty/member/": Member,
    "members/decisions/": Member,
    "members/privacy/": Member,
    "coupons/member/": Member,
    "guides/member/": Member,
    "guides/hand-over/": Guide,
    "coupons/pushes/": Push,
    "members/flags/": Member,
    "members/identity/": Member,
    "members/profile/": Member,
    "segments/groupings/": Grouping,
    "segments/": Segment,
    "tags/automatic/": TagRule,
    "tags/": Tag,
    "inbox/": Conversation,
    "imports/": Import,
    "exports/": Export,
    "library/file/": MediaItem,
}
PARAMETERS: dict[str, type[models.Model]] = {
    "account_id": OfficialAccount,
    "delivery_id": Delivery,
    "line_id": Message,
    "task_id": AgentTask,
    "test_id": TestSend,
}
# Parameters that name no row, and what may stand there.
WORDS: dict[str, tuple[str, ...]] = {
    "kind": ("tags", "stores"),  # of choices, and of what can be imported
    "app_label": ("members",),
    "url": ("nothing/",),
    "token": ("made-up",),  # signed: names request, brand and staff member
    "content_type_id": (),  # with object_id: the shortcut of the admin; asked for every model
}
# REST: which column of which model a part of the path is compared with.
REST_PARAMETERS: dict[str, tuple[type[models.Model], str]] = {
    "code": (Store, "code"),
    "member_no": (Member, "member_no"),
    "campaign_id": (Campaign, "public_id"),
    "channel_id": (Touchpoint, "id"),
    "segment_id": (Segment, "id"),
    "scene": (MiniCode, "code"),
    "media_id": (MediaItem, "id"),
    "hold_id": (Hold, "public_id"),
    "entry_id": (Journal, "public_id"),
    "coupon_id": (Coupon, "public_id"),
    "request_id": (RightsRequest, "public_id"),
    "import_id": (Import, "public_id"),
    "export_id": (Export, "public_id"),
    "push_id": (Push, "public_id"),
}


def model_named(address: Address, parameter: str) -> type[models.Model] | None:
    """The model whose row a parameter of a console address names; None when nothing is declared."""
    if parameter in PARAMETERS:
        return PARAMETERS[parameter]
    for model in site._registry:
        if address.name.startswith(f"{model._meta.app_label}/{model._meta.model_name}/"):
            return model
    if parameter == "pk":
        return next((model for prefix, model in PREFIXES.items() if address.name.startswith(prefix)), None)
    return None


# Models whose pages are narrower than the brand for people of single stores; all others are the brand's, and why.
BRAND_WIDE: dict[str, str] = {
    "accounts.RoleGrant": "only owners see it",
    "accounts.ApiKey": "only owners see it",
    "accounts.AuditEntry": "only owners see it",
    "wechat_gateway.OfficialAccount": "only owners see it",
    "wechat_gateway.MiniProgram": "only owners see it",
    "wechat_gateway.Incident": "what is wrong with an account is wrong for the whole brand",
    "members.ErasureClock": "only owners see it",
    "members.RightsRequest": "only owners and auditors see it",
    "stores.Region": "the tree of regions is the brand's",
    "members.Tag": "tags are words of the whole brand",
    "members.ProfileField": "which facts are kept is the brand's",
    "members.TagGroup": "tags are words of the whole brand",
    "members.TagRule": "tags are words of the whole brand; the page counts and names nobody",
    "conversations.ReplyRule": "an account answers for the whole brand",
    "conversations.Dialogue": "an account talks for the whole brand",
    "conversations.ReplyRecord": "narrowed (tests/conversations/test_rule_pages.py::test_records_name_only_people_within_the_data_scope)",
    "campaigns.Campaign": "whom they name is narrowed (tests/isolation/test_scope.py::test_messages_of_a_campaign_name_only_people_within_reach)",
    "inbox.Agent": "who answers is the brand's; only owners and marketers see it",
    "inbox.CannedReply": "texts of the whole brand",
    "inbox.ServiceHours": "the desk answers for the whole brand",
    "library.MediaItem": "files of the whole brand",
    "welcomes.Sequence": "an account welcomes for the whole brand; its report counts and names nobody",
    "coupons.Template": "what coupons are given from is the brand's",
    "coupons.CodeBatch": "batches of codes are the brand's; their pages count and name nobody",
    "coupons.TierGift": "which coupon a tier gives is the brand's; its page counts and names nobody",
    "coupons.PurchaseGift": "which coupon a purchase brings is the brand's; its page counts and names nobody",
    "referrals.Programme": "what invitations bring is the brand's; its pages count and name nobody",
    "coupons.Push": "whom it names is narrowed (tests/coupons/test_pushes.py::test_an_operator_sees_the_plan_confirms_watches_and_reads_who_was_left_out)",
    "imports.Import": "tables are the brand's; only owners and marketers see them",
    "imports.Export": "only their own are seen (tests/imports/test_export_api.py::test_only_the_key_that_asked_sees_its_export)",
    "loyalty.EarnRule": "what points are given for is the brand's",
    "loyalty.Tier": "tiers are the brand's",
    "members.Grouping": "segments are the brand's; its pages count and name nobody",
    "members.Segment": "whom they name is narrowed (tests/isolation/test_scope.py::test_segment_sample_names_only_people_within_reach)",
}
SEEN_BY_GUIDES: dict[str, str] = {"stores.Store": "guides see where every store is"}


# --- serializers -----------------------------------------------------------------------------------------------------


def api_modules() -> list[Any]:
    """Every module that serves the REST API."""
    found = []
    for config in apps.get_app_configs():
        if str(settings.BASE_DIR) not in config.path or ".venv" in config.path:
            continue
        names = [info.name for info in pkgutil.walk_packages([config.path], f"{config.name}.")]
        found += [importlib.import_module(name) for name in names if re.search(r"\.(api|rest)(\.|$)", name)]
    return found


def input_fields() -> dict[str, Any]:
    """Every field a caller of the API can fill, as Serializer.field."""
    from accounts.rest.serializers import StrictSerializer

    return {
        f"{name}.{each}": field
        for module in api_modules()
        for name, thing in vars(module).items()
        if inspect.isclass(thing) and issubclass(thing, StrictSerializer) and thing.__module__ == module.__name__
        for each, field in thing().fields.items()
    }


def related_fields() -> list[str]:
    """Serializer fields that look rows up by themselves; the API has none, ids are looked up by selectors."""
    found = []
    for module in api_modules():
        for name, thing in vars(module).items():
            if inspect.isclass(thing) and issubclass(thing, serializers.BaseSerializer):
                fields = getattr(thing, "_declared_fields", {})
                found += [
                    f"{name}.{each}"
                    for each, field in fields.items()
                    if isinstance(field, serializers.RelatedField | serializers.ManyRelatedField)
                    or issubclass(thing, serializers.ModelSerializer)
                ]
    return sorted(set(found))


# --- tasks, commands -------------------------------------------------------------------------------------------------


def tasks() -> dict[str, Any]:
    """Every task of the product."""
    from config.celery import app

    app.loader.import_default_modules()
    return {
        name: task
        for name, task in sorted(app.tasks.items())
        if not name.startswith(("celery.", "tests.")) and "probe_" not in name
    }


def commands() -> dict[str, str]:
    """Every management command of our own apps."""
    own = {
        config.name
        for config in apps.get_app_configs()
        if str(settings.BASE_DIR) in config.path and ".venv" not in config.path
    }
    return {name: app for name, app in sorted(get_commands().items()) if app in own}


def brand_models() -> list[type[models.Model]]:
    return [model for model in apps.get_models() if issubclass(model, BrandOwned)]


Probe = Callable[..., Any]
