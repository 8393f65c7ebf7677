"""Ways in which an admin site is known to tell of other tenants' rows, tried on every registered model.

Stock Django with nothing but filtered lists leaked by twelve of twenty of these. Each probe sends something that names
B's row and the same naming no row; the answers must be equal and show no canary. A probe that finds nothing to hold on
to (no such page, no such field) proves that there is nothing, and says so.
"""

import re
from collections import Counter
from dataclasses import replace

from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import models

from accounts.models import StaffUser
from accounts.tenancy import BrandOwned, brand_scope
from console.site import site
from stores.models import Store
from tests.isolation.matrix.console import BASE, MARKS, THOROUGH, alive, difference, missing_like, same
from tests.isolation.matrix.forms import Reader, plain
from tests.isolation.world import CANARY, Follower, Member, everything_of

ASKERS = ["owner", "marketer", "agency"] if THOROUGH else ["owner"]


class Probe:
    """One model as one person sees it."""

    def __init__(self, matrix, cells, role, model, admin):
        self.world, self.cells, self.model, self.admin = matrix.world, cells, model, admin
        self.asker = matrix.askers[role]
        # the agency is tried with rows of C, where it has a role of its own
        self.other = matrix.world.c if role == "agency" else matrix.world.b
        self.base = f"{BASE}{model._meta.app_label}/{model._meta.model_name}/"
        self.own = matrix.world.a.near[model]
        self.theirs = self.other.near[model].pk
        self.nobody = missing_like(self.theirs)
        self.named = Counter()  # by the name of the probe: how often it was tried

    def compare(self, probe, ask, theirs=None, nobody=None):
        """Ask with B's and with nobody's."""
        pair = (theirs or self.theirs, nobody or self.nobody)
        answers = []
        self.named[probe] += 1
        for value in pair:
            heard = ask(value)
            shown = heard.without(value).names(*MARKS)
            self.cells.expect(
                not shown and alive(heard), self.asker.name, self.model.__name__, probe, saw=f"{heard.status} {shown}"
            )
            answers.append(heard.without(value))
        self.cells.expect(
            same(*answers), self.asker.name, self.model.__name__, probe, "like none", saw=difference(*answers)
        )

    def get(self, path, **query):
        return self.asker.ask("GET", path, query)

    def post(self, path, **data):
        return self.asker.ask("POST", path, data)

    def nothing(self, probe, fine, saw=""):
        """The thing the probe would hold on to is not there."""
        self.named[probe] += 1
        self.cells.expect(fine, self.asker.name, self.model.__name__, probe, saw=saw)


def rows(probe):
    heard = probe.get(probe.base)
    probe.nothing("rows", not heard.names(*MARKS), heard.names(*MARKS))


def search(probe):
    far = probe.other.far
    for theirs, nobody in (
        (CANARY, "QXZCANARY"),
        (number := far[Member].member_no, f"99{number[2:]}"),  # of the same shape: letters are looked up elsewhere
        (tail := far[Follower].openid[-8:], f"99{tail[2:]}"),
        (far[Member].phone_tail or "0002", "9182"),
    ):
        if theirs != probe.world.a.far[Member].phone_tail:
            probe.compare("search", lambda term: probe.get(probe.base, q=term), theirs, nobody)


def filters_with_a_foreign_value(probe):
    for each in probe.admin.list_filter:
        name = getattr(each, "parameter_name", f"{each}__exact")
        probe.compare(f"filter {name}", lambda value, name=name: probe.get(probe.base, **{name: value}))


def filter_choices(probe):
    reader = Reader()
    reader.feed(probe.get(probe.base).text)
    offered = {each for form in reader.forms for values in form["choices"].values() for each in values}
    probe.nothing("filter choices", not offered & ids_of(probe.other), offered & ids_of(probe.other))


def date_hierarchy(probe):
    probe.nothing("date hierarchy", probe.admin.date_hierarchy is None)
    probe.compare("date ranges", lambda year: probe.get(probe.base, created_at__year=year), "2026", "1999")


def search_over_relations(probe):
    probe.nothing("search over relations", not any("__" in each for each in probe.admin.search_fields))


