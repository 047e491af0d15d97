"""The server that collects the answers of a listening test."""

import http.client
import json
import socket
import threading
from contextlib import suppress

import pytest

from lmac.pages.server import PageHandler, serve
from lmac.pages.study.responses import LARGEST_BYTES, read_test
from lmac.pages.study.server import TestServer

from .made import answers


def ask(server, method, path, body=None, headers=None):
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
    try:
        connection.request(method, path, body, headers or {})
        reply = connection.getresponse()
        return reply.status, reply.read(), dict(reply.getheaders())
    finally:
        connection.close()


def post(server, content, **headers):
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    given = {"Content-Type": "application/json"} | {
        k.replace("_", "-"): v for k, v in headers.items()
    }
    status, text, _ = ask(server, "POST", "/responses", body, given)
    return status, text.decode()


def test_server_binds_here_and_serves_the_page_only(server, mos):
    assert server.server_address[0] == "127.0.0.1"
    status, body, _ = ask(server, "GET", "/")
    assert status == 200 and body == (mos / "page" / "index.html").read_bytes()
    for path in ("/key.json", "/../key.json", "/%2e%2e/key.json", "/stimuli/../../key.json",
                 "/manifest.json", "/responses", "/stimuli/", "//etc/passwd"):  # fmt: skip
        status, body, _ = ask(server, "GET", path)
        assert status == 404 and body == b"There is no such page.\n", path


def test_server_answers_ranges(server, mos):
    name = read_test(mos)[0]["trials"][0]["reference"]
    whole = (mos / "page" / "stimuli" / f"{name}.wav").read_bytes()
    path = f"/stimuli/{name}.wav"
    for asked, expected in {
        "bytes=0-": whole,
        "bytes=100-199": whole[100:200],
        "bytes=-50": whole[-50:],
        "bytes=100-99999999": whole[100:],
    }.items():
        status, body, headers = ask(server, "GET", path, headers={"Range": asked})
        assert status == 206 and body == expected
        assert headers["Content-Range"].endswith(f"/{len(whole)}")
    assert ask(server, "GET", path, headers={"Range": "bytes=99999999-"})[0] == 416
    assert ask(server, "GET", path, headers={"Range": "bytes=-0"})[0] == 416
    assert ask(server, "GET", path, headers={"Range": "lines=1-2"})[1] == whole
    status, body, headers = ask(server, "HEAD", path)
    assert (status, body, headers["Content-Length"]) == (200, b"", str(len(whole)))


def test_server_never_overwrites(server, mos):
    manifest, key = read_test(mos)
    first = answers(manifest, key, "P1", lambda *_: 3)
    assert post(server, first) == (201, "Stored.\n")
    assert post(server, first)[0] == 201  # the very same again
    other = answers(manifest, key, "P1", lambda *_: 4)
    assert post(server, other) == (409, "There are answers of this participant name already.\n")
    (stored,) = server.responses.iterdir()
    assert json.loads(stored.read_text()) == first


def test_server_stores_one_of_many_at_once(server, mos):
    manifest, key = read_test(mos)
    tries = [answers(manifest, key, "P1", lambda *_, v=v: v) for v in (1, 2, 3, 4, 5)]
    codes = []
    threads = [threading.Thread(target=lambda t=t: codes.append(post(server, t)[0])) for t in tries]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(codes) == [201, 409, 409, 409, 409]
    (stored,) = server.responses.iterdir()
    assert json.loads(stored.read_text()) in tries


def test_server_refuses_what_is_not_in_order(server, mos):
    manifest, key = read_test(mos)
    good = answers(manifest, key, "P1", lambda *_: 3)
    assert post(server, b"{")[0] == 400
    assert post(server, b"[" * 100_000)[0] == 400
    assert post(server, b"\xff\xfe")[0] == 400
    assert post(server, [])[0] == 400
    bad = json.loads(json.dumps(good))
    bad["ratings"][0]["quality"] = 6
    status, text = post(server, bad)
    assert status == 400 and "quality must be a whole number from 1 to 5, got 6" in text
    assert post(server, {**good, "participant": "../../evil"})[0] == 400
    assert post(server, {**good, "test": "0"})[0] == 400
    assert post(server, b"x" * (LARGEST_BYTES + 1))[0] == 413
    assert post(server, good, Content_Type="text/plain")[0] == 415
    assert post(server, good, Origin="http://elsewhere.example")[0] == 415
    assert ask(server, "POST", "/elsewhere", b"{}", {"Content-Type": "application/json"})[0] == 404
    assert list(server.responses.iterdir()) == []
    assert post(server, good, Origin=f"http://127.0.0.1:{server.server_port}")[0] == 201


def test_server_answers_to_its_own_names_only(server):
    """A name of another site that leads to this computer is no way in (DNS rebinding)."""
    port = server.server_port
    for host in (f"127.0.0.1:{port}", f"localhost:{port}", f"[::1]:{port}", "LOCALHOST"):
        assert ask(server, "GET", "/", headers={"Host": host})[0] == 200, host
    for host in ("evil.example", f"evil.example:{port}", "127.0.0.1.evil.example", "", "[", "::1]"):
        status, body, _ = ask(server, "GET", "/", headers={"Host": host})
        assert (status, body) == (421, b"This server is not known by that name.\n"), host
    assert post(server, {}, Host="evil.example", Origin="http://evil.example")[0] == 421
    assert list(server.responses.iterdir()) == []


