"""Changes to the tree: nodes one by one and by the dozen, moves, archiving, costs."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from django.db import connection, transaction
from django.db.models import F
from django.utils.translation import gettext as _

from accounts.services import record_audit
from accounts.tenancy import current_brand_id
from touchpoints.errors import NotInTree, PermanentCodesUsedUp
from touchpoints.models import Cost, Move, Touchpoint, TouchpointTag
from touchpoints.selectors.lookups import permanent_codes_left
from touchpoints.selectors.tree import Node, below, is_way, path_of, tree_nodes
from wechat_gateway.models import OfficialAccount

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import date, datetime

    from members.models import Tag
    from stores.models import Store

DEEPEST: Final = 6  # deeper trees are lists in disguise, and nobody finds anything in them
LARGEST_COST: Final = 10**13  # fen


@transaction.atomic
def create_touchpoint(
    *,
    name: str,
    at: datetime,
    account: OfficialAccount | None = None,
    parent: Touchpoint | None = None,
    store: Store | None = None,
    tags: Sequence[Tag] = (),
    welcome: str = "",
    is_permanent: bool = False,
    scene: str = "",
    benefit: str = "",
    ends_at: datetime | None = None,
    owner: tuple[str, int] | None = None,
    gives: tuple[str, int] | None = None,
) -> Touchpoint:
    """Add a node to the tree. With an account it is a leaf with a scene (short and opaque) that a code can carry.

    `owner` is (key of a kind of owner, id), `gives` (key of a kind of benefit, id). Raises `PermanentCodesUsedUp`,
    `NotInTree` for a place that can have nothing below it.
    """
    _lock_tree()
    _check_parent(parent)
    if account is not None and is_permanent and permanent_codes_left(account) < 1:
        raise PermanentCodesUsedUp(str(account))
    owner_kind, owner_id = owner or ("", None)
    benefit_kind, benefit_id = gives or ("", None)
    touchpoint = Touchpoint.objects.create(
        name=name,
        parent=parent,
        account=account,
        store=store,
        welcome=welcome,
        is_permanent=is_permanent,
        scene=scene or (new_scene() if account else ""),
        benefit=benefit,
        ends_at=ends_at,
        owner_kind=owner_kind,
        owner_id=owner_id,
        benefit_kind=benefit_kind,
        benefit_id=benefit_id,
        created_at=at,
    )
    set_tags(touchpoint=touchpoint, tags=tags)
    if account is not None:
        replies_changed(account_id=account.pk)
    record_audit(action="create channel", obj=touchpoint, changes={"name": [None, name]})
    return touchpoint


def new_scene() -> str:
    """Make a short opaque scene; it tells nothing and fits mini-program codes too (≤ 32 characters)."""
    return "t" + secrets.token_hex(5)


def set_tags(*, touchpoint: Touchpoint, tags: Sequence[Tag]) -> None:
    """Say which tags a code puts on whoever scans it."""
    TouchpointTag.objects.filter(touchpoint=touchpoint).exclude(tag__in=tags).delete()
    TouchpointTag.objects.bulk_create(
        (TouchpointTag(touchpoint=touchpoint, tag=tag) for tag in tags),
        ignore_conflicts=True,
    )


def replies_changed(*, account_id: int) -> None:
    """Let the gateway compile the account's answers anew (within a second)."""
    OfficialAccount.objects.filter(pk=account_id).update(replies_version=F("replies_version") + 1)


# --- many codes at once ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PlannedCode:
    """One code of a batch, as the preview shows it; `exists` says that the store has one of this name already.

    `tags` are its own, besides those of the whole batch.
    """

    store: Store | None
    name: str
    welcome: str
    benefit: str
    exists: bool = False
    tags: tuple[Tag, ...] = ()


def plan_codes(
    *,
    stores: Sequence[Store],
    objects: Sequence[str],
    parent: Touchpoint | None,
    welcome: str = "",
    benefit: str = "",
    tags_of: Mapping[str, Sequence[Tag]] | None = None,
) -> list[PlannedCode]:
    """Say which codes a batch would make: every object of every store, but none twice. {store} and {object} are filled.

    `tags_of` says which tags the codes of an object have besides those of the whole batch. Without
    stores it is every object once, below the parent itself.
    """
    there = _codes_below(parent)
    plan = []
    places_of: list[Store | None] = [*stores] or [None]
    for store in places_of:
        for each in objects:
            name = f"{store.name} · {each}"[:60] if store else each[:60]
            there_is = store.name if store else ""
            # As the page names them in either language.
            words = {"{store}": there_is, "{门店}": there_is, "{object}": each, "{物件}": each}
            plan.append(
                PlannedCode(
                    store=store,
                    name=name,
                    welcome=_filled(welcome, words),
                    benefit=_filled(benefit, words),
                    exists=((store.pk if store else None), name) in there,
                    tags=tuple((tags_of or {}).get(each, ())),
                )
            )
    return plan


