"""Forms and links of the console, found by reading its pages: each id they carry is replaced by another brand's.

Ids of different tables never coincide here, so an id on a page tells which table it is from.
"""

import re
from html.parser import HTMLParser
from urllib.parse import parse_qsl, urlsplit

from accounts.models import StaffUser
from tests.isolation import surfaces
from tests.isolation.matrix.console import (
    BASE,
    MARKS,
    THOROUGH,
    alive,
    difference,
    missing_like,
    rows_behind,
    same,
    words_of,
)
from tests.isolation.world import MiniProgram, Tag, draft_of

ASKERS = ["owner", "agency"] if THOROUGH else ["owner"]

# Fields that appear only after a search, or that are no plain id: address -> {field: model or (prefix, model, column)}.
HIDDEN = {
    "campaigns/<int:pk>/test/": {"follower": "members.Follower"},
    "campaigns/<int:pk>/draft/": {"person": ("m:", "members.Member"), "mini_appid": "appid"},
    "members/member/<path:object_id>/change/": {"tag": "members.Tag"},
}


class Reader(HTMLParser):
    """Collects forms with their fields and choices, and links."""

    def __init__(self):
        super().__init__()
        self.forms, self.links = [], []
        self._select = self._area = None

    def handle_starttag(self, tag, attributes):
        found = {name: value or "" for name, value in attributes}
        for name in ("href", "hx-get"):
            if name in found:
                self.links.append(found[name])
        if tag == "form":
            action = found.get("hx-post") or found.get("action", "")
            method = "POST" if "hx-post" in found else found.get("method", "get").upper()
            self.forms.append({"action": action, "method": method, "fields": {}, "choices": {}})
        elif self.forms:
            self._field(tag, found, self.forms[-1])

    def _field(self, tag, found, form):
        name = found.get("name")
        if tag == "input" and name:
            if found.get("type") not in {"checkbox", "radio"} or "checked" in found:
                empty = "on" if found.get("type") in {"checkbox", "radio"} else ""
                form["fields"].setdefault(name, []).append(found.get("value", empty))
            if found.get("type") in {"checkbox", "radio", "hidden"}:
                form["choices"].setdefault(name, []).append(found.get("value", ""))
        elif tag == "select" and name:
            self._select = name
            form["choices"].setdefault(name, [])
        elif tag == "option" and self._select:
            form["choices"][self._select].append(found.get("value", ""))
            if "selected" in found:
                form["fields"].setdefault(self._select, []).append(found.get("value", ""))
        elif tag == "textarea" and name:
            self._area = name
            form["fields"].setdefault(name, [""])

    def handle_data(self, data):
        if self._area:
            self.forms[-1]["fields"][self._area][0] += data

    def handle_endtag(self, tag):
        if tag == "select":
            self._select = None
        elif tag == "textarea":
            self._area = None


def model_of_ids(world):
    """Which table an id of A is from."""
    known = {}
    for side in (world.a.near, world.a.far):
        known |= {str(row.pk): model for model, row in side.rows.items()}
    known |= {str(user.pk): StaffUser for user in world.a.people.values()}
    known[str(draft_of(world.a).pk)] = type(draft_of(world.a))
    return known


def pages_of(world, asker):
    """Every page that opens for an asker, with the address it came from."""
    for address, _view in surfaces.console():
        if "<content_type_id>" in address.pieces:
            continue
        values = rows_behind(address, world.a.near) or {}
        variants = [values]
        if address.name.startswith("campaigns/<int:pk>/"):
            variants.append(values | {"pk": draft_of(world.a).pk})
        for each in variants:
            path = BASE + address.path(**each, **words_of(address))
            heard = asker.ask("GET", path)
            if heard.status == 200 and "html" in str(heard.headers):
                yield address, path, heard


