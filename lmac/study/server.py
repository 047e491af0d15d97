"""Serve a listening test and collect what participants send.

    python -m lmac serve test

Answers only on this computer unless --host says otherwise. It serves the page and its stimuli,
never the key, and writes one checked file a participant, which it never overwrites. For a study
over the internet put it behind a web server with TLS, or let participants save their files.
"""

import os
import re
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from lmac.command_line import Argument, CommandLine, Option
from lmac.study.responses import LARGEST_BYTES, ResponseError, parse_response, read_test, stimuli

# A client that says nothing for so long is let go (seconds).
PATIENCE_S = 30
COMMAND_LINE = CommandLine(
    Argument("test_folder", "folder made by python -m lmac study"),
    Option("responses", str, None, "folder of the answers; by default test_folder/responses"),
    Option("host", str, "127.0.0.1", "address to answer on"),
    Option("port", int, 8000, "port to answer on; 0 takes a free one"),
)
RANGE = re.compile(r"bytes=(\d*)-(\d*)")


class TestServer(ThreadingHTTPServer):
    """Serves ``test_folder/page`` and writes answers to ``responses``.

    Arguments
    ---------
    address : tuple
        Host and port; port 0 takes a free one, see ``server_port``.
    test_folder : path
    responses : path
        By default ``responses`` in the test folder.

    Raises FileNotFoundError or ValueError when the folder holds no test.
    """

    __test__ = False  # no test of pytest
    daemon_threads = True

    def __init__(self, address, test_folder, responses=None):
        folder = Path(test_folder)
        self.manifest, _ = read_test(folder)
        self.responses = Path(responses or folder / "responses")
        self.responses.mkdir(parents=True, exist_ok=True)
        page = folder / "page"
        names = stimuli(self.manifest)
        for trial in (self.manifest["training"], *self.manifest["trials"]):
            names += [trial["reference"], *trial["stimuli"]]
        # Only these are ever served: no path of a request reaches the file system.
        self.files = {f"/stimuli/{n}.wav": (page / "stimuli" / f"{n}.wav") for n in names}
        self.files["/"] = self.files["/index.html"] = page / "index.html"
        super().__init__(address, Handler)

    def store(self, data):
        """Check and write a participant's answers; returns the path.

        Raises ResponseError for answers that are not in order, and FileExistsError when others
        of this participant are there. The very same again is fine: a page may send twice.
        """
        response = parse_response(data, self.manifest)
        name = f"{response['test']}_{response['participant']}.json"
        path = self.responses / name
        part = self.responses / f".{name}.{os.urandom(6).hex()}"
        try:
            part.write_bytes(data)
            os.link(part, path)  # fails where a file is, and never shows half of one
        except FileExistsError:
            if path.read_bytes() != data:
                raise
        finally:
            part.unlink(missing_ok=True)
        return path


class Handler(BaseHTTPRequestHandler):
    """GET of the page and its stimuli, with ranges; POST of answers to /responses."""

    server_version = "lmac"
    sys_version = ""
    protocol_version = "HTTP/1.1"
    timeout = PATIENCE_S

    def do_GET(self):  # noqa: N802
        self._get()

    def do_HEAD(self):  # noqa: N802
        self._get(with_body=False)

    def _get(self, with_body=True):
        path = self.server.files.get(urlsplit(self.path).path)
        if path is None or not path.is_file():
            return self._say(HTTPStatus.NOT_FOUND, "There is no such page.")
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
        kind = "audio/wav" if path.suffix == ".wav" else "text/html; charset=utf-8"
        self._send(status, data if with_body else b"", kind, headers, len(data))

    def do_POST(self):  # noqa: N802
        # What is refused unread is not read on: the connection ends.
        self.close_connection = True
        if urlsplit(self.path).path != "/responses":
            return self._say(HTTPStatus.NOT_FOUND, "Answers go to /responses.")
        kind = self.headers.get("Content-Type", "").split(";")[0].strip().lower()
        origin = self.headers.get("Origin")
        # A page of another site must not be able to send in the name of a visitor.
        foreign = origin is not None and urlsplit(origin).netloc != self.headers.get("Host")
        if kind != "application/json" or foreign:
            return self._say(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                "Answers are application/json, sent by the page of this server.",
            )
        length = self.headers.get("Content-Length", "")
        if not re.fullmatch(r"[0-9]{1,12}", length):
            return self._say(HTTPStatus.LENGTH_REQUIRED, "Content-Length is missing.")
        if int(length) > LARGEST_BYTES:
            return self._say(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"At most {LARGEST_BYTES} bytes are taken."
            )
        data = self.rfile.read(int(length))
        try:
            self.server.store(data)
        except ResponseError as error:
            return self._say(HTTPStatus.BAD_REQUEST, f"Not as expected: {error}.")
        except FileExistsError:
            return self._say(
                HTTPStatus.CONFLICT, "There are answers of this participant name already."
            )
        except OSError:
            return self._say(HTTPStatus.INTERNAL_SERVER_ERROR, "The answers cannot be written.")
        self._say(HTTPStatus.CREATED, "Stored.")

    def _say(self, status, text, headers=None):
        data = f"{text}\n".encode()
        self._send(status, data, "text/plain; charset=utf-8", headers or {}, len(data))

    def _send(self, status, data, kind, headers, length):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(length))
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cache-Control", "no-store")
        for name, value in headers.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


def _range(first, last, size):
    """First and last byte of "first-last" or "-length"; first > last if there is none."""
    if not first:
        return max(0, size - int(last)), size - 1 if int(last) else -1
    return int(first), min(int(last), size - 1) if last else size - 1


def main(argv):
    options = COMMAND_LINE.parse(argv)
    host, port = options["host"], options["port"]
    try:
        server = TestServer((host, port), options["test_folder"], options["responses"])
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise ValueError(
            f"--host={host} --port={port} cannot be listened on ({error}): give another --port."
        ) from error
    with server:
        print(f"Listening test: http://{host}:{server.server_port}/")
        print(f"Answers go to {server.responses}; Ctrl+C ends.", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()
