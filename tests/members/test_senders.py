"""Every place that writes to people: what it asks before, or why it need not. A new one must say so here."""

import ast
from pathlib import Path

from django.apps import apps
from django.conf import settings

# Functions through which everything leaves, but passive replies: those answer the push they are in.
DOORS = {
    "send_otherwise_by_itself",
    *("send_unasked", "send_by_itself", "send_many", "send_stream", "send_otherwise", "record_notice"),
    *("send_text", "send_picture", "send_custom"),
}
LAYERS = "a layer below: asked by whoever calls it"
A_PERSON = "a person of the brand writes to one person, who sees it in the conversation"
SENDERS = {
    "campaigns/services/sending.py:_stream": "asks in the statement that claims (statements.CLAIM, keys_for)",
    "campaigns/services/news.py:_sent": "asks through loyalty.services.notices (gate_for), and when it leaves (asks)",
    "campaigns/services/drafts.py:send_test": "goes to somebody of the team who asked for it",
    "campaigns/services/notices.py:send_notice": A_PERSON + "; only what WeChat allows as a service notice",
    "conversations/services/records.py:_send_one": "answers what the person has just written or tapped",
    "inbox/services/promises.py:promise": "answers, once, what the person has just written: when somebody will be there",
    "inbox/services/sending.py:send_unasked": LAYERS,
    "inbox/services/sending.py:deliver": LAYERS,
    "inbox/services/sending.py:_with_fresh_file": "sends again, with its file, what `deliver` has just sent",
    "inbox/services/warnings.py:carry_notice": "asks through loyalty.services.notices (gate_for), and when it leaves (asks)",
    "inbox/views/acts.py:say": A_PERSON,
    "inbox/views/acts.py:write": A_PERSON,
    "wechat_gateway/client.py:send_many": LAYERS,
    "welcomes/services/running.py:_send": "asks for the whole batch before (gate_for), and each when it leaves (asks)",
}
#: What a sender that says it asks must call itself, or in its app.
ASKED_BY = {
    "campaigns/services/sending.py": "keys_for",
    "campaigns/services/news.py": "gate_for",
    "inbox/services/warnings.py": "gate_for",
    "welcomes/services/running.py": "gate_for",
}
_WHERE_ASKED = {
    "campaigns/services/sending.py": "campaigns/services/drafts.py",
    "campaigns/services/news.py": "loyalty/services/notices.py",
    "inbox/services/warnings.py": "loyalty/services/notices.py",
}


def _calls(tree):
    for outer in ast.walk(tree):
        if isinstance(outer, ast.FunctionDef):
            for node in ast.walk(outer):
                if isinstance(node, ast.Call):
                    name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                    if name in DOORS:
                        yield outer.name


def _places():
    root = Path(settings.BASE_DIR)
    own = [Path(each.path) for each in apps.get_app_configs() if Path(each.path).parent == root]
    for folder in own:
        if folder.name == "demo":  # invented brands
            continue
        for path in folder.rglob("*.py"):
            text = path.read_text()
            for name in _calls(ast.parse(text)) if any(door in text for door in DOORS) else ():
                yield f"{path.relative_to(root)}:{name}"


def test_every_sender_says_what_it_asks():
    assert sorted(set(_places())) == sorted(SENDERS)


def test_whoever_says_it_asks_does():
    assert {place.split(":")[0] for place, why in SENDERS.items() if why.startswith("asks")} == set(ASKED_BY)
    for path, asks in ASKED_BY.items():
        text = Path(settings.BASE_DIR, _WHERE_ASKED.get(path, path)).read_text()
        assert f"{asks}(" in text, path
