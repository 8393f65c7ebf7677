"""Members in Django's own admin, as its documentation shows: a list with a search box, and a page with inlines."""
# The peers' models are no app of the product's settings, so the types of Django's plugin do not know them.
# mypy: ignore-errors

from __future__ import annotations

import os

from django.contrib import admin
from django.contrib.auth.models import AnonymousUser
from django.urls import path

from benchmarks.peers.read_models import Follower, Identity, Member, MemberTag

BRAND = int(os.environ.get("BENCH_BRAND", "0"))


class Operator(AnonymousUser):
    """Somebody who may see everything and change nothing: who that is costs the peer nothing."""

    is_active = is_staff = True
    pk = id = 1
    username = "bench"

    def has_perm(self, perm: str, obj: object = None) -> bool:
        return ".view_" in perm

    def has_module_perms(self, module: str) -> bool:
        return True

    def get_short_name(self) -> str:
        return "bench"

    get_username = get_short_name

    def has_usable_password(self) -> bool:
        return False

    @property
    def is_anonymous(self) -> bool:
        return False

    @property
    def is_authenticated(self) -> bool:
        return True


class SignedIn:
    """Middleware: everybody is the operator."""

    def __init__(self, get_response: object) -> None:
        self.get_response = get_response

    def __call__(self, request: object) -> object:
        request.user = Operator()
        return self.get_response(request)


class Shown(admin.TabularInline):
    extra = 0

    def get_queryset(self, request: object) -> object:
        return super().get_queryset(request).filter(member__brand_id=BRAND)


class Tags(Shown):
    model = MemberTag


class Followers(Shown):
    model = Follower
    fields = ("openid", "subscribed", "followed_at")


class Identities(Shown):
    model = Identity
    fields = ("kind", "value", "since", "ended_at")


class Members(admin.ModelAdmin):
    list_display = ("name", "phone_masked", "member_no", "tag_names", "store", "subscribed", "last_interaction_at")
    list_select_related = ("store",)
    list_filter = ("subscribed",)
    list_per_page = 50
    search_fields = ("name", "phone_tail", "member_no", "identities__value")
    ordering = ("-id",)
    fields = ("name", "phone_masked", "member_no", "birth_mmdd", "city", "joined_at", "created_at", "subscribed")
    inlines = (Tags, Followers, Identities)

    def get_queryset(self, request: object) -> object:
        rows = super().get_queryset(request).filter(brand_id=BRAND, merged_into__isnull=True)
        return rows.prefetch_related("tags")

    def tag_names(self, row: Member) -> str:
        return ", ".join(tag.name for tag in row.tags.all())


site = admin.AdminSite()
site.register(Member, Members)
urlpatterns = [path("admin/", site.urls)]
