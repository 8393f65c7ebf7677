"""Measured runs against a gateway process of its own: cheap refusal (S4) and no oracle in answers or times (S6)."""

import asyncio
import http.client
import itertools
import math
import os
import random
import socket
import statistics
import threading
import time
from collections import Counter
from pathlib import Path
from urllib.parse import quote

from tests.wechat_gateway import forge

GARBAGE_SECONDS, GARBAGE_RATE, VALID_RATE, VALID_LINES = 8, 1000, 50, 8
HELD_BACK = b"held back"
TICK = os.sysconf("SC_CLK_TCK")


def cpu(pid):
    """CPU seconds a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def request_bytes(path, query, body, *extra):
    lines = [
        f"POST {path}?{quote(query, safe='=&%+-_.~')} HTTP/1.1",
        "Host: 127.0.0.1",
        f"Content-Length: {len(body)}",
        *extra,
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def garbage(path_token):
    """Requests of many kinds that all have to be refused; each is (name, bytes)."""
    path = f"/wx/{path_token}"
    query, body = forge.push(forge.text_message())
    wrong = query.replace(b"msg_signature=", b"msg_signature=0")
    deep = b"<xml>" + b"<a>" * 9000 + b"</a>" * 9000 + b"</xml>"
    wide = b"<xml>" + b"<a/>" * 15_000 + b"</xml>"
    dtd = b"<!DOCTYPE x [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;&a;&a;'>]><xml><Encrypt>&b;</Encrypt></xml>"
    cut = request_bytes(path, wrong, b"")
    return {
        "wrong signature": request_bytes(path, wrong, body),
        "no parameters": request_bytes(path, b"", body),
        "unknown address": request_bytes("/wx/" + "A" * 32, query, body),
        "deep": request_bytes(path, query, deep[:65_000]),
        "wide": request_bytes(path, query, wide[:65_000]),
        "DTD": request_bytes(path, query, dtd),
        "UTF-16": request_bytes(path, query, dtd.decode().encode("utf-16")),
        "rubbish of 64 KB": request_bytes(path, query, os.urandom(65_000)),
        "gzip": request_bytes(path, query, b"x" * 100, "Content-Encoding: gzip"),
        "10 MB declared": cut.replace(b"Content-Length: 0", b"Content-Length: 10000000") + b"x" * 70_000,
    }


async def answer_of(port, data):
    """One request on a line of its own; gives its status, b"" when the line was cut."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        await writer.drain()
        return (await reader.read(4096))[9:12]
    except OSError:
        return b""
    finally:
        writer.close()


async def pour(port, kinds, seconds, rate):
    """Send at a steady rate; gives how often each answer came, "held back" for what found no free line in time."""
    counts, running, began, number = {}, set(), time.monotonic(), 0

    async def one(data):
        status = await answer_of(port, data)
        counts[status] = counts.get(status, 0) + 1

    while time.monotonic() - began < seconds:
        due = int((time.monotonic() - began) * rate)
        while number < due and len(running) < 200:
            task = asyncio.ensure_future(one(kinds[number % len(kinds)]))
            running.add(task)
            task.add_done_callback(running.discard)
            number += 1
        await asyncio.sleep(0.002)
    await asyncio.gather(*running)
    held_back = int(seconds * rate) - number
    return counts | ({HELD_BACK: held_back} if held_back > 0 else {})


def answered(counts):
    """How many requests were really made."""
    return sum(count for status, count in counts.items() if status != HELD_BACK)


def slow_bodies(port, data, stop, count=20):
    """Lines that send a byte a second until told to stop."""
    head = data.replace(b"Content-Length: ", b"Content-Length: 9", 1)[:400]
    lines = []
    for _ in range(count):
        line = socket.create_connection(("127.0.0.1", port))
        line.sendall(head)
        lines.append(line)
    while not stop.wait(1):
        for line in lines:
            try:
                line.sendall(b"x")
            except OSError:
                continue
    for line in lines:
        line.close()


def cheap_refusal(process, account, fresh):
    """S4: CPU of the process for each refused request by kind, and how right pushes fare among 1,000 a second of them."""
    kinds = garbage(account.path_token)
    costs = {}
    for name, data in kinds.items():
        asyncio.run(pour(process.port, [data], 0.3, 200))
        began = cpu(process.process.pid)
        counts = asyncio.run(pour(process.port, [data], 1.2, 400))
        costs[name] = (cpu(process.process.pid) - began) * 1000 / max(1, answered(counts))
    times, statuses, stop = [], Counter(), threading.Event()
    due = itertools.count()
    began = time.monotonic()

    def valid():
        """One of several lines: what is late on one does not keep the others from being on time."""
        connection = http.client.HTTPConnection("127.0.0.1", process.port, timeout=30)
        while not stop.is_set():
            number = next(due)
            if stop.wait(max(0.0, began + number / VALID_RATE - time.monotonic())):
                return
            right = fresh(number)
            started = time.perf_counter()
            connection.request("POST", f"/wx/{right.path_token}?{right.query_string.decode()}", right.body)
            answer = connection.getresponse()
            statuses[answer.status, answer.read()] += 1
            times.append((time.perf_counter() - started) * 1000)

    threads = [
        *(threading.Thread(target=valid) for _ in range(VALID_LINES)),
        threading.Thread(target=slow_bodies, args=(process.port, kinds["wrong signature"], stop)),
    ]
    for thread in threads:
        thread.start()
    counts = asyncio.run(pour(process.port, list(kinds.values()), GARBAGE_SECONDS, GARBAGE_RATE))
    stop.set()
    for thread in threads:
        thread.join()
    times.sort()
    return costs, counts, times, statuses


