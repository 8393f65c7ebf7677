"""Many processes with many threads that need one access token: `python -m tests.chaos.token_users BRAND APPID OPENID`.

Runs until standard input ends; then each process says on standard output what became of its calls. Each names itself
in PostgreSQL (`token-user-<pid>`), so that whoever holds the token's row can be found and killed.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time

USER_INFO = "/cgi-bin/user/info"


def _user(brand, appid, openid, threads, stop, write):
    """One process: threads that call until `stop` is set."""
    from django.db import connections

    from accounts.tenancy import brand_scope
    from wechat_gateway import client
    from wechat_gateway.models import OfficialAccount

    name = f"token-user-{os.getpid()}"
    connections.settings["default"]["OPTIONS"]["application_name"] = name
    for alias in connections:
        connections[alias].close()
        connections[alias].settings_dict["OPTIONS"]["application_name"] = name
    with brand_scope(brand):
        account = OfficialAccount.objects.get(appid=appid)
    connections.close_all()
    results = []

    def work():
        while not stop.is_set():
            began = time.monotonic()
            try:
                answer = client.call(account, USER_INFO, query={"openid": openid})
                results.append((answer.ok, answer.cause or "", time.time(), time.monotonic() - began))
            except Exception as error:
                results.append((False, type(error).__name__, time.time(), time.monotonic() - began))
            time.sleep(0.02)
        connections.close_all()

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    failed = [(at, cause) for ok, cause, at, _ in results if not ok]
    slow = [(at, round(seconds, 3)) for _, _, at, seconds in results if seconds > 1]
    facts = {"pid": os.getpid(), "calls": len(results), "failed": failed, "slow": slow}
    os.write(write, json.dumps(facts).encode() + b"\n")


def main(arguments):
    brand, appid, openid, processes, threads = int(arguments[0]), arguments[1], arguments[2], *map(int, arguments[3:5])
    import django

    django.setup()
    from django.db import connections

    connections.close_all()
    pids = []
    read, write = os.pipe()
    for _ in range(processes):
        pid = os.fork()
        if pid == 0:
            os.close(write)
            stop = threading.Event()

            def wait(stop=stop):
                os.read(read, 1)  # ends when the parent closes its end
                stop.set()

            threading.Thread(target=wait, daemon=True).start()
            _user(brand, appid, openid, threads, stop, 1)
            os._exit(0)
        pids.append(pid)
    os.close(read)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.read()
    os.close(write)
    for pid in pids:
        os.waitpid(pid, 0)


if __name__ == "__main__":
    main(sys.argv[1:])
