"""The manual names what there is, and every rule the section it came from."""

import re
from dataclasses import fields
from pathlib import Path

import wechat_simulator.wecom
from wechat_simulator.wecom.acts import PERSON_ACTS, STAFF_ACTS
from wechat_simulator.wecom.base import ROUTES
from wechat_simulator.wecom.switches import WeComSwitches

HOME = Path(wechat_simulator.wecom.__file__).parent
MANUAL = (HOME / "README.md").read_text(encoding="utf-8")


def test_every_switch_stands_in_the_manual():
    assert set(re.findall(r"`(wecom_[a-z_0-9]+)`", MANUAL)) - {"wecom_welcome", "wecom_mass"} == {
        item.name for item in fields(WeComSwitches)
    }


def test_every_unconfirmed_switch_is_marked():
    lines = (HOME / "switches.py").read_text(encoding="utf-8").splitlines()
    unsure = {line.split(":")[0].strip() for line in lines if "(unconfirmed)" in line}
    for row in (line for line in MANUAL.splitlines() if line.startswith("| `wecom_")):
        names = set(re.findall(r"`(wecom_[a-z_0-9]+)`", row))
        assert bool(names & unsure) == ("yes" in row.rsplit("|", 2)[1]) or names == {"wecom_quit_scene_self"}, row


def test_every_act_stands_in_the_manual():
    named = set(re.findall(r"`(\w+)`", MANUAL))
    assert set(PERSON_ACTS) | set(STAFF_ACTS) <= named


def test_every_module_cites_the_reference():
    for path in HOME.glob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert not text or re.search(r"2\.\d+|control API", text), path.name
    assert len(ROUTES) > 40
