"""The message catalogues: collect what is marked, merge translations from locale/parts, compile, and check.

A fresh Debian has no gettext tools, so everything is done with Babel. `make messages` writes, `--check` only looks.
Catalogues carry no line numbers and are sorted, so that a change of a text is a change of one entry.
"""

from __future__ import annotations

import argparse
import ast
import io
import json
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeAlias, cast

import django
import unfold
from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_python
from babel.messages.mofile import read_mo, write_mo
from babel.messages.pofile import read_po, write_po
from django.utils.translation.template import templatize

_Spec: TypeAlias = tuple[int | tuple[int, str], ...]

ROOT: Final = Path(__file__).resolve().parent.parent
LOCALE: Final = ROOT / "locale"
CHINESE: Final = "zh_Hans"
BORROWED: Final = "borrowed.json"
ENGLISH: Final = "en"  # the msgids are English: its entries are the msgids until somebody words them better
PLURALS: Final = {CHINESE: "nplurals=1; plural=0;", ENGLISH: "nplurals=2; plural=(n != 1);"}
#: Not part of the product's interface: the simulator and the launcher have words of their own.
SKIPPED: Final = {
    "tests",
    "wechat_simulator",
    "launcher",
    "scripts",
    "benchmarks",
    "clients",
    "var",
    "node_modules",
    "docs",
}
#: Which argument of each function is the text, its plural, and its context ("c").
KEYWORDS: Final[dict[str, _Spec]] = {
    "gettext": (1,),
    "gettext_lazy": (1,),
    "gettext_noop": (1,),
    "ngettext": (1, 2),
    "ngettext_lazy": (1, 2),
    "pgettext": ((1, "c"), 2),
    "pgettext_lazy": ((1, "c"), 2),
    "npgettext": ((1, "c"), 2, 3),
    "npgettext_lazy": ((1, "c"), 2, 3),
}
CONTRIB: Final = {"filters", "forms"}  # the extras of Unfold among our INSTALLED_APPS
_PLACEHOLDER: Final = re.compile(r"%%|%\((\w+)\)[#0\- +]*[\d.]*[a-zA-Z]|%[sdr]|\{(\w*)[^{}]*\}")
_EPOCH: Final = datetime(2025, 1, 1, tzinfo=UTC)  # a date in the header would make every compilation differ


@dataclass(frozen=True, slots=True, order=True)
class Text:
    """One marked text: what it is looked up by, and its plural if it has one."""

    msgid: str
    context: str = ""
    plural: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """What gettext looks a text up by."""
        return self.msgid, self.context


# --- Collecting -------------------------------------------------------------------------------------------------------


def python_texts(source: str) -> Iterator[Text]:
    """Texts marked in a Python file; aliases such as `gettext_lazy as _` are read from its imports."""
    names = {
        alias.asname or alias.name: alias.name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom) and node.module == "django.utils.translation"
        for alias in node.names
    }
    keywords = {name: KEYWORDS[meant] for name, meant in names.items() if meant in KEYWORDS}
    return _extract(source, keywords) if keywords else iter(())


def template_texts(source: str) -> Iterator[Text]:
    """Texts marked in a Django template."""
    code = "\n".join(line.lstrip() for line in templatize(source).splitlines())
    return _extract(code, {**KEYWORDS, "_": (1,)})


def _extract(source: str, keywords: dict[str, _Spec]) -> Iterator[Text]:
    found: Iterable[Any] = extract_python(io.BytesIO(source.encode()), cast("Any", keywords), [], {})
    for _line, function, said, _comments in found:
        arguments = said if isinstance(said, tuple) else (said,)
        picked: dict[str, str] = {}
        for index, name in zip(keywords[function], _names(keywords[function]), strict=True):
            position = (index[0] if isinstance(index, tuple) else index) - 1
            picked[name] = (arguments[position] if position < len(arguments) else None) or ""
        if picked["msgid"]:
            yield Text(**picked)


def _names(spec: _Spec) -> list[str]:
    texts = iter(("msgid", "plural"))
    return ["context" if isinstance(part, tuple) else next(texts) for part in spec]


def own_texts(root: Path = ROOT) -> set[Text]:
    """Every text marked in the product."""
    found: set[Text] = set()
    for path in _files(root):
        extract = python_texts if path.suffix == ".py" else template_texts
        found.update(extract(path.read_text(encoding="utf-8")))
    return found


