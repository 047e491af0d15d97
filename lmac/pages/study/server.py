"""Serve a listening test and collect what participants send.

    python -m lmac serve test

Answers only on this computer unless --host says otherwise. It serves the page and its stimuli,
never the key, and writes one checked file a participant, which it never overwrites. A name that
somebody has begun or answered with is refused to others at the start. For a study over the internet
put it behind a web server with TLS, whose name it must know (--names), or let
participants save their files.
"""

import os
import threading
from http import HTTPStatus
from pathlib import Path

from lmac.pages.server import PageHandler, PageServer, Refused, serve
from lmac.pages.study.responses import (
    LARGEST_BYTES,
    ResponseError,
    parse_name,
    parse_response,
    read_test,
    stimuli,
)
from lmac.settings.command_line import Argument, CommandLine, Option

MOST_NAMES = 100_000  # that are remembered of those who have begun
COMMAND_LINE = CommandLine(
    Argument("test_folder", "folder made by python -m lmac study"),
    Option("responses", str, None, "folder of the answers; by default test_folder/responses"),
    Option("host", str, "127.0.0.1", "address to answer on"),
    Option("port", int, 8000, "port to answer on; 0 takes a free one"),
    Option("names", list, [], "host names it answers to besides, such as the one of a proxy"),
)


class TestServer(PageServer):
    """Serves ``test_folder/page`` and writes answers to ``responses``.

    Arguments
    ---------
    address : tuple
        Host and port; port 0 takes a free one, see ``server_port``.
    test_folder : path
    responses : path
        By default ``responses`` in the test folder.
    names : sequence of str
        As in :class:`lmac.pages.server.PageServer`.

    Raises FileNotFoundError or ValueError when the folder holds no test.
    """

    __test__ = False  # no test of pytest
    request_queue_size = 128  # pages load many sounds at once

    def __init__(self, address, test_folder, responses=None, names=()):
        folder = Path(test_folder)
        self.manifest, _ = read_test(folder)
        self.responses = Path(responses or folder / "responses")
        self.responses.mkdir(parents=True, exist_ok=True)
        page = folder / "page"
        sounds = stimuli(self.manifest)
        for trial in (self.manifest["training"], *self.manifest["trials"]):
            sounds += [trial["reference"], *trial["stimuli"]]
        # Only these are ever served: no path of a request reaches the file system.
        self.files = {f"/stimuli/{n}.wav": (page / "stimuli" / f"{n}.wav") for n in sounds}
        self.files["/"] = self.files["/index.html"] = page / "index.html"
        self.begun = {}  # participant to the token of their page, until the server ends
        self.lock = threading.Lock()
        super().__init__(address, PageHandler, names)

    def file(self, path):
        return self.files.get(path)

    def take(self, path, request):
        if path not in ("/responses", "/participants"):
            raise Refused(HTTPStatus.NOT_FOUND, "Answers go to /responses.")
        data = request.body(LARGEST_BYTES, "application/json")
        try:
            if path == "/participants":
                return HTTPStatus.OK, {"free": self.claim(data)}
            self.store(data)
        except ResponseError as error:
            raise Refused(HTTPStatus.BAD_REQUEST, f"Not as expected: {error}.") from error
        except FileExistsError as error:
            raise Refused(
                HTTPStatus.CONFLICT, "There are answers of this participant name already."
            ) from error
        except OSError as error:
            raise Refused(
                HTTPStatus.INTERNAL_SERVER_ERROR, "The answers cannot be written."
            ) from error
        return HTTPStatus.CREATED, "Stored."

    def claim(self, data):
        """Whether this page may begin under its participant's name: nobody else has.

        Raises ResponseError for a request that is not in order.
        """
        name, token = parse_name(data, self.manifest)
        with self.lock:
            if self._path(name).exists() or self.begun.get(name, token) != token:
                return False
            if len(self.begun) < MOST_NAMES:
                self.begun[name] = token
        return True

    def _path(self, participant):
        return self.responses / f"{self.manifest['test']}_{participant}.json"

    def store(self, data):
        """Check and write a participant's answers; returns the path.

        Raises ResponseError for answers that are not in order, and FileExistsError when others
        of this participant are there. The very same again is fine: a page may send twice.
        """
        response = parse_response(data, self.manifest)
        path = self._path(response["participant"])
        part = self.responses / f".{path.name}.{os.urandom(6).hex()}"
        try:
            part.write_bytes(data)
            os.link(part, path)  # fails where a file is, and never shows half of one
        except FileExistsError:
            if path.read_bytes() != data:
                raise
        finally:
            part.unlink(missing_ok=True)
        return path


def main(argv):
    options = COMMAND_LINE.parse(argv)

    def make(address):
        return TestServer(address, options["test_folder"], options["responses"], options["names"])

    def announce(address):
        responses = options["responses"] or Path(options["test_folder"]) / "responses"
        print(f"Listening test: {address}")
        print(f"Answers go to {responses}; Ctrl+C ends.", flush=True)

    serve(make, options["host"], options["port"], announce)
