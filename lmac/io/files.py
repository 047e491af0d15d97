"""Files that are whole or not there, and checksums that tell when one has been damaged.

``whole`` writes a file so that a kill or a full disk leaves the earlier one. ``write_checked``
besides notes its SHA-256 in the ``SHA256SUMS`` of its folder (``sha256sum -c`` reads it), and
``require_undamaged`` compares. A file that no ``SHA256SUMS`` names is taken as it is: results of
earlier versions, published folders, files made by hand. A cache, which many processes fill at
once, has no such list: its files are ``sealed``, with the digest at their end.
"""

import gzip
import hashlib
import logging
import os
import re
import zlib
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path

logger = logging.getLogger(__name__)

SUMS = "SHA256SUMS"
# Of a file that is being written, until it has its name: ends that nobody else's file has.
_PART, _NEW = ".lmac-part-", ".lmac-new"
_TORCH_WRITES = ("PytorchStreamWriter", "inline_container")
_SEAL = b"\nSHA-256 "
_LINE = re.compile(r"([0-9a-f]{64})  (\S.*)")


class Damaged(ValueError):
    """A file that is not as it was written; the message names it and what helps."""


class Unwritable(OSError, ValueError):
    """A file that cannot be written, as on a full disk; the message names it and what helps."""


@contextmanager
def writing(path: str | Path):
    """Turns the error of what is done here, such as that of a full disk, into Unwritable."""
    try:
        yield
    except Unwritable:
        raise
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None)
        # torch's writer knows no errno.
        if not reason and not any(name in str(error) for name in _TORCH_WRITES):
            raise
        raise Unwritable(
            f"{getattr(error, 'filename', None) or path} cannot be written "
            f"({reason or str(error).splitlines()[0]}): make room or give another folder, and the "
            "same command goes on; what was written before is whole."
        ) from error


@contextmanager
def whole(path: str | Path, mode: str = "wb", sync: bool = True):
    """Write a file that replaces the one at ``path`` only when it is complete.

    Gives a file, opened with ``mode``, beside ``path``; its folder is made. With ``sync`` it is
    on the disk then, and outlives a crash of the machine. Raises Unwritable where it cannot be
    written; the earlier file is left.
    """
    path = Path(path)
    part = path.with_name(f".{path.name}{_PART}{os.getpid()}")
    text = {} if "b" in mode else {"encoding": "utf-8", "newline": ""}
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with part.open(mode, **text) as file:
                yield file
                file.flush()
                if sync:
                    os.fsync(file.fileno())
            os.replace(part, path)
            if sync:
                sync_folder(path.parent)
    finally:
        # Where nothing can be written, nothing can be taken away either.
        try:
            part.unlink(missing_ok=True)
        except OSError:
            logger.debug("%s could not be removed.", part)


def remove_remains(folder: str | Path, names: str = "*") -> None:
    """Remove below ``folder`` what a killed run had not finished of files called ``names`` (a
    pattern); nobody else may write these."""
    for path in Path(folder).rglob(".*"):
        name, part, _ = path.name.lstrip(".").partition(_PART)
        if (part or name.endswith(_NEW)) and fnmatch(name.removesuffix(_NEW), names):
            path.unlink()


def sync_folder(folder: Path) -> None:
    """Wait until the names in ``folder`` are on the disk: after a crash they are those of now."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def digest_of(path: str | Path) -> str:
    """The SHA-256 of a file, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def read_sums(folder: str | Path) -> dict[str, set[str]]:
    """Name to the digests that ``SHA256SUMS`` in ``folder`` has of it, {} without that file.

    A name has two while it is being written anew. Raises Damaged for a file that is no such list.
    """
    path = Path(folder) / SUMS
    if not path.is_file():
        return {}
    sums: dict[str, set[str]] = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        found = _LINE.fullmatch(line)
        if found is None:
            raise Damaged(
                f"{path} is damaged: it has the line {line[:80]!r}, expected the SHA-256 and the "
                "name of a file; delete it to do without checksums."
            )
        sums.setdefault(found[2], set()).add(found[1])
    return sums


def write_sums(folder: str | Path, sums: Mapping[str, set[str]]) -> None:
    """Write ``SHA256SUMS`` of ``folder`` from what ``read_sums`` gives."""
    lines = [f"{digest}  {name}\n" for name in sorted(sums) for digest in sorted(sums[name])]
    with whole(Path(folder) / SUMS, "w") as file:
        file.write("".join(lines))


def damage(path: str | Path) -> str | None:
    """What is wrong with the file at ``path`` by the ``SHA256SUMS`` beside it, None for nothing.

    A file that is missing, or that is not listed, is not damaged.
    """
    path = Path(path)
    try:
        known = read_sums(path.parent).get(path.name)
    except Damaged as error:
        return str(error)
    if known is None or not path.is_file() or digest_of(path) in known:
        return None
    return f"{path} is damaged or was changed: it does not have the checksum in {SUMS} beside it"