def test_a_server_behind_another_knows_its_name(mos, tmp_path):
    with TestServer(("127.0.0.1", 0), mos, tmp_path, names=["Study.example"]) as server:
        assert server.knows("study.example:443") and server.knows("localhost")
        assert not server.knows("example") and not server.knows("evil.example")
    with TestServer(("0.0.0.0", 0), mos, tmp_path) as server:  # open to others: under any name
        assert server.knows("this-computer.example")


@pytest.mark.parametrize("host", ["127.0.0.2", "127.1", "LOCALHOST"])
def test_every_spelling_of_this_computer_is_closed_to_foreign_names(mos, tmp_path, host):
    with TestServer((host, 0), mos, tmp_path) as server:
        assert server.knows("localhost") and server.knows(host)
        assert not server.knows("evil.example")


@pytest.mark.parametrize(
    "host,port,said",
    [
        ("", 0, "--host is empty"),
        ("127.0.0.1", 99999, "--port=99999 is no port"),
        ("127.0.0.1", -1, "--port=-1 is no port"),
        ("no.such.host.invalid", 0, "cannot be listened on"),
    ],
)
def test_an_address_that_is_none_is_one_sentence(mos, tmp_path, host, port, said):
    with pytest.raises(ValueError, match=said):
        serve(lambda address: TestServer(address, mos, tmp_path), host, port, print)


def test_an_origin_that_is_no_address_is_refused(server):
    for origin in ("http://[", "http://[::1", "null", ""):
        assert post(server, {}, Origin=origin)[0] == 415, origin


def test_server_lets_pages_load_nothing_from_elsewhere(server):
    policy = ask(server, "GET", "/")[2]["Content-Security-Policy"]
    assert policy.startswith("default-src 'self' 'unsafe-inline' data: blob:")


@pytest.mark.parametrize("said", [
    b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: localhost\r\n",
    b"POST /responses HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Content-Length: 1000\r\n\r\n{",
])  # fmt: skip
def test_server_lets_silent_clients_go(server, monkeypatch, capsys, said):
    """They hold no connection for ever, the others are answered meanwhile, nothing is stored."""
    assert 0 < PageHandler.timeout <= 60  # seconds
    monkeypatch.setattr(PageHandler, "timeout", 0.5)
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=30) as client:
        client.sendall(said)
        assert ask(server, "GET", "/")[0] == 200
        while client.recv(1000):  # until the server closes it; a timeout raises
            pass
    assert list(server.responses.iterdir()) == []
    assert "Traceback" not in capsys.readouterr().err


def test_server_takes_odd_requests_calmly(server, capsys):
    size = len(ask(server, "GET", "/")[1])
    for asked in ("bytes=" + "9" * 5000 + "-", "bytes=0-" + "9" * 5000, "bytes=٣-٤", "bytes=-"):
        status, body, _ = ask(server, "GET", "/", headers={"Range": asked.encode()})
        assert status == 200 and len(body) == size
    for path in (
        "/%00",
        "/" + "x" * 5000,
        "/stimuli/%2e%2e%2f%2e%2e%2fkey.json",
        "/?a=../key.json#",
    ):
        assert ask(server, "GET", path)[0] in (200, 404)
    for method in ("PUT", "DELETE", "OPTIONS", "TRACE"):
        assert ask(server, method, "/")[0] == 501
    for length in ("-1", "1e3", "9" * 5000, "٣"):
        headers = {"Content-Type": "application/json", "Content-Length": length.encode()}
        assert ask(server, "POST", "/responses", None, headers)[0] in (411, 413)
    assert "Traceback" not in capsys.readouterr().err


def test_server_lets_go_who_says_a_byte_now_and_then(server, monkeypatch):
    monkeypatch.setattr("lmac.pages.server.LONGEST_S", 0.5)
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=0.1) as client:
        with pytest.raises(ConnectionError):
            for _ in range(300):
                client.sendall(b"x")
                with suppress(TimeoutError):
                    if client.recv(1000) == b"":
                        raise ConnectionError
    assert ask(server, "GET", "/")[0] == 200


def ask_name(server, manifest, name, token="0123456789abcdef"):
    body = json.dumps({"test": manifest["test"], "participant": name, "token": token})
    return ask(
        server, "POST", "/participants", body.encode(), {"Content-Type": "application/json"}
    )[:2]


def test_a_name_is_of_one_page_and_taken_once_answered(server, mos):
    manifest, key = read_test(mos)
    assert ask_name(server, manifest, "P1") == (200, b'{"free": true}')
    assert ask_name(server, manifest, "P1") == (200, b'{"free": true}')  # the same page again
    assert ask_name(server, manifest, "P1", "another0") == (200, b'{"free": false}')
    assert post(server, answers(manifest, key, "P2", lambda *_: 3))[0] == 201
    assert ask_name(server, manifest, "P2") == (200, b'{"free": false}')
    assert ask_name(server, manifest, "P3") == (200, b'{"free": true}')
    for name, token in (("../P", "0123456789"), ("P4", "short"), ("P4", 7)):
        assert ask_name(server, manifest, name, token)[0] == 400
    assert ask_name(server, {"test": "other"}, "P4")[0] == 400
    assert len(list(server.responses.iterdir())) == 1  # asking writes nothing


def test_of_many_that_begin_at_once_one_gets_the_name(server, mos):
    manifest, _ = read_test(mos)
    replies = []
    threads = [
        threading.Thread(
            target=lambda t=t: replies.append(ask_name(server, manifest, "P1", f"token{t:03}"))
        )
        for t in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(reply for _, reply in replies) == [b'{"free": false}'] * 7 + [b'{"free": true}']
