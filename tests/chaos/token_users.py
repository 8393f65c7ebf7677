"""Many processes with many threads that need one access token.

`python -m tests.chaos.token_users BRAND APPID OPENID PROCESSES THREADS FETCHES`; FETCHES is a file that gets a line when
a fetch begins and when its token is stored, so that those of a killed process are known, too.

Runs until standard input ends, and replaces a killed process; then each process says on standard output what became of
its calls and how long each waited for the token. Each names itself in PostgreSQL (`token-user-<pid>`), so that whoever
holds the token's row can be found and killed. SIGUSR1 makes a process forget the token it remembers, as five seconds
would.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import sys
import tempfile
import threading
import time

USER_INFO = "/cgi-bin/user/info"


def _user(brand, appid, openid, threads, stop, write, turn, fetches):
    """One process: threads that call until `stop` is set."""
    from django.db import connections

    from accounts.tenancy import brand_scope
    from wechat_gateway import client, tokens
    from wechat_gateway.models import OfficialAccount

    signal.signal(signal.SIGUSR1, lambda *_: tokens.forget_cached())
    name = f"token-user-{os.getpid()}"  # whoever reads it may send the signal
    connections.settings["default"]["OPTIONS"]["application_name"] = name
    for alias in connections:
        connections[alias].close()
        connections[alias].settings_dict["OPTIONS"]["application_name"] = name
    with brand_scope(brand):
        account = OfficialAccount.objects.get(appid=appid)
    connections.close_all()
    results = []
    waits = _measured(fetches)

    def work():
        while not stop.is_set():
            try:
                answer = client.call(account, USER_INFO, query={"openid": openid})
                results.append((answer.ok, answer.cause or "", time.time()))
            except Exception as error:
                results.append((False, type(error).__name__, time.time()))
            time.sleep(0.2)  # whoever waits for the token is not to wait for the calls of those who have it
        connections.close_all()

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    failed = [(at, cause) for ok, cause, at in results if not ok]
    facts = {"pid": os.getpid(), "calls": len(results), "failed": failed, "waits": waits}
    with os.fdopen(os.dup(write), "w") as report:
        fcntl.lockf(turn, fcntl.LOCK_EX)  # longer than what a pipe takes at once
        report.write(json.dumps(facts) + "\n")


def _measured(fetches):
    """Let the product's own functions note their times: gives the list of waits for a token."""
    from wechat_gateway import tokens

    waits = []
    current = tokens.current

    def timed(app, *, at):
        began = time.time()
        try:
            return current(app, at=at)
        finally:
            waits.append((began, time.time()))

    ask, refresh = tokens._ask, tokens._refresh_once
    mine = threading.local()

    def noted(app, *, force):
        mine.asks = True
        _note(fetches, "began")
        return ask(app, force=force)

    def until_stored(app, at, **more):
        mine.asks = False
        try:
            return refresh(app, at, **more)
        finally:
            if mine.asks:
                _note(fetches, "ended")

    tokens.current, tokens._ask, tokens._refresh_once = timed, noted, until_stored
    return waits


def _note(fetches, what):
    os.write(fetches, f"{os.getpid()} {what} {time.time()}\n".encode())


def main(arguments):
    brand, appid, openid, processes, threads = int(arguments[0]), arguments[1], arguments[2], *map(int, arguments[3:5])
    import django

    django.setup()
    from django.db import connections

    connections.close_all()
    fetches = os.open(arguments[5], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    read, write = os.pipe()
    turn = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process

    def user():
        pid = os.fork()
        if pid:
            return pid
        os.close(write)
        stop = threading.Event()

        def wait():
            os.read(read, 1)  # ends when the parent closes its end
            stop.set()

        threading.Thread(target=wait, daemon=True).start()
        _user(brand, appid, openid, threads, stop, 1, turn, fetches)
        os._exit(0)

    pids = {user() for _ in range(processes)}
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while not select.select([sys.stdin], [], [], 0.1)[0]:
        for pid in list(pids):
            if os.waitpid(pid, os.WNOHANG)[0]:  # killed: another takes its place
                pids.remove(pid)
                pids.add(user())
    os.close(write)
    for pid in pids:
        os.waitpid(pid, 0)


if __name__ == "__main__":
    main(sys.argv[1:])