def _files(root: Path) -> Iterator[Path]:
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        if folder.name in SKIPPED or folder.name.startswith("."):
            continue
        for path in sorted(folder.rglob("*")):
            if path.suffix == ".py" or (path.suffix in {".html", ".txt"} and "templates" in path.parts):
                yield path


def borrowed_texts(package: Path | None = None) -> set[Text]:
    """Texts of Unfold's pages that Django does not translate: Unfold brings no Chinese of its own."""
    known: set[str] = set()
    for app in ("conf", "contrib/admin", "contrib/auth", "contrib/contenttypes", "contrib/sessions"):
        with (Path(django.__file__).parent / app / f"locale/{CHINESE}/LC_MESSAGES/django.mo").open("rb") as file:
            known.update(_key(message)[0] for message in read_mo(file))
    found: set[Text] = set()
    package = package or Path(unfold.__file__).parent
    for path in sorted((*package.rglob("*.py"), *package.rglob("*.html"))):
        inside = path.relative_to(package).parts
        if inside[0] != "contrib" or inside[1] in CONTRIB:
            extract = python_texts if path.suffix == ".py" else template_texts
            found.update(extract(path.read_text(encoding="utf-8")))
    # Names of date formats are marked, too; they are no words.
    return {text for text in found if text.msgid not in known and not text.msgid.endswith("_FORMAT")}


def kept_texts(base: Path = LOCALE) -> set[Text]:
    """The borrowed texts on file: each Python version has its version of Unfold, the catalogues serve all of them."""
    path = base / BORROWED
    return {Text(*row) for row in json.loads(path.read_text(encoding="utf-8"))} if path.exists() else set()


def keep_texts(texts: Iterable[Text], base: Path = LOCALE) -> None:
    """Write the borrowed texts down; remove some by hand when no supported version of Unfold has them any more."""
    rows = [[text.msgid, text.context, text.plural] for text in sorted(texts)]
    lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    (base / BORROWED).write_text(f"[\n{lines}\n]\n", encoding="utf-8")


# --- Merging ----------------------------------------------------------------------------------------------------------


def folder(locale: str, base: Path = LOCALE) -> Path:
    """Where the catalogue of a locale lies."""
    return base / locale / "LC_MESSAGES"


def read(path: Path, locale: str) -> Catalog:
    """Read a catalogue; a missing file is an empty one."""
    if not path.exists():
        return Catalog(locale=locale)
    with path.open("rb") as file:
        return read_po(file, locale=locale, abort_invalid=True)


def translations(catalog: Catalog) -> dict[tuple[str, str], tuple[str, ...]]:
    """What a catalogue says, by text; empty and fuzzy entries are left out."""
    said = {}
    for message in catalog:
        if message.id and message.string and not message.fuzzy and _said(message)[0]:
            said[_key(message)] = _said(message)
    return said


def _key(message: Message) -> tuple[str, str]:
    return _forms(message)[0], message.context or ""


def _forms(message: Message) -> tuple[str, ...]:
    return (message.id,) if isinstance(message.id, str) else tuple(message.id)


def _said(message: Message) -> tuple[str, ...]:
    string = message.string or ""
    return (string,) if isinstance(string, str) else tuple(form or "" for form in string)


def parts(base: Path = LOCALE) -> list[Path]:
    """Translations that wait to be merged, in the order in which they are taken (the later one wins)."""
    return sorted((base / "parts").glob("*.po"))


def merged(
    said: dict[tuple[str, str], tuple[str, ...]],
    waiting: Iterable[Path],
) -> dict[tuple[str, str], tuple[str, ...]]:
    """What is said once the parts are taken in; a text that changes is named: two meanings need a context each."""
    for part in waiting:
        new = translations(read(part, CHINESE))
        for key in sorted(new.keys() & said.keys()):
            if new[key] != said[key]:
                _say(f"{part.name}: {key[0]!r} was {said[key][0]!r}, is now {new[key][0]!r}")
        said = said | new
    return said


def build(locale: str, texts: Iterable[Text], said: dict[tuple[str, str], tuple[str, ...]]) -> Catalog:
    """A catalogue of exactly these texts. English falls back to the text itself."""
    catalog = Catalog(locale=locale, creation_date=_EPOCH, revision_date=_EPOCH, fuzzy=False)
    plurals: dict[tuple[str, str], str] = {}
    for text in sorted(texts):
        plurals[text.key] = plurals.get(text.key) or text.plural
    for (msgid, context), plural in sorted(plurals.items()):
        forms = (msgid, plural) if plural else (msgid,)
        string = said.get((msgid, context)) or (forms if locale == ENGLISH else ("",))
        count = int(PLURALS[locale][len("nplurals=")]) if plural else 1
        string = (string + (string[-1],) * count)[:count]
        catalog.add(
            forms if plural else msgid, string if plural else string[0], context=context or None, flags=_flags(forms)
        )
    return catalog


