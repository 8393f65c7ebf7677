"""Words for what the audit log stores: actions, kinds of objects, fields and their values."""

from __future__ import annotations

import contextlib
import datetime as dt
from typing import Any

from django.apps import apps
from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.utils.translation import gettext, gettext_lazy, gettext_noop

from console import formats

#: What Django says after saving, in the console's own words: our catalogue comes before Django's.
SAVED = (
    gettext_noop("The {name} “{obj}” was added successfully."),
    gettext_noop("The {name} “{obj}” was changed successfully."),
    gettext_noop("The %(name)s “%(obj)s” was deleted successfully."),
)

ACTIONS: dict[str, Any] = {
    "add": gettext_lazy("Create"),
    "change": gettext_lazy("Change"),
    "delete": gettext_lazy("Delete"),
    "reveal": gettext_lazy("Reveal phone number"),
    "sealed value refused": gettext_lazy("A sealed value did not open"),
    "close incident": gettext_lazy("End incident"),
    "look up phone": gettext_lazy("Search by full phone number"),
    "check connection": gettext_lazy("Check connection"),
    "authorise account": gettext_lazy("Connect account by scanning"),
    "authorisation taken back": gettext_lazy("Authorisation taken back"),
    "erase person": gettext_lazy("Delete personal data"),
    "change erasure grace": gettext_lazy("Change days of grace"),
    "ask about data": gettext_lazy("Take down a request about data"),
    "fetch copy": gettext_lazy("Fetch copy of personal data"),
    "answer request": gettext_lazy("Answer request about data"),
    "refuse request": gettext_lazy("Refuse request about data"),
    "hold person": gettext_lazy("Put under legal hold"),
    "end hold": gettext_lazy("End legal hold"),
    "mark under 14": gettext_lazy("Mark as under 14"),
    "create topic": gettext_lazy("Create topic"),
    "change topic": gettext_lazy("Change topic"),
    "add purpose": gettext_lazy("Add purpose"),
    "write consent text": gettext_lazy("Publish consent text"),
    "grant role": gettext_lazy("Grant role"),
    "change role": gettext_lazy("Change role"),
    "revoke role": gettext_lazy("Take role away"),
    "issue key": gettext_lazy("Issue API key"),
    "revoke key": gettext_lazy("Revoke API key"),
    "rotate data key": gettext_lazy("Begin with another data key"),
    "retire data key": gettext_lazy("Retire earlier data key"),
    "connect account": gettext_lazy("Connect account"),
    "disconnect account": gettext_lazy("Disconnect account"),
    "connect mini program": gettext_lazy("Connect mini-program"),
    "change AppSecret": gettext_lazy("Change AppSecret"),
    "change message keys": gettext_lazy("Rotate message keys"),
    "change callback address": gettext_lazy("Change callback address"),
    "resume calls": gettext_lazy("Let calls go on"),
    "replay push": gettext_lazy("Handle push again"),
    "set push aside": gettext_lazy("Set push aside"),
    "create tag": gettext_lazy("Create tag"),
    "delete tag at WeChat": gettext_lazy("Delete tag at WeChat"),
    "make tag at WeChat again": gettext_lazy("Make tag at WeChat again"),
    "change tag": gettext_lazy("Change tag"),
    "create tag group": gettext_lazy("Create tag group"),
    "change tag group": gettext_lazy("Change tag group"),
    "create tag rule": gettext_lazy("Create automatic tag"),
    "change tag rule": gettext_lazy("Change automatic tag"),
    "remove tag rule": gettext_lazy("Remove automatic tag"),
    "create grouping": gettext_lazy("Create grouping"),
    "change grouping": gettext_lazy("Change grouping"),
    "pre-tag": gettext_lazy("Tag people before they come"),
    "suppress member": gettext_lazy("Put on the do-not-send list"),
    "release member": gettext_lazy("Take off the do-not-send list"),
    "change control group": gettext_lazy("Change control group"),
    "tag members": gettext_lazy("Add tag"),
    "untag members": gettext_lazy("Remove tag"),
    "change text messages": gettext_lazy("Change text messages"),
    "join at counter": gettext_lazy("Join at the counter"),
    "bind phone": gettext_lazy("Bind phone"),
    "change profile": gettext_lazy("Change profile"),
    "merge members": gettext_lazy("Merge members"),
    "create profile field": gettext_lazy("Create profile field"),
    "change profile field": gettext_lazy("Change profile field"),
    "set flag": gettext_lazy("Leave out"),
    "clear flag": gettext_lazy("Let in again"),
    "undo merge": gettext_lazy("Undo merge"),
    "keep members apart": gettext_lazy("Keep members apart"),
    "free phone": gettext_lazy("Give a phone number up"),
    "link identity": gettext_lazy("Link identity"),
    "end identity": gettext_lazy("End identity"),
    "identity conflict": gettext_lazy("Identity conflict"),
    "save segment": gettext_lazy("Save segment"),
    "create segment": gettext_lazy("Create segment"),
    "change segment": gettext_lazy("Change segment"),
    "assign guide": gettext_lazy("Assign guide"),
    "change rules of guides": gettext_lazy("Change rules of exclusive guides"),
    "hand members over": gettext_lazy("Hand members over"),
    "adjust points": gettext_lazy("Adjust points"),
    "ask for points": gettext_lazy("Ask for a points adjustment"),
    "approve points": gettext_lazy("Approve a points adjustment"),
    "reject points": gettext_lazy("Reject a points adjustment"),
    "change points settings": gettext_lazy("Change points settings"),
    "change birthday benefit": gettext_lazy("Change birthday benefit"),
    "create earn rule": gettext_lazy("Create earn rule"),
    "change earn rule": gettext_lazy("Change earn rule"),
    "activate earn rule": gettext_lazy("Turn earn rule on"),
    "stop earn rule": gettext_lazy("Turn earn rule off"),
    "change invitation programme": gettext_lazy("Change invitation programme"),
    "approve invitation": gettext_lazy("Reward a held invitation"),
    "refuse invitation": gettext_lazy("Refuse an invitation"),
    "lock tier": gettext_lazy("Lock tier"),
    "unlock tier": gettext_lazy("Unlock tier"),
    "create channel": gettext_lazy("Create channel"),
    "renew code": gettext_lazy("Make channel code"),
    "change opening hours": gettext_lazy("Change opening hours"),
    "create rule": gettext_lazy("Create rule"),
    "change rule": gettext_lazy("Change rule"),
    "change menu draft": gettext_lazy("Change menu draft"),
    "change notification of news": gettext_lazy("Change by what a kind of news is told"),
    "change words of news": gettext_lazy("Change in which words a kind of news is told"),
    "publish menu": gettext_lazy("Publish menu"),
    "tag for menus again": gettext_lazy("Tag people for their menus again"),
    "create campaign": gettext_lazy("Create campaign"),
    "change campaign": gettext_lazy("Change campaign"),
    "launch campaign": gettext_lazy("Start sending"),
    "schedule campaign": gettext_lazy("Schedule campaign"),
    "unschedule campaign": gettext_lazy("Take campaign off the schedule"),
    "pause campaign": gettext_lazy("Pause sending"),
    "resume campaign": gettext_lazy("Resume sending"),
    "stop campaign": gettext_lazy("Stop sending"),
    "park campaign": gettext_lazy("Park campaign"),
    "retry failed": gettext_lazy("Retry failures only"),
    "send test": gettext_lazy("Send test"),
    "sync templates": gettext_lazy("Synchronise templates"),
    "transfer conversation": gettext_lazy("Transfer conversation"),
    "go on duty": gettext_lazy("Go on duty"),
    "go off duty": gettext_lazy("Go off duty"),
    "change retention": gettext_lazy("Change retention"),
    "change promise": gettext_lazy("Change what is promised outside service hours"),
    "change resolving": gettext_lazy("Change when conversations are resolved"),
    "resolve conversations": gettext_lazy("Resolve quiet conversations"),
    "upload table": gettext_lazy("Upload table"),
    "try import out": gettext_lazy("Try import out"),
    "start import": gettext_lazy("Start import"),
    "finish import": gettext_lazy("Import finished"),
    "stop import": gettext_lazy("Stop import"),
    "undo import": gettext_lazy("Undo import"),
    "finish undoing import": gettext_lazy("Import undone"),
    "download import errors": gettext_lazy("Download rows with errors"),
    "ask for export": gettext_lazy("Export members"),
    "download export": gettext_lazy("Download export"),
    "download who saw what": gettext_lazy("Download who saw what"),
    "download breach report": gettext_lazy("Download report of an incident"),
    "add file": gettext_lazy("Add file"),
    "put file away": gettext_lazy("Put file away"),
    "keep file for good": gettext_lazy("Keep file for good at WeChat"),
    "file gone at WeChat": gettext_lazy("File no longer at WeChat"),
    "take file away": gettext_lazy("Take file away from WeChat"),
    "move channel": gettext_lazy("Move channel"),
    "archive channel": gettext_lazy("Archive channel"),
    "restore channel": gettext_lazy("Restore channel"),
    "create channels": gettext_lazy("Create channels"),
    "add channel cost": gettext_lazy("Add cost of channel"),
    "remove channel cost": gettext_lazy("Remove cost of channel"),
    "change code allowance": gettext_lazy("Change code allowance"),
    "create mini-program code": gettext_lazy("Create mini-program code"),
    "revoke mini-program code": gettext_lazy("Revoke mini-program code"),
    "mark staff": gettext_lazy("Mark as staff"),
    "unmark staff": gettext_lazy("Unmark as staff"),
    "change JS-safe domains": gettext_lazy("Change JS-safe domains"),
    "schedule menu": gettext_lazy("Schedule menu"),
    "cancel menu": gettext_lazy("Take menu off the schedule"),
    "compare menu": gettext_lazy("Compare menu with WeChat"),
    "change personalised menu": gettext_lazy("Change personalised menu"),
    "import rules": gettext_lazy("Import rules"),
    "leave suggestion aside": gettext_lazy("Leave suggestion aside"),
    "create dialogue": gettext_lazy("Create dialogue"),
    "change dialogue": gettext_lazy("Change dialogue"),
    "create sequence": gettext_lazy("Create sequence"),
    "change sequence": gettext_lazy("Change sequence"),
    "send notice": gettext_lazy("Send notice"),
    "create coupon template": gettext_lazy("Create coupon"),
    "change coupon template": gettext_lazy("Change coupon"),
    "activate coupon template": gettext_lazy("Put coupon on offer"),
    "stop coupon template": gettext_lazy("Stop coupon"),
    "give coupon": gettext_lazy("Give coupon"),
    "push coupons": gettext_lazy("Push coupons"),
    "stop coupon push": gettext_lazy("Stop giving coupons to a segment"),
    "change coupon of a tier": gettext_lazy("Change coupon of a tier"),
    "change coupon after a purchase": gettext_lazy("Change coupon after a purchase"),
    "take coupon back": gettext_lazy("Void coupon"),
    "undo redemption": gettext_lazy("Undo redemption"),
    "make coupon codes": gettext_lazy("Make coupon codes"),
    "stop coupon codes": gettext_lazy("Stop coupon codes"),
    "download coupon codes": gettext_lazy("Download coupon codes"),
}
VIAS: dict[str, Any] = {
    "console": gettext_lazy("Console"),
    "api": gettext_lazy("API"),
    "worker": gettext_lazy("Automatic"),
    "command": gettext_lazy("Command"),
}