def arbitrary_look_ups(probe):
    for theirs, nobody in (("zaoshan", "nobodyx"), (CANARY, "QXZCANARY")):
        probe.compare("look-up brand", lambda value: probe.get(probe.base, brand__slug=value), theirs, nobody)
    for field in probe.model._meta.fields:
        if field.remote_field is not None and field.name != "brand":
            target = probe.other.near.rows.get(field.remote_field.model)
            if target is not None:
                probe.compare(
                    f"look-up {field.name}",
                    lambda value, name=field.name: probe.get(probe.base, **{f"{name}__id": value}),
                    target.pk,
                    missing_like(target.pk),
                )


def list_editable(probe):
    probe.nothing("list editable", not probe.admin.list_editable)
    probe.compare(
        "list editable post",
        lambda key: probe.post(
            probe.base,
            **{"form-TOTAL_FORMS": 1, "form-INITIAL_FORMS": 1, "form-0-id": key, "form-0-name": "x", "_save": "Save"},
        ),
    )


def pages_of_a_row(probe):
    if not THOROUGH:
        probe.cells.skip("asked by address in the same run")
        return
    for page in ("change", "history", "delete", ""):
        path = probe.base + "{}/" + (f"{page}/" if page else "")
        probe.compare(f"page {page or 'jump'}", lambda key, path=path: probe.get(path.format(key)))
        probe.compare(
            f"post {page or 'jump'}", lambda key, path=path: probe.post(path.format(key), post="yes", name="x")
        )


def delete_confirmation(probe):
    for answer in (
        probe.get(f"{probe.base}{probe.own.pk}/delete/"),
        probe.post(f"{probe.base}{probe.own.pk}/delete/", post="yes"),
    ):
        probe.nothing("delete confirmation, protected rows", not answer.names(*MARKS), answer.names(*MARKS))


def ids_of(furnished):
    return {str(row.pk) for side in (furnished.near, furnished.far) for row in side.rows.values()}


def form_choices(probe):
    for path in (f"{probe.base}add/", f"{probe.base}{probe.own.pk}/change/"):
        heard = probe.get(path)
        reader = Reader()
        reader.feed(heard.text)
        offered = {each for form in reader.forms for values in form["choices"].values() for each in values}
        found = offered & (ids_of(probe.other) | {str(user.pk) for user in probe.world.b.people.values()})
        probe.nothing("choices and labels of a form", not found and not heard.names(*MARKS), found)


def foreign_key_through_a_form(probe):
    """Post of a foreign id through FK, M2M, radio, raw id and autocomplete fields, and through inlines."""
    for path in (f"{probe.base}add/", f"{probe.base}{probe.own.pk}/change/"):
        heard = probe.get(path)
        page = probe.asker.last.context
        form = page.get("adminform") if heard.status == 200 and page is not None else None
        if form is None:
            probe.cells.skip("no form here: nothing can be posted through it")
            continue
        reader = Reader()
        reader.feed(heard.text)
        largest = max(reader.forms, key=lambda each: len(each["fields"]), default={"fields": {}})
        data = {name: values if len(values) > 1 else values[0] for name, values in largest["fields"].items() if values}
        for name, field in form.form.fields.items():
            target = getattr(getattr(field, "queryset", None), "model", None)
            if target is not None:
                post_through(probe, path, data, name, target)
        for inline in page.get("inline_admin_formsets") or ():
            post_through_inline(probe, path, data, inline)


def post_through(probe, path, data, name, target):
    theirs = probe.world.b.people["owner"].pk if target is StaffUser else probe.other.near[target].pk
    probe.compare(
        f"{plain(path)} {name}", lambda key: probe.post(path, **data | {name: key}), theirs, missing_like(theirs)
    )


def post_through_inline(probe, path, data, inline):
    prefix, model = inline.formset.prefix, inline.formset.model
    theirs = probe.other.near[model].pk
    parent = inline.formset.fk.name
    counted = {f"{prefix}-TOTAL_FORMS": 1, f"{prefix}-INITIAL_FORMS": 1}
    probe.compare(
        f"{plain(path)} inline row",
        lambda key: probe.post(path, **data | counted | {f"{prefix}-0-id": key, f"{prefix}-0-DELETE": "on"}),
        theirs,
        missing_like(theirs),
    )
    probe.compare(
        f"{plain(path)} inline parent",
        lambda key: probe.post(
            path, **data | {f"{prefix}-TOTAL_FORMS": 1, f"{prefix}-INITIAL_FORMS": 0, f"{prefix}-0-{parent}": key}
        ),
    )
    with brand_scope(probe.world.a.brand.pk):
        fields = inline.formset.empty_form.fields
    for name, field in fields.items():
        target = getattr(getattr(field, "queryset", None), "model", None)
        if target is not None and issubclass(target, BrandOwned) and name != parent:
            key = probe.other.near[target].pk
            probe.compare(
                f"{plain(path)} extra row {name}",
                lambda key, name=name: probe.post(
                    path,
                    **data | {f"{prefix}-TOTAL_FORMS": 1, f"{prefix}-INITIAL_FORMS": 0, f"{prefix}-0-{name}": key},
                ),
                key,
                missing_like(key),
            )


