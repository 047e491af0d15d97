"""Serving pages of this project: the one way, for the app and for listening tests.

Python's own server, one thread a connection. It answers on this computer unless a command is told
otherwise; a page of another site can neither read it (the Host header is checked, so that a name
which leads here is no way in) nor send to it. What it serves is looked up in a table: no path of
a request reaches the file system.
"""

import ipaddress
import json
import re
import signal
import socket
import sys
import threading
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

# A client that says nothing for so long is let go (seconds).
PATIENCE_S = 30
LONGEST_S = 3600  # and every connection after so long, whatever it says
KINDS = {
    ".wav": "audio/wav",
    ".png": "image/png",
    ".json": "application/json; charset=utf-8",
    ".zip": "application/zip",
    ".html": "text/html; charset=utf-8",
}
RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)
LOOPBACK = ("localhost", "127.0.0.1", "::1")
# What a service is stopped with; a terminal that is closed sends the last.
STOPS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Refused(Exception):
    """A request that is not answered as it wishes: the status and a sentence why."""

    def __init__(self, status, sentence):
        super().__init__(sentence)
        self.status = status


class PageServer(ThreadingHTTPServer):
    """A server of pages; subclasses say what is where.

    Arguments
    ---------
    address : tuple
        Host and port; port 0 takes a free one, see ``server_port``.
    handler : type
        A :class:`PageHandler`.
    names : sequence of str
        Host names it answers to besides those of ``address`` and this computer; on an address
        that is open to others, any name is answered when none is given.
    """

    daemon_threads = True

    def __init__(self, address, handler, names=()):
        self.any_name = not is_loopback(address[0]) and not names
        self.names = {address[0].lower(), *LOOPBACK, *(name.lower() for name in names)}
        super().__init__(address, handler)

    def handle_error(self, request, client_address):
        # Clients that go away, or say nothing for too long, are everyday.
        if not isinstance(sys.exc_info()[1], ConnectionError | TimeoutError):
            super().handle_error(request, client_address)

    def knows(self, host):
        """Whether a Host header is one of this server's names; its port does not matter."""
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        return self.any_name or name in self.names

    def file(self, path):
        """The file that is served at ``path`` of an address, or None."""
        raise NotImplementedError

    def answer(self, path):
        """What a GET of ``path`` says besides files: an object for JSON, or None."""
        return None

    def take(self, path, request):
        """Take what was sent to ``path``; returns (status, object for JSON or a sentence).

        ``request`` is the handler; ``request.body(most, kind)`` reads what was sent. Raises
        :class:`Refused`.
        """
        raise Refused(HTTPStatus.NOT_FOUND, "Nothing is taken here.")