def forms_and_links(matrix, cells, role, only=""):
    """Post and follow everything the pages offer, with another brand's ids and with ids that do not exist."""
    world, asker = matrix.world, matrix.askers[role]
    tables, asked = model_of_ids(world), set()
    for address, path, heard in pages_of(world, asker):
        if only not in address.name:
            continue
        shown = heard.names(*MARKS)
        cells.expect(not shown, role, address.name, "page", saw=shown)
        reader = Reader()
        reader.feed(heard.text)
        for form in reader.forms:
            ask_form(cells, world, asker, address, path, form, tables, asked)
        for link in {link.partition("#")[0] for link in reader.links}:
            ask_link(cells, world, asker, path, link, tables, asked)
    for name, fields in HIDDEN.items():
        if only in name:
            ask_hidden(cells, world, asker, name, fields)


def plain(path):
    return re.sub(r"\d{5,}", "#", path)


def foreign_key(world, model):
    """The id of a row of B that corresponds to A's."""
    if model is StaffUser:
        return world.b.people["owner"].pk
    return world.b.near[model].pk


def ask_form(cells, world, asker, address, path, form, tables, asked):
    target = urlsplit(form["action"])._replace(query="").geturl() or path
    if not target.startswith(BASE):
        cells.skip("forms that lead out of the brand: sign-out, language")
        return
    for name, values in {**form["fields"], **form["choices"]}.items():
        offered = [each for each in [*values, *form["choices"].get(name, [])] if each in tables]
        key = (form["method"], plain(target), re.sub(r"\d+", "0", name))
        if not offered or key in asked:
            continue
        asked.add(key)
        model = tables[offered[0]]
        theirs = foreign_key(world, model)
        strangers = {str(foreign_key(world, model))} & set(form["choices"].get(name, []))
        cells.expect(not strangers, asker.name, plain(target), name, "choices", saw=strangers)
        data = {field: each if len(each) > 1 else each[0] for field, each in form["fields"].items() if each}
        compare(cells, asker, form["method"], target, data, name, theirs, f"{model.__name__} of B")


def compare(cells, asker, method, target, data, name, theirs, what, around="{}"):
    nowhere = missing_like(theirs) if isinstance(theirs, int) else theirs[:-4] + "0000"
    answers = []
    for value in (theirs, nowhere):
        heard = asker.ask(method, target, data | {name: around.format(value)})
        cells.expect(
            not heard.names(*MARKS) and alive(heard), asker.name, method, plain(target), name, what, saw=heard.status
        )
        answers.append(heard.without(value))
    cells.expect(same(*answers), asker.name, method, plain(target), name, f"{what} like none", saw=difference(*answers))


def ask_link(cells, world, asker, path, link, tables, asked):
    parts = urlsplit(link)
    target = parts.path or path
    if not target.startswith(BASE):
        return
    query = dict(parse_qsl(parts.query))
    for name, value in query.items():
        key = ("link", plain(target), name)
        if value in tables and key not in asked:
            asked.add(key)
            model = tables[value]
            compare(cells, asker, "GET", target, query, name, foreign_key(world, model), f"{model.__name__} of B")


def ask_hidden(cells, world, asker, name, fields):
    address = next((each for each, _view in surfaces.console() if each.name == name), None)
    if address is None:
        cells.undeclare(f"{name} is declared and does not exist")
        return
    values = dict.fromkeys(address.parameters, world.a.near[Tag].pk)
    values |= rows_behind(address, world.a.near)
    if name.startswith("campaigns/"):
        values["pk"] = draft_of(world.a).pk
    target = BASE + address.path(**values)
    for field, model in fields.items():
        if model == "appid":
            theirs, around = world.b.far[MiniProgram].appid, "{}"
        elif isinstance(model, tuple):
            theirs, around = row_of(world, model[1]).pk, model[0] + "{}"
        else:
            theirs, around = row_of(world, model).pk, "{}"
        compare(cells, asker, "POST", target, {"act": "tag", "when": "now"}, field, theirs, f"{model} of B", around)


def row_of(world, label):
    return next(row for model, row in world.b.near.rows.items() if model._meta.label == label)