def raw_id_and_autocomplete(probe):
    probe.nothing("raw id labels", not probe.admin.raw_id_fields)
    for field in probe.model._meta.fields:
        if field.remote_field is None:
            continue
        query = {
            "app_label": probe.model._meta.app_label,
            "model_name": probe.model._meta.model_name,
            "field_name": field.name,
        }
        for term in ("", CANARY):
            heard = probe.get(f"{BASE}autocomplete/", **query, term=term)
            probe.nothing(f"autocomplete {field.name}", not heard.without(CANARY).names(*MARKS), heard.text[:80])


def pop_ups(probe):
    for query in ({"_popup": "1", "_to_field": "brand"}, {"_popup": "1", "_to_field": "id"}):
        probe.compare("pop-up", lambda key, query=query: probe.get(f"{probe.base}{key}/change/", **query))
        heard = probe.get(probe.base, **query)
        probe.nothing("pop-up list", not heard.names(*MARKS), heard.names(*MARKS))


def actions(probe):
    before, left = everything_of(probe.other.brand), []
    probe.asker.look = lambda: left.append(everything_of(probe.other.brand))
    for name in (*probe.admin.actions, "delete_selected"):
        for more in ({}, {"select_across": "1"}):
            probe.compare(
                f"action {name} {'on all' if more else ''}",
                lambda key, name=name, more=more: probe.post(
                    probe.base, action=name, _selected_action=[key], index="0", **more
                ),
            )
    probe.asker.look = None
    probe.nothing("rows of B after actions", left and all(each == before for each in left))


def export_and_import(probe):
    for page in ("export/", "import/", "process_import/", "export.csv"):
        heard = probe.get(probe.base + page)
        probe.nothing(f"{page} is no page", heard.status in {302, 403, 404} and not heard.names(*MARKS), heard.status)


# What makes an add form valid besides what it offers by itself and the unique column, which is the first of each.
FILLED = {
    "stores.Store": {"code": "", "name": "新店"},
    "stores.Region": {"name": ""},
    "members.ProfileField": {"label": "", "key": "fresh", "kind": "TEXT", "sources": "member"},
    "members.Tag": {"name": ""},
    "members.TagGroup": {"name": ""},
    "loyalty.EarnRule": {"name": "", "kind": "spend", "points": "1", "per_fen": "100"},
    "loyalty.Tier": {"name": "", "threshold": "77777"},
    "coupons.Template": {"name": "", "kind": "AMOUNT", "amount": "5", "days": "30"},
    "referrals.Programme": {"name": "", "first_day": "2026-12-01", "inviter_points": "10", "act": "JOIN"},
    "guides.Guide": {"staff_no": "", "name": "新导购", "store": Store},
    "inbox.CannedReply": {"shortcut": "", "title": "时间", "text": "十点"},
}
NOT_FREE = {
    "coupons.Push": "its key is drawn by the page",
    "inbox.ServiceHours": "days and hours are the same few in every brand",
    "touchpoints.Touchpoint": "its scene is drawn by the product",
}