class PageHandler(BaseHTTPRequestHandler):
    """GET and HEAD of what the server has, with ranges; POST of what it takes."""

    server_version = "lmac"
    sys_version = ""
    protocol_version = "HTTP/1.1"
    timeout = PATIENCE_S

    def setup(self):
        super().setup()
        # One that says a byte now and then would be listened to for days.
        self._end = threading.Timer(LONGEST_S, _hang_up, (self.connection,))
        self._end.daemon = True
        self._end.start()

    def finish(self):
        self._end.cancel()
        super().finish()

    def do_GET(self):  # noqa: N802
        self._answer(self._get)

    def do_HEAD(self):  # noqa: N802
        self._answer(self._get)

    def do_POST(self):  # noqa: N802
        # What is refused unread is not read on: the connection ends.
        self.close_connection = True
        self._answer(self._post)

    def _answer(self, how):
        try:
            if not self.server.knows(self.headers.get("Host", "")):
                raise Refused(
                    HTTPStatus.MISDIRECTED_REQUEST, "This server is not known by that name."
                )
            how()
        except Refused as refused:
            self._say(refused.status, str(refused))

    @property
    def _path(self):
        return unquote(urlsplit(self.path).path)

    def _get(self):
        if (content := self.server.answer(self._path)) is not None:
            return self._json(HTTPStatus.OK, content)
        path = self.server.file(self._path)
        if path is None or not path.is_file():
            raise Refused(HTTPStatus.NOT_FOUND, "There is no such page.")
        data = path.read_bytes()
        headers = {"Accept-Ranges": "bytes"}
        status = HTTPStatus.OK
        # Browsers seek in a sound only where ranges are answered.
        asked = RANGE.fullmatch(self.headers.get("Range", ""))
        if asked and any(asked.groups()):
            start, end = _range(*asked.groups(), len(data))
            if start > end:
                return self._say(
                    HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
                    "The file is shorter.",
                    {"Content-Range": f"bytes */{len(data)}"},
                )
            headers["Content-Range"] = f"bytes {start}-{end}/{len(data)}"
            data = data[start : end + 1]
            status = HTTPStatus.PARTIAL_CONTENT
        self._send(status, data, KINDS.get(path.suffix, "application/octet-stream"), headers)

    def _post(self):
        origin = self.headers.get("Origin")
        # A page of another site must not be able to send in the name of a visitor.
        if origin is not None and _netloc(origin) != self.headers.get("Host"):
            raise Refused(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Only pages of this server may send here."
            )
        status, content = self.server.take(self._path, self)
        if isinstance(content, str):
            return self._say(status, content)
        self._json(status, content)

    def body(self, most, kind):
        """What was sent, as bytes: at most ``most`` of them, of the content type ``kind``."""
        given = self.headers.get("Content-Type", "").split(";")[0].strip().lower()
        if given != kind:
            raise Refused(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                f"What is sent here is {kind}, by the page of this server.",
            )
        length = self.headers.get("Content-Length", "")
        if not re.fullmatch(r"[0-9]{1,12}", length):
            raise Refused(HTTPStatus.LENGTH_REQUIRED, "Content-Length is missing.")
        if int(length) > most:
            self._skip(int(length))
            raise Refused(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"At most {_size(most)} are taken, this is {_size(int(length))}.",
            )
        data = self.rfile.read(int(length))
        if len(data) < int(length):
            raise Refused(HTTPStatus.BAD_REQUEST, "The end of what was sent is missing.")
        return data

    def _skip(self, length):
        """Read on for a while what is refused: browsers tell nobody why, else."""
        left = min(length, 200_000_000)
        while left > 0 and (piece := self.rfile.read(min(left, 1 << 20))):
            left -= len(piece)

    def _json(self, status, content):
        data = json.dumps(content, ensure_ascii=False, allow_nan=False).encode()
        self._send(status, data, KINDS[".json"], {})

    def _say(self, status, text, headers=None):
        self._send(status, f"{text}\n".encode(), "text/plain; charset=utf-8", headers or {})

    def _send(self, status, data, kind, headers):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cache-Control", "no-store")
        # Whatever a page is made to load, it comes from here.
        self.send_header(
            "Content-Security-Policy",
            "default-src 'self' 'unsafe-inline' data: blob:; frame-ancestors 'self'",
        )
        for name, value in headers.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


def is_loopback(host):
    """Whether an address, in whatever spelling, answers on this computer alone."""
    if host.lower() in LOOPBACK:
        return True
    try:
        found = {entry[4][0] for entry in socket.getaddrinfo(host or "0.0.0.0", None)}
    except OSError:
        return False
    return all(ipaddress.ip_address(name.partition("%")[0]).is_loopback for name in found)


def _netloc(origin):
    """Host and port of an Origin header; None for what is none."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


def _hang_up(connection):
    with suppress(OSError):  # it is closed already
        connection.shutdown(socket.SHUT_RDWR)


def _size(n_bytes):
    return f"{n_bytes / 1e6:.1f} MB" if n_bytes >= 1e5 else f"{n_bytes} bytes"


def _range(first, last, size):
    """First and last byte of "first-last" or "-length"; first > last if there is none."""
    if not first:
        return max(0, size - int(last)), size - 1 if int(last) else -1
    return int(first), min(int(last), size - 1) if last else size - 1


def serve(make, host, port, announce):
    """Make a server with ``make((host, port))`` and serve until Ctrl+C, SIGTERM or SIGHUP.

    ``announce(address)`` prints what there is to know. Raises ValueError where the address cannot
    be listened on.
    """
    if not host or not 0 <= port <= 65535:
        what = "--host is empty: give an address" if not host else f"--port={port} is no port"
        raise ValueError(f"{what}; 127.0.0.1 and 0 to 65535 are expected, 0 takes a free port.")
    try:
        server = make((host, port))
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise ValueError(
            f"--host={host} --port={port} cannot be listened on ({error}): give another --port."
        ) from error
    with server:
        # So that what is to be deleted at the end is, however a service is stopped.
        for stop in STOPS:
            signal.signal(stop, signal.default_int_handler)
        announce(f"http://{host}:{server.server_port}/")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()