def require_undamaged(path: str | Path, remedy: str) -> Path:
    """``path``; Damaged, whose message ends with ``remedy``, when its checksum is another."""
    if problem := damage(path):
        raise Damaged(f"{problem}: {remedy}")
    return Path(path)


def found(path: str | Path) -> Path:
    """``path``, or the compressed ``path.gz`` where only that is there, as in published results."""
    packed = Path(f"{path}.gz")
    return packed if packed.is_file() and not Path(path).is_file() else Path(path)


def content_of(path: str | Path) -> bytes:
    """The bytes of a file, unpacked where its name ends in .gz; Damaged where that fails."""
    data = Path(path).read_bytes()
    if Path(path).suffix != ".gz":
        return data
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise Damaged(f"{path} is damaged ({error}): restore it.") from error


def packed(data: bytes) -> bytes:
    """``data`` as the content of a .gz file, the same bytes at any time."""
    return gzip.compress(data, 9, mtime=0)


def write_checked(writers: Mapping[str, Callable], folder: str | Path) -> None:
    """Write files that belong together and note their checksums.

    A full disk leaves the earlier ones. A kill while they are exchanged, the work of an instant,
    may leave some of each: one alone is right then, of several those of before count as damaged.

    Arguments
    ---------
    writers : dict
        Name of a file to a function that writes it to an open binary file.
    folder : path
        What its ``SHA256SUMS`` says of other names is kept.
    """
    folder = Path(folder)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    try:
        sums = read_sums(folder)
    except Damaged as error:
        logger.warning("%s", error)
        sums = {}
    parts = {name: folder / f".{name}{_NEW}" for name in writers}
    try:
        for name, write in writers.items():
            with whole(parts[name]) as file:
                write(file)
        own = {name: {digest_of(part)} for name, part in parts.items()}
        # One file alone is right before and after; a mixture of several never is.
        before = sums if len(own) == 1 else {}
        write_sums(folder, {**sums, **{n: own[n] | before.get(n, set()) for n in own}})
        with writing(folder):
            for name, part in parts.items():
                os.replace(part, folder / name)
            sync_folder(folder)
        if before:
            write_sums(folder, {**sums, **own})
    finally:
        for part in parts.values():
            if part.exists():
                part.unlink()


def publish_files(writers: Mapping[str, Callable], folder: str | Path, only: bool = False) -> None:
    """:func:`write_checked` into a folder that may hold files of others.

    Only what its ``SHA256SUMS`` lists, and is as it says, is written over. ``only``: what else the
    list has is removed.

    Raises ValueError for a folder that is a link or a file, and for a file that is in the way.
    """
    folder = Path(folder)
    if folder.is_symlink() or folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is no folder of its own: give another destination.")
    sums = read_sums(folder) if folder.is_dir() else {}
    for name in writers:
        path = folder / name
        if not path.is_symlink() and not path.exists():
            continue
        if path.is_symlink() or not path.is_file() or digest_of(path) not in sums.get(name, ()):
            raise ValueError(
                f"{path} is in the way: it is not what was written here before ({SUMS} beside it "
                "lists that). Move it away, or give another destination."
            )
    write_checked(writers, folder)
    if only and (old := [name for name in sums if name not in writers]):
        for name in old:
            (folder / name).unlink(missing_ok=True)
        left = {name: known for name, known in read_sums(folder).items() if name not in old}
        write_sums(folder, left)


def write_text(text: str, path: str | Path, checked: bool = False) -> None:
    """Write a text; a reader never sees half a file. ``checked`` notes its checksum beside it."""
    data, path = text.encode("utf-8"), Path(path)
    if checked:
        write_checked({path.name: lambda file: file.write(data)}, path.parent)
        return
    with whole(path) as file:
        file.write(data)


def write_csv(table, path: str | Path, checked: bool = False) -> None:
    """Write a pandas DataFrame as :func:`write_text` does: undefined numbers are empty cells."""
    # 10 digits hide the rounding that differs with the order of the rows.
    write_text(table.to_csv(index=False, float_format="%.10g"), path, checked)


def seal(file) -> None:
    """Append the digest of what a binary file, open for reading and writing, has so far."""
    file.seek(0)
    digest = hashlib.sha256()
    while piece := file.read(1 << 20):
        digest.update(piece)
    file.write(_SEAL + digest.digest())


def is_sealed(path: str | Path) -> bool:
    """Whether the file at ``path`` is there and as it was when it was sealed."""
    path, digest = Path(path), hashlib.sha256()
    if not path.is_file():
        return False
    size = path.stat().st_size - len(_SEAL) - digest.digest_size
    with path.open("rb") as file:
        while size > 0 and (piece := file.read(min(size, 1 << 20))):
            digest.update(piece)
            size -= len(piece)
        return file.read() == _SEAL + digest.digest()