def taken_elsewhere(probe):
    """What only B has used is free in A: it is accepted like what nobody has used, and the row is there."""
    heard, label = probe.get(f"{probe.base}add/"), probe.model._meta.label
    if heard.status != 200 or not probe.asker.last.context or "adminform" not in probe.asker.last.context:
        # the owner may add rows of each of these
        probe.cells.expect(probe.asker.name != "owner" or label not in FILLED, label, "no form", saw=heard.status)
        probe.cells.skip("no page to add rows: nothing can be taken")
        return
    reader = Reader()
    reader.feed(heard.text)
    largest = max(reader.forms, key=lambda each: len(each["fields"]))
    data = {name: values[0] for name, values in largest["fields"].items() if values}
    if label not in FILLED:
        keys = {
            name
            for constraint in probe.model._meta.constraints
            if isinstance(constraint, models.UniqueConstraint)
            for name in constraint.fields
            if name in {*largest["fields"], *largest["choices"]}
            and probe.model._meta.get_field(name).remote_field is None
        }
        if keys and label not in NOT_FREE:
            probe.cells.undeclare(f"unique columns of {label} in a form: {sorted(keys)}")
        return
    own = {
        name: probe.world.a.near[value].pk if isinstance(value, type) else value
        for name, value in FILLED[label].items()
    }
    name = next(iter(own))
    theirs = str(getattr(probe.other.far[probe.model], name))
    with brand_scope(probe.world.a.brand.pk):
        assert not probe.model.objects.filter(**{name: theirs}).exists()
    answers = []
    for value in (theirs, f"{theirs[:-1]}X"):
        there = []
        probe.asker.look = lambda value=value, there=there: there.append(is_there(probe, name, value))
        heard = probe.post(f"{probe.base}add/", **data | own | {name: value})
        probe.asker.look = None
        probe.nothing(f"taken {name}", heard.status == 302 and there == [True], f"{value} {heard.status} {there}")
        answers.append(replace(heard, headers=((re.sub(r"\d{5,}", "#", str(heard.headers)), ""),)).without(value))
    probe.nothing(f"taken {name} like none", same(*answers), difference(*answers))
    probe.cells.facts["accepted though another brand has it"] = probe.cells.facts.get(
        "accepted though another brand has it", 0
    ) + (answers[0].status == 302)


def is_there(probe, name, value):
    with brand_scope(probe.world.a.brand.pk):
        return probe.model.objects.filter(**{f"{name}__iexact": value}).exists()  # some are kept in small letters


def view_on_site_and_shortcut(probe):
    kind = ContentType.objects.get_for_model(probe.model).pk
    probe.nothing("view on site", not probe.admin.view_on_site)
    probe.compare("shortcut", lambda key: probe.get(f"{BASE}r/{kind}/{key}/"))
    heard = probe.get(f"{BASE}r/{kind}/{probe.own.pk}/")
    probe.nothing("shortcut to an own row", heard.status == 404, heard.status)


def recent_actions(probe):
    home = probe.get(BASE)
    probe.nothing("recent actions", not home.names(*MARKS), home.names(*MARKS))
    probe.nothing("Django's own log is empty", LogEntry.objects.count() == 0)


def pages_of_its_own(probe):
    """Further addresses of the model: each is one of the matrix already; no address outside its prefix."""
    for pattern in probe.admin.get_urls():
        probe.nothing("addresses of the model", pattern.callback is not None, pattern)


def save_as_new(probe):
    probe.nothing("save as new", not probe.admin.save_as)

    def ask(key):
        heard = probe.post(f"{probe.base}{key}/change/", _saveasnew="1", name="x")
        # Django adds a row then, whatever id was asked for; each has a number of its own.
        return replace(heard, headers=((re.sub(r"/\d+/change/", "/#/change/", str(heard.headers)), ""),))

    probe.compare("save as new", ask)


def preserved_filters(probe):
    probe.compare(
        "preserved filters",
        lambda key: probe.get(
            f"{probe.base}{probe.own.pk}/change/", _changelist_filters=f"store={key}&brand__id={key}"
        ),
    )


def index_counts(probe):
    heard = probe.get(f"{BASE}{probe.model._meta.app_label}/")
    probe.nothing("index of the app", not heard.names(*MARKS), heard.names(*MARKS))


def permission_pages(probe):
    for path in ("auth/group/", "auth/user/", "accounts/staffuser/", "sessions/session/", "admin/logentry/"):
        heard = probe.get(BASE + path)
        probe.nothing(f"{path} is no page", heard.status == 404, heard.status)
    theirs = probe.world.b.people["owner"].pk
    for path in ("accounts/staffuser/{}/password/", "accounts/staffuser/{}/change/", "auth/user/{}/password/"):
        probe.compare(
            "password of a foreign person",
            lambda key, path=path: probe.post(BASE + path.format(key), password1="x", password2="x"),
            theirs,
            missing_like(theirs),
        )


def error_pages(probe):
    heard = probe.get(f"{BASE}nothing/here/{probe.theirs}/")
    probe.nothing("error page", heard.status == 404 and "Traceback" not in heard.text, heard.status)


def column_of_another_list(probe):
    """Sorting by a column the list does not offer."""
    for order in ("brand__name", "-99", "1.2.3"):
        heard = probe.get(probe.base, o=order)
        probe.nothing("ordering", heard.status in {200, 302, 400, 403} and not heard.names(*MARKS), heard.status)