def _flags(forms: tuple[str, ...]) -> list[str]:
    return ["python-format"] if any(re.search(r"%\(\w+\)|%[sdr]\b", form) for form in forms) else []


def as_po(catalog: Catalog, locale: str) -> bytes:
    """The text of a catalogue, always the same for the same content."""
    header = "\n".join(
        [
            "# Written by `make messages`. Change a translation here; new ones may also come through locale/parts/.",
            'msgid ""',
            'msgstr ""',
            '"Project-Id-Version: zhiyin\\n"',
            f'"Language: {locale}\\n"',
            '"MIME-Version: 1.0\\n"',
            '"Content-Type: text/plain; charset=UTF-8\\n"',
            '"Content-Transfer-Encoding: 8bit\\n"',
            f'"Plural-Forms: {PLURALS[locale]}\\n"',
            "",
            "",
        ]
    )
    body = io.BytesIO()
    for message in catalog:  # Babel guesses flags of its own from the text
        if message.id:
            message.flags -= {"python-brace-format"}
    write_po(body, catalog, width=0, no_location=True, omit_header=True, sort_output=True)
    return header.encode() + body.getvalue().strip() + b"\n"


def as_mo(po: bytes, locale: str) -> bytes:
    """The compiled form of a catalogue's text."""
    catalog = read_po(io.BytesIO(po), locale=locale)
    catalog.creation_date = catalog.revision_date = _EPOCH
    body = io.BytesIO()
    write_mo(body, catalog)
    return body.getvalue()


# --- Checking ---------------------------------------------------------------------------------------------------------


def placeholders(text: str) -> list[str]:
    """The placeholders of a text, sorted; a translation must have the same ones."""
    return sorted(match.group(0) for match in _PLACEHOLDER.finditer(text))


def faults(catalog: Catalog, locale: str) -> list[str]:
    """What is wrong with a catalogue: texts without translation, and placeholders that differ."""
    found = []
    for message in catalog:
        if not message.id:
            continue
        forms = _forms(message)
        said = _said(message)
        if not all(said):
            found.append(f"{locale}: no translation: {forms[0]!r}")
            continue
        # A plural form that says "one" in words needs no number; every other form does.
        allowed = {tuple(placeholders(form)) for form in forms}
        for form in said:
            if tuple(placeholders(form)) not in allowed:
                found.append(f"{locale}: placeholders differ: {forms[0]!r} -> {form!r}")
            if (forms[-1][:1] == "\n") != (form[:1] == "\n") or (forms[-1][-1:] == "\n") != (form[-1:] == "\n"):
                found.append(f"{locale}: line breaks at the ends differ: {forms[0]!r}")
    return found


def run(*, check: bool, base: Path = LOCALE, root: Path = ROOT) -> list[str]:
    """Write the catalogues, or only compare them with what would be written. Returns what people must mend."""
    borrowed, kept = borrowed_texts(), kept_texts(base)
    waiting = parts(base)
    found = []
    if check:
        found = [f"{path.relative_to(root)}: not merged yet; run `make messages`" for path in waiting]
    elif borrowed - kept:
        keep_texts(borrowed | kept, base)
    texts = own_texts(root) | borrowed | kept
    for locale in (CHINESE, ENGLISH):
        path = folder(locale, base) / "django.po"
        said = translations(read(path, locale))
        if locale == CHINESE and not check:
            said = merged(said, waiting)
        catalog = build(locale, texts, said)
        po = as_po(catalog, locale)
        for target, content in ((path, po), (path.with_suffix(".mo"), as_mo(po, locale))):
            if target.exists() and target.read_bytes() == content:
                continue
            if check:
                found.append(f"{target.relative_to(root)}: out of date; run `make messages`")
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)
        found += faults(catalog, locale)
    if not check:
        for part in waiting:
            part.unlink()
    return found


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def main(arguments: list[str] | None = None) -> int:
    """Run as a program: 0 when all is well, 1 when something must be mended."""
    parser = argparse.ArgumentParser(description="Collect, merge, compile and check the message catalogues.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when something must be mended")
    found = run(check=parser.parse_args(arguments).check)
    for line in found:
        _say(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
