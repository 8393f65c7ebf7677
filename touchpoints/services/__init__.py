"""Changes to the channel tree, its codes, and what a scan does."""

from touchpoints.services.codes import issue_code, keep_code, make_codes, mark_printed, renew_codes
from touchpoints.services.mini_codes import create_mini_code, draw_mini_code, redraw_mini_code, revoke_mini_code
from touchpoints.services.touches import (
    mark_staff,
    move_staff_marks,
    move_touches,
    on_touch,
    record_touch,
    record_unfollow,
    unmark_staff,
)
from touchpoints.services.tree import (
    PlannedCode,
    add_cost,
    archive_branch,
    create_touchpoint,
    create_touchpoints,
    move_branch,
    new_scene,
    plan_codes,
    remove_cost,
    replies_changed,
    restore_branch,
    set_tags,
)

__all__ = [
    "PlannedCode",
    "add_cost",
    "archive_branch",
    "create_mini_code",
    "create_touchpoint",
    "create_touchpoints",
    "draw_mini_code",
    "issue_code",
    "keep_code",
    "make_codes",
    "mark_printed",
    "mark_staff",
    "move_branch",
    "move_staff_marks",
    "move_touches",
    "new_scene",
    "on_touch",
    "plan_codes",
    "record_touch",
    "record_unfollow",
    "redraw_mini_code",
    "remove_cost",
    "renew_codes",
    "replies_changed",
    "restore_branch",
    "revoke_mini_code",
    "set_tags",
    "unmark_staff",
]