def inline_history(probe):
    """The audit log of another brand's row, by its own address and through the list's filters."""
    for query in ({"object_id": probe.theirs}, {"object_id__exact": probe.theirs}):
        heard = probe.get(f"{BASE}accounts/auditentry/", **query)
        probe.nothing("log of B's row", heard.status in {302, 400, 403} and not heard.names(*MARKS), heard.status)


def deleted_by_cascade(probe):
    """Deleting an own row in the database takes no row of B with it."""
    before, left = everything_of(probe.other.brand), []
    with brand_scope(probe.world.a.brand.pk):
        from tests.isolation.matrix.working import outcome

        outcome(
            lambda: probe.model.objects.filter(pk=probe.own.pk).delete(),
            lambda: left.append(everything_of(probe.other.brand)),
        )
    probe.nothing("cascade", all(each == before for each in left))


PROBES = [
    rows, search, filters_with_a_foreign_value, filter_choices, date_hierarchy, search_over_relations,
    arbitrary_look_ups, list_editable, pages_of_a_row, delete_confirmation, form_choices, foreign_key_through_a_form,
    raw_id_and_autocomplete, pop_ups, actions, export_and_import, taken_elsewhere, view_on_site_and_shortcut,
    recent_actions, pages_of_its_own, save_as_new, preserved_filters, index_counts, permission_pages, error_pages,
    column_of_another_list, inline_history, deleted_by_cascade,
]  # fmt: skip


# The list that this is to fulfil, each with what its probes are called above; for what this admin does not have, the
# name is None and a look at the registered classes says so.
NAMED = {
    "rows": "rows$",
    "search": "search$",
    "list filters": "filter (?!choices)",
    "choices of list filters": "filter choices",
    "date hierarchy, date ranges": "date ",
    "search over relations": "search over relations",
    "arbitrary look-ups": "look-up ",
    "list_editable post with a foreign pk": "list editable post",
    "change page": "page change",
    "change by post": "post change",
    "history page": "page history",
    "delete page": "page delete",
    "delete by post": "post delete",
    "delete confirmation, protected objects": "delete confirmation",
    "choices and labels of forms": "choices and labels",
    "post of a foreign id through FK, M2M, radio": ".*(add|change)/ (?!inline|extra)",
    "radio fields": lambda admin: not admin.radio_fields,
    "raw id fields": lambda admin: not admin.raw_id_fields,
    "autocomplete fields, the autocomplete address": "autocomplete ",
    "inlines: foreign pk": ".* inline row",
    "inlines: foreign parent": ".* inline parent",
    "inlines: extra rows": ".* extra row",
    "pop-ups, _to_field": "pop-up",
    "actions with foreign pks": "action .* $",
    "actions on all across pages": "action .* on all",
    "export and import": "(export|import|process_import)",
    "uniqueness messages": "taken ",
    "view on site": "view on site",
    "shortcut by content type": "shortcut",
    "recent actions": "recent actions",
    "log entries by id": "log of B's row",
    "jump by guessed address": "(page|post) jump",
    "pages of the model's own": "addresses of the model",
    "permission pages": ".*is no page",
    "password of a foreign person": "password of a foreign person",
    "save as new": "save as new",
    "_changelist_filters with foreign ids": "preserved filters",
    "error page": "error page",
    "counts of the app's index": "index of the app",
    "ordering by other columns": "ordering",
    "cascade in the database": "cascade",
}
ABSENT = {
    "radio fields": "no registered class has radio_fields; choices are selects and checkboxes, posted through above",
    "raw id fields": "no registered class has raw_id_fields",
}


def every_probe(matrix, cells, role, only=""):
    """Every probe on every registered model; how often each of the list was tried, the runner adds up (`ticked`)."""
    named = Counter()
    for model, admin in site._registry.items():
        if model._meta.label.startswith(only):
            probe = Probe(matrix, cells, role, model, admin)
            for each in PROBES:
                each(probe)
            named += probe.named
            cells.facts["models"] = cells.facts.get("models", 0) + 1
    cells.facts["probes"] = {
        name: (f"absent: {ABSENT[name]}" if all(label(admin) for admin in site._registry.values()) else 0)
        if callable(label)
        else sum(count for probe, count in named.items() if re.match(label, probe))
        for name, label in NAMED.items()
    }