def action_label(action: str) -> str:
    """Give the words of an action; unknown ones as they are stored."""
    return str(ACTIONS.get(action, action))


def via_label(via: str) -> str:
    """Give through what something was done."""
    return str(VIAS.get(via, via))


def model_of(object_type: str) -> type[models.Model] | None:
    """Give the model of `app.model`, or None when it is gone."""
    try:
        return apps.get_model(object_type)
    except (LookupError, ValueError):
        return None


def kind_label(object_type: str) -> str:
    """Give the name of a kind of object."""
    model = model_of(object_type)
    return str(model._meta.verbose_name) if model else object_type


def change_rows(entry: Any) -> list[dict[str, str]]:
    """Give (field, before, after) of an audit entry in words."""
    model = model_of(entry.object_type)
    rows = []
    for name, pair in (entry.changes or {}).items():
        before, after = pair if isinstance(pair, list) and len(pair) == 2 else (None, pair)
        field = _field(model, name)
        label = _label(field, name)
        rows.append({"label": label, "before": _value(field, before), "after": _value(field, after)})
    return rows


def _field(model: type[models.Model] | None, name: str) -> Any:
    if model is None:
        return None
    try:
        return model._meta.get_field(name)
    except FieldDoesNotExist:
        return None


def _label(field: Any, name: str) -> str:
    if field is not None and hasattr(field, "verbose_name"):
        return str(field.verbose_name)
    sign = {"+": gettext("added"), "-": gettext("removed"), "~": gettext("changed")}.get(name[-1:], "")
    if sign:
        for model in apps.get_models():
            if model._meta.model_name == name[:-1]:
                return f"{model._meta.verbose_name} ({sign})"
    return gettext(name) if name else name