def _codes_below(parent: Touchpoint | None) -> set[tuple[int | None, str]]:
    """Give store and name of the codes of a place and of the stores' places below it."""
    codes = Touchpoint.objects.exclude(scene="")
    places = [node.name for node in tree_nodes() if node.parent_id == (parent.pk if parent else None)]
    in_places = codes.filter(parent__parent=parent, parent__name__in=places)
    return {*in_places.values_list("store_id", "name"), *codes.filter(parent=parent).values_list("store_id", "name")}


def _filled(text: str, words: dict[str, str]) -> str:
    for word, value in words.items():
        text = text.replace(word, value)
    return text


@transaction.atomic
def create_touchpoints(
    *,
    plan: Sequence[PlannedCode],
    account: OfficialAccount,
    parent: Touchpoint | None,
    at: datetime,
    tags: Sequence[Tag] = (),
    is_permanent: bool = False,
    ends_at: datetime | None = None,
    gives: tuple[str, int] | None = None,
) -> list[Touchpoint]:
    """Make the codes of a batch, each below its store's place; what exists already is left alone.

    What exists is looked at again: the same batch may have been made since it was planned. Only rows are written:
    `make_codes` asks WeChat afterwards. Raises `PermanentCodesUsedUp`, `NotInTree`.
    """
    _lock_tree()
    _check_parent(parent, levels=2 if any(each.store for each in plan) else 1)
    there = _codes_below(parent)
    wanted = [
        each for each in plan if not each.exists and (each.store.pk if each.store else None, each.name) not in there
    ]
    if is_permanent and permanent_codes_left(account) < len(wanted):
        raise PermanentCodesUsedUp(str(account))
    places = _places(wanted, parent, at)
    benefit_kind, benefit_id = gives or ("", None)
    made = Touchpoint.objects.bulk_create(
        Touchpoint(
            name=each.name,
            parent=places[each.store.pk] if each.store else parent,
            account=account,
            store=each.store,
            welcome=each.welcome[:600],
            benefit=each.benefit[:120],
            is_permanent=is_permanent,
            scene=new_scene(),
            ends_at=ends_at,
            benefit_kind=benefit_kind,
            benefit_id=benefit_id,
            created_at=at,
        )
        for each in wanted
    )
    TouchpointTag.objects.bulk_create(
        TouchpointTag(touchpoint=each, tag=tag)
        for each, planned in zip(made, wanted, strict=True)
        for tag in {tag.pk: tag for tag in (*tags, *planned.tags)}.values()
    )
    if made:
        replies_changed(account_id=account.pk)
        record_audit(
            action="create channels",
            obj=made[0],
            changes={"count": [None, len(made)], "name": [None, [each.name for each in made[:20]]]},
        )
    return made


def _places(plan: Sequence[PlannedCode], parent: Touchpoint | None, at: datetime) -> dict[int, Touchpoint]:
    """Give each store's place below the parent; those that are missing are made."""
    stores = {each.store.pk: each.store for each in plan if each.store}
    known = Touchpoint.objects.filter(parent=parent, scene="", store_id__in=stores, archived_at__isnull=True)
    places = {row.store_id: row for row in known.order_by("-pk") if row.store_id is not None}
    missing = [store for pk, store in stores.items() if pk not in places]
    for row in Touchpoint.objects.bulk_create(
        Touchpoint(name=store.name, parent=parent, store=store, created_at=at) for store in missing
    ):
        places[row.store_id or 0] = row
    return places


# --- moves and archiving ---------------------------------------------------------------------------------------------


@transaction.atomic
def move_branch(*, touchpoint: Touchpoint, parent: Touchpoint | None, at: datetime, restates: bool) -> Move | None:
    """Hang a branch elsewhere. With `restates` the past is counted at the new place, else where it stood then.

    Gives None when it stands there already. Raises `NotInTree` for a place below itself, archived or too deep.
    """
    nodes = {node.pk: node for node in _locked_tree()}
    node = nodes[touchpoint.pk]
    before = nodes.get(node.parent_id or 0)
    if node.parent_id == (parent.pk if parent else None):
        return None
    _check_place(nodes, touchpoint.pk, parent)
    move = Move.objects.create(
        touchpoint=touchpoint,
        before_id=node.parent_id,
        after=parent,
        restates=restates,
        at=at,
    )
    touchpoint.parent = parent
    Touchpoint.objects.filter(pk=touchpoint.pk).update(parent=parent)
    record_audit(
        action="move channel",
        obj=touchpoint,
        changes={"parent": [before.name if before else None, parent.name if parent else None]},
        reason=_("the past counts at the new place") if restates else _("the past stays where it was"),
    )
    return move


def _check_place(nodes: dict[int, Node], moved: int, parent: Touchpoint | None) -> None:
    if parent is None:
        return
    branch = below(nodes.values(), moved)
    if parent.pk in branch:
        raise NotInTree(_("A channel cannot stand below itself."))
    _refuse_codes(parent.name, parent.scene, parent.origin)
    line = path_of({node.pk: node.parent_id for node in nodes.values()}, parent.pk)
    _refuse_archived((nodes[pk].name, nodes[pk].archived_at) for pk in line)
    deepest = max(_depth(nodes, pk) for pk in branch) - _depth(nodes, moved)
    if _depth(nodes, parent.pk) + 1 + deepest > DEEPEST:
        raise NotInTree(_("The tree would be deeper than %(levels)s levels.") % {"levels": DEEPEST})


