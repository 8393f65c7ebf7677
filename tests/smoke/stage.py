"""What every story stands on: the running product, its people on the simulator, its operators and its API."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import requests

TIMEOUT: Final = 30.0


class StoryFailed(AssertionError):
    """Something did not happen as the story says."""


class Stage:
    """One running stack. `demo` is what `manage.py demo --json` prints."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.manage("demo", "--load")
        self.demo: dict[str, Any] = json.loads(self.manage("demo", "--json"))
        self.http = requests.Session()
        self.http.trust_env = False
        self.checked = 0
        self.shell: subprocess.Popen[str] | None = None
        for brand in self.demo["brands"]:  # whom chance keeps from marketing is not what stories are about
            self.query(brand, "member_services.set_control_group(per_mille=0, at=clock.now()).pk")

    def manage(self, *arguments: str) -> str:
        """Run a management command with the stack's environment; give what it printed."""
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments], env=os.environ, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise StoryFailed(f"manage.py {' '.join(arguments)}: {done.stderr[-2000:]}")
        return done.stdout

    def brand(self, slug: str) -> dict[str, Any]:
        """Give a brand's facts."""
        return next(brand for brand in self.demo["brands"] if brand["slug"] == slug)

    # --- telling -----------------------------------------------------------------------------------------------------

    def say(self, text: str) -> None:
        """Print one line of the story with the time since it began."""
        sys.stdout.write(f"[{time.monotonic() - self.started:6.1f}s] {text}\n")
        sys.stdout.flush()

    def check(self, what: str, found: object, expected: object) -> None:
        """Compare; raise `StoryFailed` with both sides when they differ."""
        self.checked += 1
        if found != expected:
            raise StoryFailed(f"{what}: expected {expected!r}, found {found!r}")

    def holds(self, what: str, condition: object, seen: object = "") -> None:
        """Raise `StoryFailed` unless the condition holds."""
        self.checked += 1
        if not condition:
            raise StoryFailed(f"{what}: does not hold; seen {seen!r}")

    def until(self, what: str, look: Callable[[], Any], seconds: float = TIMEOUT) -> Any:
        """Look until something true appears; give it. Raises `StoryFailed` after `seconds`."""
        deadline = time.monotonic() + seconds
        while True:
            found = look()
            if found:
                self.checked += 1
                return found
            if time.monotonic() > deadline:
                raise StoryFailed(f"{what}: did not happen within {seconds:.0f} s")
            time.sleep(0.1)

    # --- WeChat ------------------------------------------------------------------------------------------------------

    def sim(self, path: str, body: dict[str, Any] | None = None, method: str = "") -> dict[str, Any]:
        """Call the simulator's control API."""
        verb = method or ("GET" if body is None else "POST")
        answer = self.http.request(verb, self.demo["simulator"] + path, json=body, timeout=TIMEOUT)
        if answer.status_code != 200:
            raise StoryFailed(f"simulator {path}: {answer.status_code} {answer.text[:500]}")
        return answer.json()

    def act(self, person: str, what: str, brand: dict[str, Any], **fields: Any) -> dict[str, Any]:
        """Let a person do something with the brand's service account (or `appid=` another app)."""
        appid = fields.pop("appid", brand["appid"])
        return self.sim(f"/_sim/people/{person}/act", {"act": what, "appid": appid, **fields})

    def saw(self, result: dict[str, Any]) -> list[str]:
        """Give the texts the person saw from the account."""
        return [entry.get("content", "") for entry in result["saw"] if entry["from"] == "account"]

    def moment(self) -> str:
        """Give the product's time, as the API writes it."""
        return datetime.fromtimestamp(self.sim("/_sim/clock")["now"], UTC).isoformat()

    # --- the product's own records -----------------------------------------------------------------------------------

    def query(self, brand: dict[str, Any], expression: str) -> Any:
        """Evaluate one Python expression in the brand's scope, in one long-lived shell, and give its JSON value."""
        if self.shell is None or self.shell.poll() is not None:
            self.shell = subprocess.Popen(
                [sys.executable, "manage.py", "shell", "-v", "0", "-c", "import tests.smoke.reader as r; r.serve()"],
                env=os.environ,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        self.shell.stdin.write(json.dumps({"brand": brand["id"], "expression": expression}) + "\n")
        self.shell.stdin.flush()
        answer = json.loads(self.shell.stdout.readline() or '{"error": "the shell ended"}')
        if "error" in answer:
            raise StoryFailed(f"{expression}: {answer['error']}")
        return answer["value"]


class Operator:
    """Somebody signed in to the console of a brand."""

    def __init__(self, stage: Stage, brand: dict[str, Any], username: str) -> None:
        self.stage, self.brand = stage, brand
        self.base = brand["console"].rstrip("/")
        self.http = requests.Session()
        self.http.trust_env = False
        login = f"{stage.demo['console']}/login/"
        self.http.get(login, timeout=TIMEOUT)
        password = next(person["password"] for person in brand["staff"] if person["username"] == username)
        answer = self.http.post(
            login,
            data={"username": username, "password": password, "csrfmiddlewaretoken": self.http.cookies["csrftoken"]},
            headers={"Referer": login},
            timeout=TIMEOUT,
        )
        stage.holds("sign-in", answer.status_code == 200 and "/login/" not in answer.url, answer.url)

    def get(self, path: str, expect: int = 200, **params: Any) -> requests.Response:
        """Open a page below the brand's console."""
        answer = self.http.get(self.base + path, params=params, timeout=TIMEOUT)
        self.stage.check(f"GET {path}", answer.status_code, expect)
        return answer

    def post(self, path: str, expect: int = 200, **data: Any) -> requests.Response:
        """Post a form below the brand's console (redirects are followed)."""
        answer = self.http.post(
            self.base + path,
            data={**data, "csrfmiddlewaretoken": self.http.cookies["csrftoken"]},
            headers={"Referer": self.base + path},
            timeout=TIMEOUT,
        )
        self.stage.check(f"POST {path}", answer.status_code, expect)
        return answer


def plain(html: str) -> str:
    """Give the words of a page."""
    html = re.sub(r"<(script|style)\b.*?</\1>", " ", html, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))