def _value(field: Any, value: Any) -> str:
    if value is None or value == "":
        return formats.NOTHING
    if isinstance(value, bool):
        return gettext("Yes") if value else gettext("No")
    if isinstance(value, list):
        between = "\n" if any(isinstance(item, dict) for item in value) else gettext(", ")
        return between.join(_value(None, item) for item in value) or formats.NOTHING
    if isinstance(value, dict):
        return gettext(", ").join(f"{WORDS.get(key, key)}: {_value(None, item)}" for key, item in value.items())
    return _of_field(field, value)


# Keys and values of stored rules and menus.
WORDS: dict[str, Any] = {
    "name": gettext_lazy("name"),
    "type": gettext_lazy("action"),
    "key": gettext_lazy("key"),
    "url": gettext_lazy("address"),
    "text": gettext_lazy("text"),
    "sub_button": gettext_lazy("submenu"),
    "click": gettext_lazy("tap"),
    "view": gettext_lazy("web page"),
    "miniprogram": gettext_lazy("mini-program"),
}


def _of_field(field: Any, value: Any) -> str:
    if field is not None and getattr(field, "flatchoices", None):
        return str(dict(field.flatchoices).get(value, value))
    if isinstance(field, models.DateTimeField) and isinstance(value, str):
        with contextlib.suppress(ValueError):
            return formats.local_time(dt.datetime.fromisoformat(value))
    return str(WORDS.get(value, value)) if field is None and isinstance(value, str) else str(value)


