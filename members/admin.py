"""Pages about people: members, followers and tags."""

from __future__ import annotations

from typing import ClassVar

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from console.admin import ConsoleModelAdmin, site
from members.models import Tag


@admin.register(Tag, site=site)
class TagAdmin(ConsoleModelAdmin):
    """The brand's tags and whether WeChat has them too."""

    area = "tags"
    place = "members"
    tab = _("Tags")
    tab_order = 30
    add_label = _("New tag")
    empty_text = _("Tags mark people by what they did or like; codes, rules and staff put them on. Begin with one word.")
    list_display = ("name", "group", "meaning", "sync", "created_at")
    search_fields = ("name",)
    fields = ("name", "group", "meaning", "sync")
    ordering = ("brand", "name", "pk")
    phone_columns: ClassVar[tuple[str, ...]] = ("name", "sync")
