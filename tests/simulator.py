"""The simulated WeChat for tests: a real process on a free port, and short ways to speak to its control API."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from typing import Any

from launcher.ports import free_numbers
from wechat_gateway.models import MiniProgram, OfficialAccount


class Simulator:
    """One simulator process. `url` is its base."""

    def __init__(self) -> None:
        (self.port,) = free_numbers(1)
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "wechat_simulator", "--port", str(self.port)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 60
        while True:
            try:
                self.get("/_sim/health")
                break
            except OSError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    self.stop()
                    raise
                time.sleep(0.02)
        self._moved: set[str] = set()
        self._begins = self.get("/_sim/clock")["sim_epoch"]
        self._switches = self.get("/_sim/switches")

    def put_back(self) -> None:
        """Undo what a test may have turned: faults, the clock, switches. Its accounts and people are its own."""
        moved, self._moved = self._moved, set()
        if "/_sim/faults" in moved:
            self.delete("/_sim/faults")
        if "/_sim/clock" in moved:
            self.post("/_sim/clock", set=self._begins, rate=1.0)
        if "/_sim/switches" in moved:
            self.post("/_sim/switches", **self._switches)
        self._moved.clear()

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()

    def get(self, path: str) -> dict[str, Any]:
        with urllib.request.urlopen(self.url + path, timeout=10) as answer:
            return json.load(answer)

    def post(self, path: str, /, **body: Any) -> dict[str, Any]:
        return self._send("POST", path, body)

    def delete(self, path: str) -> dict[str, Any]:
        return self._send("DELETE", path, None)

    def _send(self, method: str, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        self._moved.add(path)
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.url + path, data=data, method=method, headers={"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read().decode()) from error

    def know(self, account: OfficialAccount | MiniProgram, **more: Any) -> None:
        """Make the simulated WeChat know an account with the secrets we hold."""
        fields: dict[str, Any] = {
            "appid": account.appid,
            "name": account.name,
            "subject": account.open_platform_subject,
            "secret": account.app_secret.reveal(),
        }
        if isinstance(account, OfficialAccount):
            fields |= {
                "kind": "service",
                "original_id": account.original_id,
                "token": account.callback_token.reveal(),
                "aes_key": account.encoding_aes_key.reveal(),
            }
        else:
            fields["kind"] = "mini"
        self.post("/_sim/world", accounts=[fields | more])

    def crowd(self, account: OfficialAccount, count: int) -> list[str]:
        """Let `count` people follow; gives their openids."""
        prefix = f"c{account.appid[-6:]}-"
        self.post("/_sim/world", crowds=[{"prefix": prefix, "count": count, "follows": [account.appid]}])
        people = self.get(f"/_sim/people?q={prefix}&limit=1000")["people"]
        return [person["accounts"][account.appid]["openid"] for person in people]

    def fault(self, **fields: Any) -> dict[str, Any]:
        return self.post("/_sim/faults", **fields)

    def act(self, person: str, name: str, appid: str, **fields: Any) -> dict[str, Any]:
        return self.post(f"/_sim/people/{person}/act", act=name, appid=appid, **fields)
