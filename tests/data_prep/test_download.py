"""Downloads against a local server that is slow, forgetful, broken or hostile."""

import hashlib
import http.server
import io
import stat
import threading
import warnings
import zipfile

import numpy as np
import pytest
import soundfile

from data_prep import esc50
from data_prep.download import fetch_archive
from data_prep.manifest import DataError, read_manifest
from lmac.settings.load import load, settings

BY_HAND = "By hand: fetch it and put it there."


class Server(http.server.ThreadingHTTPServer):
    """Serves ``content``; knows ranges unless told otherwise, and can break off."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.etag = b"", '"1"'
        self.ranges, self.break_after, self.status = True, None, None
        self.requests = []  # (Range, If-Range) of every request
        self.url = f"http://127.0.0.1:{self.server_port}/archive.zip"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server, first = self.server, 0
        asked = self.headers.get("Range")
        server.requests.append((asked, self.headers.get("If-Range")))
        if server.status:
            return self.send_error(server.status)
        same = self.headers.get("If-Range", server.etag) == server.etag
        if asked and server.ranges and same:
            first = int(asked.removeprefix("bytes=").rstrip("-"))
        size = len(server.content)
        if first >= size:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{size}")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        self.send_response(206 if first else 200)
        if first:
            self.send_header("Content-Range", f"bytes {first}-{size - 1}/{size}")
        if server.etag:
            self.send_header("ETag", server.etag)
        self.send_header("Content-Length", str(size - first))
        self.end_headers()
        end = size if server.break_after is None else first + server.break_after
        self.wfile.write(server.content[first:end])

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    server = Server()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def archive(files, top="data-master/", links=()):
    """A zip with ``files`` (name to bytes) and symbolic ``links`` (name to target)."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        for name, content in files.items():
            file.writestr(top + name, content)
        for name, target in dict(links).items():
            info = zipfile.ZipInfo(top + name)
            info.external_attr = (stat.S_IFLNK | 0o777) << 16
            file.writestr(info, target)
    return out.getvalue()


RANDOM = np.random.default_rng(0).bytes(300_000)
FILES = {"meta/a.csv": b"x,y\n", "audio/1.wav": RANDOM}


def fetch(server, folder, **options):
    fetch_archive(server.url, folder, BY_HAND, **options)


def content(folder):
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


def refused(server, folder, message, **options):
    """The download fails with one sentence and leaves nothing unpacked."""
    with pytest.raises(DataError, match=message) as error:
        fetch(server, folder, **options)
    assert "\n" not in str(error.value)
    left = {p.name for p in folder.parent.iterdir()}
    assert left <= {"data.zip.part", "data.zip.part.version"}
    return left


@pytest.mark.parametrize("kind", ["sha256", "md5"])
@pytest.mark.parametrize("top", ["data-master/", ""])
def test_it_is_fetched_and_unpacked_whole(server, tmp_path, top, kind):
    server.content = archive(FILES, top)
    checksum = f"{kind}:{hashlib.new(kind, server.content).hexdigest()}"
    (tmp_path / "data").mkdir()  # an empty folder is no obstacle
    fetch(server, tmp_path / "data", checksum=checksum.upper())
    assert content(tmp_path / "data") == FILES
    assert [p.name for p in tmp_path.iterdir()] == ["data"]
    assert (tmp_path / "data").stat().st_mode & 0o055  # not only for its owner


def test_it_goes_on_where_it_was_interrupted(server, tmp_path):
    server.content = archive(FILES)
    server.break_after = 100_000
    for turn in (1, 2):
        left = refused(
            server,
            tmp_path / "data",
            f"interrupted after 0.{turn} MB.*the same command goes on from there. By hand",
        )
        assert "data.zip.part" in left
    server.break_after = None
    fetch(server, tmp_path / "data")
    assert content(tmp_path / "data") == FILES
    assert server.requests == [
        (None, None),
        ("bytes=100000-", '"1"'),
        ("bytes=200000-", '"1"'),
    ]


@pytest.mark.parametrize("how", ["no ranges", "changed", "no mark"])
def test_parts_of_two_files_are_never_joined(server, tmp_path, how):
    server.content, server.break_after = archive({"audio/old.wav": RANDOM[::-1]}), 100_000
    server.etag = None if how == "no mark" else '"1"'
    refused(server, tmp_path / "data", "interrupted")
    server.content, server.break_after = archive(FILES), None
    server.ranges = how != "no ranges"
    server.etag = {"changed": '"2"'}.get(how, server.etag)
    if how == "no mark":  # nobody can know, but the checksums of the archive do
        assert not refused(server, tmp_path / "data", "cannot be used and was deleted.*anew")
    fetch(server, tmp_path / "data")
    assert content(tmp_path / "data") == FILES


