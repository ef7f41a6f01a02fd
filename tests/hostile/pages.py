"""Rows 73-92: HTTP. A worker serves three pages without input, on loopback; the operators' console is not among them.

Each request is sent as raw bytes to a live worker. `allowed`: the statuses that it may answer with; 0: it hangs up.
"""

from __future__ import annotations

import gzip
from typing import NamedTuple

from tests.hostile.shots import Row

PAGES = "tests/broker/test_hostile_pages.py::"
EACH = (PAGES + "test_a_hostile_request_is_answered_shortly_or_not_at_all",)
REFUSED = frozenset({0, 400})
IGNORED = frozenset({200})
EITHER = REFUSED | IGNORED
MISSING = frozenset({0, 400, 404})
NO_METHOD = frozenset({0, 400, 404, 405, 501})


class Ask(NamedTuple):
    """One request as bytes."""

    row: int
    raw: bytes
    allowed: frozenset[int]


def _get(path: bytes, *lines: bytes, body: bytes = b"", method: bytes = b"GET") -> bytes:
    return b"\r\n".join([method + b" " + path + b" HTTP/1.1", b"Host: localhost", *lines, b"", body])


CHUNKED = b"Transfer-Encoding: chunked"
BOMB = gzip.compress(b"\0" * (32 << 20))
ASKS = [
    *(Ask(73, _get(b"/livez", b"Authorization: " + each), IGNORED) for each in (
        b"Basic YTpi", b"Bearer eyJhbGciOiJub25lIn0.e30.", b"Bearer " + b"x" * 2_000)),
    *(Ask(74, _get(path), MISSING) for path in (b"/table/x", b"/table/", b"/router/x", b"/stats", b"/graph", b"/performance", b"/")),
    Ask(75, _get(b"/livez", b"Content-Length: 4", CHUNKED, body=b"0\r\n\r\nGET /metrics HTTP/1.1\r\n\r\n"), REFUSED),
    Ask(75, _get(b"/livez", b"Content-Length: 4", b"Content-Length: 5", body=b"abcde"), REFUSED),
    Ask(75, _get(b"/livez", b"Transfer-Encoding: xchunked", body=b"0\r\n\r\n"), EITHER),
    Ask(75, _get(b"/livez", CHUNKED, body=b"1;\nx\r\na\r\n0\r\n\r\n"), EITHER),
    Ask(75, b"GET /livez HTTP/1.1\nHost: localhost\n\n", EITHER),
    Ask(75, _get(b"/livez", b"X: a\rb"), REFUSED),
    Ask(76, "GET /livez HTTP/1.𝟙\r\nHost: x\r\n\r\n".encode(), REFUSED),
    Ask(76, b"GET/livez: HTTP/1.1\r\nHost: x\r\n\r\n", REFUSED),
    Ask(76, _get(b"/livez", b"Host : other"), REFUSED),
    *(Ask(77, _get(b"/livez", b"Content-Length: " + size, body=b"abc"), EITHER) for size in (
        b"-1", b"9" * 30, b"0x3", b"1", b"9")),
    Ask(78, _get(b"/livez", b"Content-Encoding: gzip", b"Content-Length: %d" % len(BOMB), body=BOMB), EITHER),
    Ask(78, _get(b"/livez", b"Content-Encoding: gzip, gzip, br, deflate", b"Content-Length: 1", body=b"x"), EITHER),
    Ask(80, _get(b"/livez", b"X: " + b"x" * 10_000_000), REFUSED),
    Ask(80, _get(b"/livez", *(b"X%d: x" % n for n in range(10_000))), EITHER),
    Ask(80, _get(b"/" + b"x" * 1_000_000), REFUSED),
    *(Ask(81, _get(path), MISSING) for path in (
        b"/..%2f..%2fetc/passwd", b"/../../etc/passwd", b"/%00", b"//", b"/livez%2f..", b"/metrics/s%2f1")),
    Ask(82, _get(b"/livez", b"X-Forwarded-For: 127.0.0.1", b"X-Forwarded-Host: evil"), IGNORED),
    Ask(82, b"GET http://evil.example/livez HTTP/1.1\r\nHost: evil.example\r\n\r\n", EITHER | {404}),
    *(Ask(83, _get(b"/livez", method=method), NO_METHOD) for method in (
        b"TRACE", b"POST", b"PUT", b"DELETE", b"PATCH", b"OPTIONS", b"BREW", b"POST\t")),
    Ask(83, _get(b"/livez", b"X-HTTP-Method-Override: DELETE"), IGNORED),
    Ask(83, b"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n", NO_METHOD),
    Ask(83, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", NO_METHOD),
    Ask(84, _get(b"/livez", b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13",
                 b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="), EITHER),
    Ask(85, _get(b"/livez?contact=%2B12125550199"), IGNORED),
    *(Ask(86, _get(b"/metrics?" + query), EITHER) for query in (
        b"limit=-1", b"limit=1e9", b"cursor=forged", b"q='%20OR%201=1--", b"q=%25s%25n", b"q={0.__class__}", b"q=${7*7}")),
    Ask(87, _get(b"/livez?x=%0d%0aX-Injected:%201"), IGNORED),
    Ask(87, _get(b"/\x1b[2J"), MISSING),
    Ask(87, _get("/livez?x=\u2028".encode()), EITHER),
    Ask(87, _get(b"/livez", b"User-Agent: \x1b[31m" + b"x" * 4_000), EITHER),
    Ask(88, _get(b"/metrics", b"Accept: */*;q=NaN", b"Accept-Charset: \xff"), EITHER),
    Ask(88, _get(b"/livez", b"Content-Type: multipart/form-data; boundary=x", b"Content-Length: 12", body=b"--x\r\n" * 2), EITHER),
    *(Ask(89, _get(b"/livez", b"Content-Type: " + kind, b"Content-Length: 14", body=b'{"a":1,"a":NaN', method=b"POST"), NO_METHOD)
      for kind in (b"application/json", b"text/xml")),
    Ask(90, _get(b"/livez", b"Origin: null", b"Cookie: a=b"), IGNORED),
    Ask(90, _get(b"/livez", b"Origin: https://evil.example", b"Content-Length: 0", method=b"POST"), NO_METHOD),
]  # fmt: skip

ROWS = [
    Row(73, "no, wrong, expired, `alg:none` credentials", "The three pages ask for none and hold nothing private; they listen on loopback.",
        runs=(*EACH, "tests/broker/test_engine_process.py::test_a_worker_listens_on_loopback_only")),
    Row(74, "Faust's own pages", "404: they are off.", runs=EACH),
    Row(75, "request smuggling", "Refused.", runs=EACH),
    Row(76, "malformed request lines", "Refused.", runs=EACH),
    Row(77, "odd lengths", "Refused, or the body is not looked at.", runs=EACH),
    Row(78, "compressed bodies", "Bodies are never read.", runs=EACH),
    Row(79, "slow and idle connections", "A request must come within ten seconds; of more than 200 connections the oldest goes. They hold up nobody.",
        runs=(PAGES + "test_slow_connections_hold_up_nobody",
              "tests/unit/engine/test_pages.py::test_a_request_that_trickles_in_is_hung_up_on")),
    Row(80, "huge headers and addresses", "Refused.", runs=EACH),
    Row(81, "path traversal", "404: nothing is served from files.", runs=EACH),
    Row(82, "spoofed hosts", "Not looked at.", runs=EACH),
    Row(83, "other methods", "405, or refused.", runs=EACH),
    Row(84, "1,000 pipelined requests; an upgrade", "Answered in order; never upgraded.",
        runs=(PAGES + "test_pipelined_requests_are_answered_in_order", *EACH)),
    Row(85, "a contact in the query", "Requests are not logged.", runs=(PAGES + "test_nothing_of_a_request_reaches_the_log",)),
    Row(86, "queries that mean something elsewhere", "Queries are not looked at.", runs=EACH),
    Row(87, "line ends and terminal commands in what is logged or shown",
        "Requests are not logged; what a command shows of a record is made printable.",
        runs=(PAGES + "test_nothing_of_a_request_reaches_the_log",
              "tests/property/test_fuzz_targets.py::test_old_findings_and_mutations_end_as_declared[tail]")),
    Row(88, "odd Accept, charset, multipart", "Not looked at.", runs=EACH),
    Row(89, "rows 1-30 over HTTP", "No page takes a message: 405.", runs=EACH),
    Row(90, "cross-site requests", "No page changes anything, and none allows another origin.", runs=EACH),
    Row(91, "names that would explode metrics", "No label of a metric comes from a message, but for the names of rules and pauses.",
        runs=(PAGES + "test_names_in_messages_do_not_become_labels",)),
    Row(92, "health while fenced, recovering, with a full disk or not assigned", "503 until every partition decides.",
        runs=(PAGES + "test_a_worker_that_restores_or_is_fenced_is_not_ready",
              PAGES + "test_a_worker_without_partitions_or_with_a_full_disk_is_not_ready")),
]  # fmt: skip
