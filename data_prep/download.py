"""Archives of data sets: fetched with resume, checked, and unpacked without trust."""

import hashlib
import http.client
import os
import re
import shutil
import stat
import urllib.error
import urllib.request
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from tqdm import tqdm

from data_prep.manifest import DataError

CHUNK = 1 << 20
MOST_ENTRIES = 10**6
DIGITS = {"md5": "[0-9a-f]{32}", "sha256": "[0-9a-f]{64}"}


def fetch_archive(url, folder, by_hand, checksum=None, verify=None, max_bytes=10**10, timeout=30):
    """Download the zip archive at ``url`` and make ``folder`` of its content.

    ``folder`` appears whole or not at all; a single folder at the top of the archive is left out.
    An interrupted download goes on from ``<folder>.zip.part`` when this is called again, if the
    server allows it and still has the same file.

    Arguments
    ---------
    url : str
    folder : path
        Must not exist, or be empty.
    by_hand : str
        A sentence that says what to do without network.
    checksum : str, optional
        Of the archive: ``md5:`` or ``sha256:`` and hexadecimal digits.
    verify : callable, optional
        Called with the unpacked folder before it gets its name; raises DataError.
    max_bytes : int
        Archives that are larger or hold more than this are refused.
    timeout : float
        Seconds without an answer after which the server is given up.

    Raises
    ------
    DataError
        In one sentence: no connection, an interrupted download, a wrong checksum, a damaged or
        unsafe archive. What cannot be used is deleted, so that the same command may try again.
    """
    if checksum:
        _parts(checksum)  # a slip is found before the download, not after it
    folder = Path(folder).resolve()  # so that a link to another disk stays a link
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(f"{folder} is not empty, so nothing is downloaded to it: {by_hand}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = folder.with_name(f"{folder.name}.zip.part")
    try:
        _download(url, part, max_bytes, timeout)
    except DataError as error:
        _discard(part)
        raise DataError(f"The archive from {url} is refused: {error}") from None
    except urllib.error.HTTPError as error:
        raise DataError(f"{url} cannot be had (HTTP status {error.code}). {by_hand}") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error) or type(error).__name__
        got = part.stat().st_size / 1e6 if part.exists() else 0
        if got:
            raise DataError(
                f"The download of {url} was interrupted after {got:.1f} MB ({reason}): the same "
                f"command goes on from there. {by_hand}"
            ) from error
        raise DataError(f"{url} cannot be reached ({reason}). {by_hand}") from error
    try:
        if checksum:
            _require_checksum(part, checksum)
        with TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-unfinished-") as scratch:
            unpacked = Path(scratch, "new")
            _unpack(part, unpacked, max_bytes)
            if verify is not None:
                verify(unpacked)
            if folder.exists():
                folder.rmdir()
            os.replace(unpacked, folder)
    except (DataError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        _discard(part)
        raise DataError(
            f"The archive from {url} cannot be used and was deleted, the same command fetches it "
            f"anew: {error}"
        ) from error
    except OSError as error:
        raise DataError(f"{part} cannot be unpacked ({error}); it is kept.") from error
    _discard(part)


def _discard(part):
    for path in (part, _validator(part)):
        path.unlink(missing_ok=True)


def _validator(part):
    """Keeps the server's mark of the file's version: parts of two versions must not be joined."""
    return part.with_name(f"{part.name}.version")


def _download(url, part, max_bytes, timeout):
    """Append what ``part`` lacks of ``url``; OSError, ValueError or HTTPException on failure."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "data_prep"})
    if have:
        request.add_header("Range", f"bytes={have}-")
        if _validator(part).exists():
            request.add_header("If-Range", _validator(part).read_text())
    try:
        response = urllib.request.urlopen(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        if error.code != 416 or not have:  # 416: there is nothing after `have`
            raise
        if error.headers.get("Content-Range") == f"bytes */{have}":
            return
        _discard(part)
        return _download(url, part, max_bytes, timeout)
    with response:
        resumed = response.status == 206
        if resumed and not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            _discard(part)
            raise ValueError("the server answered with another part of the file than asked for")
        have = have if resumed else 0
        left = response.headers.get("Content-Length")
        total = have + int(left) if left else None
        etag = response.headers.get("ETag", "")
        version = etag if etag.startswith('"') else response.headers.get("Last-Modified")
        _validator(part).unlink(missing_ok=True)
        if version:
            _validator(part).write_text(version)
        with (
            part.open("ab" if resumed else "wb") as file,
            tqdm(total=total, initial=have, unit="B", unit_scale=True, desc=part.stem) as bar,
        ):
            while chunk := response.read1(CHUNK):
                file.write(chunk)
                bar.update(len(chunk))
                if bar.n > max_bytes:
                    raise DataError(f"it is larger than {max_bytes / 1e9:g} GB.")
    if total is not None and part.stat().st_size < total:
        raise ConnectionError(f"of {total / 1e6:.1f} MB")


def _parts(checksum):
    """``md5:7771…`` to (``"md5"``, ``"7771…"``); DataError for anything else."""
    kind, _, digits = str(checksum).strip().lower().partition(":")
    if not re.fullmatch(DIGITS.get(kind, "(?!)"), digits):
        raise DataError(
            f"download_checksum is {checksum!r}: expected md5: and 32 or sha256: and 64 "
            "hexadecimal digits, or null."
        )
    return kind, digits


def _require_checksum(path, checksum):
    kind, digits = _parts(checksum)
    found = hashlib.new(kind, usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            found.update(chunk)
    if found.hexdigest() != digits:
        raise DataError(
            f"its checksum is {kind}:{found.hexdigest()}, expected {kind}:{digits}. (GitHub "
            "makes archives of a branch anew: --download_checksum=null accepts another one.)"
        )


def _unpack(archive, target, max_bytes):
    """Unpack ``archive`` into ``target``; DataError for anything but plain files and folders."""
    with zipfile.ZipFile(archive) as file:
        members = file.infolist()
        if len(members) > MOST_ENTRIES:
            raise DataError(f"it has {len(members)} entries, more than {MOST_ENTRIES}.")
        size = sum(m.file_size for m in members)
        if size > max_bytes:
            raise DataError(f"it would take {size / 1e9:.1f} GB, more than {max_bytes / 1e9:g} GB.")
        for member in members:
            _require_harmless(member)
        free = shutil.disk_usage(archive.parent).free
        if size > free:
            raise OSError(f"{archive.parent} has {free / 1e9:.1f} GB left, {size / 1e9:.1f} needed")
        tops = {PurePosixPath(m.filename).parts[0] for m in members if not m.is_dir()}
        files = [m for m in members if not m.is_dir()]
        strip = len(tops) == 1 and all(len(PurePosixPath(m.filename).parts) > 1 for m in files)
        target.mkdir()
        for member in tqdm(files, desc="unpacking", unit="file"):
            path = target.joinpath(*PurePosixPath(member.filename).parts[strip:])
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                sink = path.open("xb")
            except (FileExistsError, NotADirectoryError) as error:
                raise DataError(f"its entry {member.filename!r} is there twice.") from error
            # zipfile reads no more than the announced size and compares the checksum (CRC-32).
            with sink, file.open(member) as source:
                shutil.copyfileobj(source, sink, CHUNK)


def _require_harmless(member):
    name, kind = member.filename, stat.S_IFMT(member.external_attr >> 16)
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or any(c in name for c in "\\:\0"):
        raise DataError(f"its entry {name!r} leads out of the folder.")
    if max(len(os.fsencode(part)) for part in parts) > 255:
        raise DataError(f"its entry {name[:40]!r}… has a name that is too long.")
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise DataError(f"its entry {name!r} is a link or no plain file.")
    if member.flag_bits & 1:
        raise DataError(f"its entry {name!r} is encrypted.")