def test_a_complete_part_is_not_fetched_again(server, tmp_path):
    server.content = archive(FILES)
    (tmp_path / "data.zip.part").write_bytes(server.content)
    fetch(server, tmp_path / "data")
    assert content(tmp_path / "data") == FILES and len(server.requests) == 1


def test_a_part_that_is_too_long_is_fetched_anew(server, tmp_path):
    server.content = archive(FILES)
    (tmp_path / "data.zip.part").write_bytes(server.content + b"more")
    fetch(server, tmp_path / "data")
    assert content(tmp_path / "data") == FILES


def test_a_wrong_checksum_is_refused(server, tmp_path):
    server.content = archive(FILES)
    for kind, length in (("sha256", 64), ("md5", 32)):
        found = hashlib.new(kind, server.content).hexdigest()
        message = f"its checksum is {kind}:{found}, expected {kind}:00.*--download_checksum=null"
        wrong = f"{kind}:{'0' * length}"
        assert not refused(server, tmp_path / "data", message, checksum=wrong)


@pytest.mark.parametrize("checksum", ["00" * 32, "md5:" + "0" * 64, "crc32:00000000", "sha256:"])
def test_a_checksum_of_no_known_form_is_refused_before_the_download(server, tmp_path, checksum):
    server.content = archive(FILES)
    message = "download_checksum is '.*': expected md5: and 32 or sha256: and 64"
    assert not refused(server, tmp_path / "data", message, checksum=checksum)
    assert not server.requests


def broken(kind):
    whole = archive(FILES)
    if kind == "no zip":
        return b"<html>Sign in to the network</html>"
    if kind == "cut":
        return whole[:-100]
    at = whole.index(RANDOM[:50]) + 1000
    return whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]


@pytest.mark.parametrize("kind", ["no zip", "cut", "one bit"])
def test_a_corrupt_archive_is_deleted_and_can_be_fetched_anew(server, tmp_path, kind):
    server.content = broken(kind)
    assert not refused(server, tmp_path / "data", "cannot be used and was deleted.*anew: ")
    server.content = archive(FILES)
    fetch(server, tmp_path / "data")
    assert content(tmp_path / "data") == FILES


@pytest.mark.parametrize(
    "name", ["../evil.txt", "a/../../evil.txt", "/tmp/evil.txt", "..\\evil.txt", "C:/evil.txt"]
)
def test_nothing_leaves_the_folder(server, tmp_path, name):
    server.content = archive({"audio/1.wav": b"1", name: b"evil"}, top="")
    refused(server, tmp_path / "data", "leads out of the folder")
    assert not list(tmp_path.parent.rglob("evil.txt"))


def test_links_are_refused(server, tmp_path):
    server.content = archive(FILES, links={"audio/link": "/etc"})
    refused(server, tmp_path / "data", "audio/link' is a link")


