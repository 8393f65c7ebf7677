"""The pages of the inbox, as they are put into the console."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from console.registry import Page, Tab, nav, pages
from inbox.views import acts, card, lists, promise, resolving, retention, speed, thread

_AREA = "inbox"
_ONE = "inbox/<int:pk>/"

for _page in (
    Page("inbox/", lists.index, "inbox_list", _AREA),
    Page("inbox/rows/", lists.rows, "inbox_rows", _AREA),
    Page("inbox/tasks/", lists.tasks, "inbox_tasks", _AREA, "edit"),
    Page("inbox/canned/", lists.canned, "inbox_canned", _AREA),
    Page("inbox/speed/", speed.speed, "inbox_speed", _AREA),
    Page("inbox/promise/", promise.promise, "inbox_promise", "agents"),
    Page("inbox/resolving/", resolving.resolving, "inbox_resolving", "agents"),
    Page("inbox/retention/", retention.retention, "kept_conversations", "privacy"),
    Page("inbox/duty/", acts.duty, "inbox_duty", _AREA, "edit"),
    Page("inbox/tasks/<int:task_id>/done/", acts.task_done, "inbox_task_done", _AREA, "edit"),
    Page(_ONE, thread.show, "inbox_conversation", _AREA),
    Page(f"{_ONE}poll/", thread.poll, "inbox_poll", _AREA),
    Page(f"{_ONE}card/", card.card, "inbox_card", _AREA),
    Page(f"{_ONE}say/", acts.say, "inbox_say", _AREA, "edit"),
    Page(f"{_ONE}step/", acts.step, "inbox_step", _AREA, "edit"),
    Page(f"{_ONE}lines/<int:line_id>/allowed/", thread.allowed, "inbox_allowed", _AREA),
    Page(f"{_ONE}files/<int:line_id>/", thread.file, "inbox_file", _AREA),
):
    pages.register(_page.name, _page)
nav.register("inbox.list", Tab("inbox", _("Inbox"), "inbox_list", _AREA, 1, prefix="inbox_"))
nav.register("inbox.promise", Tab("inbox", _("Promise"), "inbox_promise", "agents", 81))
nav.register("inbox.resolving", Tab("inbox", _("Resolving"), "inbox_resolving", "agents", 82))
nav.register("inbox.retention", Tab("settings", _("Retention"), "kept_conversations", "privacy", 46))
