"""Every failpoint that the product declares, found in its source."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = (
    "accounts",
    "campaigns",
    "conversations",
    "coupons",
    "guides",
    "members",
    "stores",
    "touchpoints",
    "wechat_gateway",
)
# Those of these apps are died at by tests of their own, which name them.
ELSEWHERE = ("imports", "inbox", "library", "loyalty", "referrals", "welcomes")


def declared(packages=PACKAGES):
    """Name of each point → where it stands. A name that is not written out, or stands twice, is a mistake."""
    found = {}
    for package in packages:
        for path in sorted((ROOT / package).rglob("*.py")):
            text = path.read_text()
            if "point(" not in text:
                continue
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "point":
                    (name,) = [argument.value for argument in node.args]
                    where = f"{path.relative_to(ROOT)}:{node.lineno}"
                    assert name not in found, f"{name}: {where} and {found[name]}"
                    found[name] = where
    return found


# These stand in the gateway's event loop; the simulation of the inbox passes them.
IN_THE_GATEWAY = "intake: "
# Commands that somebody of the installation runs: tests/wechat_gateway/test_rotation.py and
# tests/accounts/test_key_rotation.py die at them again and again.
BY_HAND = ("master key: ", "data key: ")
