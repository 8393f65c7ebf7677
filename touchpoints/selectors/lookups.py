"""Single questions about channels: whose scene, what is left of the quota, who owns what, who works here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from django.db.models import Count, Q
from django.utils.translation import gettext_lazy

from accounts.models import RoleGrant, StaffUser
from common.registry import Registry
from touchpoints.models import CodeIssue, StaffPerson, Touch, TouchKind, Touchpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from django.db.models import QuerySet
    from django_stubs_ext import StrOrPromise

    from wechat_gateway.models import OfficialAccount

# WeChat's own limit (service account reference 5.5); an account that has been given another one is a row here.
PERMANENT_CODES: Final = 100_000


@dataclass(frozen=True)
class OwnerKind:
    """A kind of people or organisations that answer for channels: its name, who can be chosen, what ids are called."""

    label: StrOrPromise
    choices: Callable[[], list[tuple[int, str]]]
    names: Callable[[Iterable[int]], dict[int, str]]


owners: Registry[OwnerKind] = Registry("channel owners", purpose="who can answer for a channel: staff, guides …")


def _staff_choices() -> list[tuple[int, str]]:
    """Give the people who work for the brand in scope: accounts are a global table, roles are the brand's."""
    working = StaffUser.objects.filter(pk__in=RoleGrant.objects.values("staff_user_id"))
    return [(user.pk, user.name or user.username) for user in working.order_by("username")[:500]]


def _staff_names(ids: Iterable[int]) -> dict[int, str]:
    working = StaffUser.objects.filter(
        pk__in=RoleGrant.objects.filter(staff_user__in=list(ids)).values("staff_user_id")
    )
    return {user.pk: user.name or user.username for user in working.order_by("pk")}


owners.register("staff", OwnerKind(gettext_lazy("Staff"), _staff_choices, _staff_names))


def touchpoint_of_scene(account_id: int, scene: str) -> Touchpoint | None:
    """Give the channel whose code carries a scene. Another brand's scene is unknown here."""
    if not scene:
        return None
    return Touchpoint.objects.select_related("store").filter(account_id=account_id, scene=scene).first()


def welcome_texts(account_id: int) -> dict[str, str]:
    """Give the welcome of every code of an account that has one, by scene."""
    rows = Touchpoint.objects.filter(account_id=account_id, is_active=True).exclude(scene="").exclude(welcome="")
    return dict(rows.order_by("pk").values_list("scene", "welcome"))


def scan_counts(touchpoint_ids: list[int]) -> dict[int, dict[str, int]]:
    """Give how often codes were scanned: {touchpoint: {"FOLLOW": n, "REFOLLOW": n, "SCAN": n}} in one query."""
    rows = (
        Touch.objects.filter(touchpoint_id__in=touchpoint_ids)
        .values("touchpoint_id")
        .annotate(**{kind: Count("pk", filter=Q(kind=kind)) for kind in TouchKind.values})
        .order_by("touchpoint_id")
    )
    counts: list[dict[str, int]] = list(rows)  # type: ignore[arg-type] # the names come from TouchKind
    return {row["touchpoint_id"]: {kind: row[kind] for kind in TouchKind.values} for row in counts}


def touches_of(member_id: int) -> QuerySet[Touch]:
    """Give a person's touches, newest first."""
    return Touch.objects.select_related("touchpoint").filter(member_id=member_id).order_by("-at", "-pk")


def is_staff(member_id: int) -> bool:
    """Say whether a person was marked as working here."""
    return StaffPerson.objects.filter(member_id=member_id).exists()


def permanent_codes_used(account_id: int) -> int:
    """Count the permanent codes an account has spent with us: those made, and those ordered and not made yet."""
    made = CodeIssue.objects.filter(account_id=account_id, is_permanent=True).count()
    return made + Touchpoint.objects.filter(account_id=account_id, is_permanent=True, ticket="").count()


def permanent_codes_by_account() -> dict[int, int]:
    """Count the permanent codes of every account of the brand, in two queries."""
    made = CodeIssue.objects.filter(is_permanent=True).values_list("account_id").order_by("account_id")
    used: dict[int, int] = dict(made.annotate(Count("pk")))
    ordered = Touchpoint.objects.filter(is_permanent=True, ticket="", account__isnull=False).values_list("account_id")
    for account_id, count in ordered.annotate(Count("pk")).order_by("account_id"):
        used[account_id or 0] = used.get(account_id or 0, 0) + count
    return used


def permanent_codes_left(account: OfficialAccount) -> int:
    """Give how many permanent codes an account may still make."""
    return max(0, PERMANENT_CODES - permanent_codes_used(account.pk))


def owner_names(rows: Iterable[Touchpoint]) -> dict[tuple[str, int], str]:
    """Give the names of the owners of some channels, one query per kind of owner."""
    wanted: dict[str, set[int]] = {}
    for row in rows:
        if row.owner_kind and row.owner_id is not None:
            wanted.setdefault(row.owner_kind, set()).add(row.owner_id)
    found: dict[tuple[str, int], str] = {}
    for kind, ids in wanted.items():
        entry: Any = owners.find(kind)
        if entry is not None:
            found |= {(kind, pk): name for pk, name in entry.names(ids).items()}
    return found