MOST_T, MOST_MICROSECONDS = 4.5, 50


# --- No oracle (S6) --------------------------------------------------------------------------------------------------


def refusals(account, other):
    """Classes of refusal that must look alike, with what their signatures say."""
    keys = {"appid": account.appid, "aes_key": account.encoding_aes_key.reveal()}
    token = account.callback_token.reveal()
    message = forge.text_message(created=int(forge.NOW)).replace(forge.ORIGINAL_ID, account.original_id)

    def signed(encrypted, token=token):
        return forge.as_query(forge.query_of(encrypted, token=token)), forge.envelope(encrypted).encode()

    right = forge.encrypt(message, **keys)
    broken = forge.encrypt(message, **keys, padding="255")
    short = forge.encrypt(message, **keys, length=2**31)
    return {
        "bad signature": (account.path_token, *signed(right, "x" * len(token))),
        "bad padding": (account.path_token, *signed(broken, "x" * len(token))),
        "bad length": (account.path_token, *signed(short, "x" * len(token))),
        "bad appid": (account.path_token, *signed(forge.encrypt(message, appid=other.appid, aes_key=keys["aes_key"]), "x" * len(token))),
        "unknown brand": ("A" * len(account.path_token), *signed(right)),
        "foreign push": (other.path_token, *signed(right)),
    }  # fmt: skip


def oracle(port, account, other, count, refresh):
    """S6: timings of each class, interleaved at random on one line; (answers, microseconds by class)."""
    rng, times, answers = random.Random(6), {}, {}
    line = socket.create_connection(("127.0.0.1", port))
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    done, requests = 0, {}
    while done < count:
        if done % 2000 == 0:
            refresh()
            requests = {
                name: request_bytes(f"/wx/{token}", query, body)
                for name, (token, query, body) in refusals(account, other).items()
            }
        names = list(requests)
        rng.shuffle(names)
        for name in names:
            began = time.perf_counter_ns()
            line.sendall(requests[name])
            answer = line.recv(4096)
            spent = (time.perf_counter_ns() - began) / 1000
            times.setdefault(name, []).append(spent)
            answers.setdefault(name, set()).add(without_date(answer))
        done += 1
    line.close()
    return answers, times


def without_date(answer):
    return b"\r\n".join(line for line in answer.split(b"\r\n") if not line.lower().startswith(b"date:"))


def trimmed(values, share=0.9):
    """Without the slowest tenth, which the machine made slow."""
    return sorted(values)[: int(len(values) * share)]


def welch(a, b):
    """(t, difference of means) of two samples."""
    difference = statistics.fmean(a) - statistics.fmean(b)
    spread = math.sqrt(statistics.variance(a) / len(a) + statistics.variance(b) / len(b))
    return (difference / spread if spread else 0.0), difference


def pairs(times):
    """Every pair of classes, (|t|, microseconds, names), those first that can be told apart."""
    found = []
    for one, two in itertools.combinations(times, 2):
        t, difference = welch(trimmed(times[one]), trimmed(times[two]))
        found.append((abs(t), abs(difference), f"{one} / {two}"))
    return sorted(found, key=lambda pair: (tells_apart(pair), pair[1]), reverse=True)


def tells_apart(pair):
    """Whether somebody outside could tell two classes apart: certain, and more than a network hides."""
    t, difference, _names = pair
    return t >= MOST_T and difference >= MOST_MICROSECONDS


# --- Two brands at once (A2) -----------------------------------------------------------------------------------------

PAIR_SECONDS, PAIR_RATE, PAIR_LINES = 6, 500, 32


async def interleaved(port, requests, rate):
    """Send ready requests in their order at a steady rate over kept lines; (seconds, milliseconds and answer of each)."""
    waiting, found = asyncio.Queue(), [None] * len(requests)
    began = time.monotonic()

    async def line():
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            while (number := await waiting.get()) is not None:
                # From when it was due, not from when a line was free: a slow gateway must not slow the questions down.
                writer.write(requests[number])
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    int(row.partition(b":")[2])
                    for row in head.split(b"\r\n")
                    if row.lower().startswith(b"content-length")
                )
                body = await reader.readexactly(length)
                found[number] = ((time.monotonic() - began - number / rate) * 1000, head[9:12], body)
        finally:
            writer.close()

    lines = [asyncio.ensure_future(line()) for _ in range(PAIR_LINES)]
    for number in range(len(requests)):
        await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
        waiting.put_nowait(number)
    for _ in lines:
        waiting.put_nowait(None)
    await asyncio.gather(*lines)
    return time.monotonic() - began, found
