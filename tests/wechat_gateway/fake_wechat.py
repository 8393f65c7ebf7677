"""A tiny WeChat in a thread: a stable-token endpoint and scripted answers, with a record of every call."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


class FakeWeChat:
    """`answers[path]` is a function (payload, token) → dict; tokens count up with every forced or expired fetch."""

    def __init__(self):
        self.calls = []
        self.answers = {}
        self.token_number = 1
        self.token_delay = 0.0
        self.token_answer = None
        self.valid = None  # tokens that are accepted; None: the current one
        self.lock = threading.Lock()
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                self._answer()

            def do_GET(self):
                self._answer()

            def _answer(self):
                parts = urlsplit(self.path)
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                payload = json.loads(body) if body[:1] == b"{" else body
                token = parse_qs(parts.query).get("access_token", [""])[0]
                answer = json.dumps(fake.answer(parts.path, payload, token)).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def answer(self, path, payload, token):
        with self.lock:
            self.calls.append((path, payload, token))
        if path == "/cgi-bin/stable_token":
            if self.token_delay:
                threading.Event().wait(self.token_delay)
            if self.token_answer is not None:
                return self.token_answer
            with self.lock:
                if payload["force_refresh"]:
                    self.token_number += 1
                return {"access_token": f"token-{self.token_number}", "expires_in": 7200}
        if not self._accepts(token):
            return {"errcode": 40001, "errmsg": "invalid credential rid: 1234abcd-5678-90ef"}
        return self.answers.get(path, lambda payload, token: {"errcode": 0, "errmsg": "ok"})(payload, token)

    def _accepts(self, token):
        return token == f"token-{self.token_number}" if self.valid is None else token in self.valid

    def count(self, path):
        return sum(call[0] == path for call in self.calls)

    @property
    def fetches(self):
        return self.count("/cgi-bin/stable_token")

    def close(self):
        self.server.shutdown()
        self.server.server_close()
