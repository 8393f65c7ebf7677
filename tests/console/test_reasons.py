"""The quarantine page has words for every reason the gateway notes."""

import re
from pathlib import Path

from django.utils import translation

from wechat_gateway import wire
from wechat_gateway.admin import pushes as admin


def test_every_reason_of_the_gateway_has_words():
    noted = set()
    for name in ("wire.py", "events.py", "codec.py"):
        text = (Path(wire.__file__).parent / name).read_text()
        noted |= set(re.findall(r'(?:Unreadable\(|Quarantined\(\w+, )"([A-Z_]+)"', text))
        noted |= set(re.findall(r'Unreadable\("[A-Z_]+" if .* else "([A-Z_]+)"', text))
    assert {"XML", "EMPTY", "FORMAT", "TO_USER"} <= noted
    assert noted == set(admin.REASONS)


def test_reason_of_a_failed_step_names_step_and_error():
    with translation.override("zh-hans"):
        words = admin.reason_label("members.follow: OperationalError: timeout")
        assert words == "处理步骤 members.follow 出错（OperationalError: timeout）"
        assert admin.reason_label("") == "没有记下原因"
