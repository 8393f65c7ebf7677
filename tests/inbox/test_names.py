"""How conversations name colleagues in Chinese: in 「」, whatever letters the name has."""

import re

from scripts import messages


def test_names_of_colleagues_stand_in_quotes():
    catalogue = messages.read(messages.folder("zh_Hans") / "django.po", "zh_Hans")
    said = [form for message in catalogue if message.id for form in messages._said(message) if "%(who)s" in form]

    assert said
    assert [form for form in said if re.search(r"[\u4e00-\u9fff] %\(who\)s|%\(who\)s [\u4e00-\u9fff]", form)] == []