SOURCES: dict[str, Any] = {
    "code": gettext_lazy("channel code"),
    "staff": gettext_lazy("staff"),
    "push": gettext_lazy("push of WeChat"),
    "user info": gettext_lazy("profile at WeChat"),
    "wechat": gettext_lazy("WeChat"),
    "rule": gettext_lazy("rule"),
    "import": gettext_lazy("import"),
    "shop": gettext_lazy("shop"),
    "merge": gettext_lazy("merge"),
    "flag": gettext_lazy("left out"),
    "test": gettext_lazy("test person"),
    "blocked": gettext_lazy("blocked person"),
    "replay_inbound": gettext_lazy("handled again by command"),
    "mini-program log-in": gettext_lazy("mini-program sign-in"),
    "mini-program": gettext_lazy("mini-program"),
    "mini program": gettext_lazy("mini-program"),
    "guide": gettext_lazy("guide"),
    "joined": gettext_lazy("joined in the store"),
    "text message": gettext_lazy("code by text message"),
    "member": gettext_lazy("the member"),
    "wecom": gettext_lazy("WeCom"),
    "typed": gettext_lazy("typed by hand"),
    "API": gettext_lazy("API"),
    "api": gettext_lazy("API"),
    "demo": gettext_lazy("sample data"),
    "list": gettext_lazy("list"),
    "expired": gettext_lazy("end of its days"),
    "exclusive group": gettext_lazy("exclusive tag group"),
}


TIES: dict[str, Any] = {
    "phone": gettext_lazy("same phone"),
    "unionid": gettext_lazy("same UnionID"),
    "card": gettext_lazy("same card"),
}
NESTED = ("merge", "flag")  # the name behind these is a source itself


def source_label(source: str) -> str:
    """Give where something came from in words: "code: Jing'an" is 渠道码「静安」."""
    kind, separator, name = source.partition(": ")
    if not separator and source.endswith(")") and " (" in source:  # what ties two people, and where it came from
        tie, _open, origin = source[:-1].partition(" (")
        return gettext("%(what)s (%(source)s)") % {"what": TIES.get(tie, tie), "source": source_label(origin)}
    label = SOURCES.get(kind) or SOURCES.get(kind.rstrip("0123456789").removesuffix(" "))  # "import 12"
    if label is None:
        return source
    if not separator:
        return str(label)
    return gettext("%(kind)s “%(name)s”") % {"kind": label, "name": source_label(name) if kind in NESTED else name}