def test_an_archive_of_absurd_size_is_refused(server, tmp_path):
    zeros = io.BytesIO()
    with zipfile.ZipFile(zeros, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("zeros", bytes(3_000_000))
    server.content = zeros.getvalue()
    assert len(server.content) < 10_000
    assert not refused(server, tmp_path / "data", "more than 0.002 GB", max_bytes=2_000_000)
    server.content = archive({"zeros": bytes(3_000_000)})
    assert not refused(server, tmp_path / "data", "larger than 0.002 GB", max_bytes=2_000_000)


@pytest.mark.parametrize("entries", [("a", "a/b"), ("a/b", "a"), ("a", "a"), ("x" * 256,)])
def test_entries_that_cannot_be_files_beside_one_another_are_refused(server, tmp_path, entries):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a name is there twice
        for name in ("audio/1.wav", *entries):
            file.writestr(name, b"1")
    server.content = out.getvalue()
    assert not refused(server, tmp_path / "data", "is there twice|name that is too long")


def test_more_entries_than_any_data_set_has_are_refused(server, tmp_path, monkeypatch):
    monkeypatch.setattr("data_prep.download.MOST_ENTRIES", 20)
    server.content = archive({f"audio/{k}.wav": b"" for k in range(21)})
    assert not refused(server, tmp_path / "data", "has 21 entries, more than 20")


def test_an_entry_that_unpacks_to_more_than_it_announces_is_refused(server, tmp_path):
    zeros = io.BytesIO()
    with zipfile.ZipFile(zeros, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("zeros", bytes(3_000_000))
    content = zeros.getvalue()
    true, false = (n.to_bytes(4, "little") for n in (3_000_000, 1000))
    assert content.count(true) == 2  # in the entry's own header, and in the directory
    server.content = content.replace(true, false)
    assert not refused(server, tmp_path / "data", "cannot be used", max_bytes=2_000_000)


def test_a_server_that_will_not_or_cannot(server, tmp_path):
    server.status = 404
    refused(server, tmp_path / "data", "cannot be had .HTTP status 404.. By hand: fetch it")
    server.server_close()
    server.url = "http://127.0.0.1:1/archive.zip"
    refused(server, tmp_path / "data", "127.0.0.1:1/archive.zip cannot be reached .*By hand: fetch")


def test_files_that_are_there_are_left_alone(server, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine.txt").write_text("mine")
    with pytest.raises(DataError, match="data is not empty, so nothing is downloaded"):
        fetch(server, tmp_path / "data")
    assert content(tmp_path / "data") == {"mine.txt": b"mine"} and not server.requests


def esc50_archive(missing=0):
    """2000 clips of 10 ms in 50 classes and 5 folds, as the published archive names them."""
    clip = io.BytesIO()
    soundfile.write(clip, 0.1 * np.ones(160), 16000, format="WAV")
    names = [f"{1 + k % 5}-{1000 + k}-A-{k % 50}.wav" for k in range(2000)]
    lines = ["filename,fold,target,category,esc10,src_file,take"]
    for k, name in enumerate(names):
        lines.append(f"{name},{1 + k % 5},{k % 50},class{k % 50},{k % 50 < 10},{1000 + k},A")
    files = {f"audio/{name}": clip.getvalue() for name in names[missing:]}
    return archive({"meta/esc50.csv": "\n".join(lines) + "\n", **files}, top="ESC-50-master/")


def test_esc50_in_full(server, tmp_path):
    server.content = esc50_archive()
    folder, manifest = tmp_path / "data", tmp_path / "m.csv"
    options = {"download": True, "download_url": server.url}
    with pytest.raises(DataError, match="there is no folder .*--download=True"):
        esc50.prepare(folder, manifest)
    assert not server.requests  # nothing is downloaded unless asked
    labels = esc50.prepare(folder, manifest, **options)
    table = read_manifest(manifest)
    assert labels == [f"class{k}" for k in range(50)] and len(table) == 2000
    assert set(table.groupby(["fold"]).size()) == {400}
    assert table["source"][3] == "1003"
    assert esc50.prepare(folder, manifest, esc10_only=True, **options) == labels[:10]
    assert len(read_manifest(manifest)) == 400 and len(server.requests) == 1


def test_esc50_comes_with_its_checksum_which_can_be_waived(server, tmp_path):
    server.content = esc50_archive()
    overrides = {"data_folder": str(tmp_path / "data"), "download_url": server.url}
    overrides |= {"download": True, "results_folder": str(tmp_path / "results")}

    def prepare(**more):
        hparams, _ = load("hparams/classifier.yaml", {**overrides, **more})
        return hparams["prepare_data"](manifest=tmp_path / "m.csv")

    known = "md5:7771e4b9d86d0945acce719c7a59305a"  # as soundata and PaddleSpeech state it
    with pytest.raises(DataError, match=f"expected {known}.*--download_checksum=null"):
        prepare()
    assert not (tmp_path / "data").exists()
    assert len(prepare(download_checksum=None)) == 50
    yaml = settings("hparams/classifier.yaml")
    assert yaml["download_checksum"] == known
    assert (
        yaml["download_url"]
        == esc50.URL
        == ("https://github.com/karoldvl/ESC-50/archive/master.zip")
    )


def test_an_incomplete_esc50_is_refused(server, tmp_path):
    server.content = esc50_archive(missing=3)
    with pytest.raises(DataError, match="2000 rows and 1997 of their files, ESC-50 has 2000"):
        esc50.prepare(tmp_path / "d", tmp_path / "m.csv", download=True, download_url=server.url)
    assert not (tmp_path / "d").exists()


def test_without_network_it_says_what_to_fetch_and_where_to_put_it(tmp_path):
    url = "http://127.0.0.1:1/master.zip"
    with pytest.raises(DataError) as error:
        esc50.prepare(tmp_path / "d", tmp_path / "m.csv", download=True, download_url=url)
    text = str(error.value)
    assert f"fetch {url}, unpack it" in text and f"{tmp_path}/d/meta/esc50.csv exists" in text