def _depth(nodes: dict[int, Node], pk: int) -> int:
    return len(path_of({node.pk: node.parent_id for node in nodes.values()}, pk))


def _check_parent(parent: Touchpoint | None, *, levels: int = 1) -> None:
    """Refuse a place that can have nothing below it, as it is now that the tree is locked."""
    if parent is None:
        return
    _refuse_codes(*Touchpoint.objects.values_list("name", "scene", "origin").get(pk=parent.pk))
    line: dict[int, tuple[str, datetime | None]] = {}
    node: int | None = parent.pk
    while node is not None and node not in line:
        rows = Touchpoint.objects.values_list("name", "archived_at", "parent_id")
        name, archived_at, above = rows.get(pk=node)
        line[node] = (name, archived_at)
        node = above
    _refuse_archived(line.values())
    if len(line) + levels > DEEPEST:
        raise NotInTree(_("The tree would be deeper than %(levels)s levels.") % {"levels": DEEPEST})


def _refuse_codes(name: str, scene: str, origin: str) -> None:
    """Refuse a place by which people come."""
    if scene:
        raise NotInTree(_("“%(name)s” is a code, and nothing stands below a code.") % {"name": name})
    if is_way(origin):
        raise NotInTree(_("“%(name)s” is a way by which people come, and nothing stands below it.") % {"name": name})


def _refuse_archived(line: Iterable[tuple[str, datetime | None]]) -> None:
    """Refuse a place that is out of use, or stands below one that is: what hangs there would be out of sight."""
    for name, archived_at in line:
        if archived_at is not None:
            raise NotInTree(_("“%(name)s” is archived, and nothing new stands below it.") % {"name": name})


def _lock_tree() -> None:
    """Make whoever else changes the shape of the brand's tree wait until this transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"channel tree {current_brand_id()}"])


def _locked_tree() -> list[Node]:
    """Give the tree as it stays until this transaction ends."""
    _lock_tree()
    return tree_nodes()


@transaction.atomic
def archive_branch(*, touchpoint: Touchpoint, at: datetime) -> int:
    """Take a channel and everything below it out of use. Scans are still kept and explained; codes set nothing off."""
    branch = below(_locked_tree(), touchpoint.pk)
    rows = Touchpoint.objects.filter(pk__in=branch, archived_at__isnull=True)
    gone = rows.update(archived_at=at, is_active=False)
    _replies_changed_below(branch)
    record_audit(action="archive channel", obj=touchpoint, changes={"archived_at": [None, str(at)]})
    return gone


@transaction.atomic
def restore_branch(*, touchpoint: Touchpoint, at: datetime) -> int:
    """Bring back what was archived together with a channel, and the places above it."""
    nodes = {node.pk: node for node in _locked_tree()}
    branch = below(nodes.values(), touchpoint.pk)
    together = [pk for pk in branch if nodes[pk].archived_at == nodes[touchpoint.pk].archived_at]
    above = path_of({node.pk: node.parent_id for node in nodes.values()}, touchpoint.pk)[:-1]
    back = Touchpoint.objects.filter(pk__in=[*together, *above], archived_at__isnull=False).update(
        archived_at=None, is_active=True
    )
    _replies_changed_below(together)
    record_audit(action="restore channel", obj=touchpoint, changes={"archived_at": ["", None]})
    return back


def _replies_changed_below(touchpoint_ids: Sequence[int] | set[int]) -> None:
    accounts = Touchpoint.objects.filter(pk__in=touchpoint_ids, account__isnull=False)
    for account_id in accounts.order_by("account_id").values_list("account_id", flat=True).distinct():
        replies_changed(account_id=account_id or 0)


# --- costs -----------------------------------------------------------------------------------------------------------


def add_cost(
    *, touchpoint: Touchpoint, amount: int, starts_on: date, ends_on: date, at: datetime, note: str = ""
) -> Cost:
    """Note what a channel cost from one day to another (both included), in fen. Raises `NotInTree`."""
    if not 0 <= amount <= LARGEST_COST:
        raise NotInTree(_("The amount is not usable. Write it in yuan, such as 1200 or 1200.50."), field="amount")
    if ends_on < starts_on:
        raise NotInTree(_("The last day is before the first."), field="ends_on")
    cost = Cost.objects.create(
        touchpoint=touchpoint, amount=amount, starts_on=starts_on, ends_on=ends_on, note=note[:60], created_at=at
    )
    record_audit(action="add channel cost", obj=touchpoint, changes={"amount": [None, amount], "note": [None, note]})
    return cost


def remove_cost(*, cost: Cost) -> None:
    """Take a cost out again."""
    record_audit(action="remove channel cost", obj=cost.touchpoint, changes={"amount": [cost.amount, None]})
    cost.delete()
