"""Names of sounds, clips, classes and methods as names of files and folders."""

import hashlib
import os
import unicodedata

LONGEST = 200  # bytes; file systems take 255, and something may be appended
# Separators, what Windows forbids, and "~", which marks the names made here.
_FORBIDDEN = set('/\\:*?"<>|~')


def safe_name(name):
    """``name`` as the name of one file or folder, which lies where it is put.

    Most names stay as they are. What leads elsewhere (``..``, ``/etc``), is hidden, too long or
    no plain text is replaced by what is left of it, ``~`` and a digest, so that two different
    names never give the same one.
    """
    encoded = os.fsencode(name)  # a file's name need not be valid UTF-8
    if (
        name.strip(" ") == name
        and not name.startswith(".")
        and not name.endswith(".")
        and name.isprintable()
        and _FORBIDDEN.isdisjoint(name)
        and unicodedata.is_normalized("NFC", name)
        and 0 < len(encoded) <= LONGEST
    ):
        return name
    kept = "".join(c if c.isprintable() and c not in _FORBIDDEN else "_" for c in name)
    kept = unicodedata.normalize("NFC", kept).encode()[:60].decode(errors="ignore").lstrip(". ")
    return f"{kept}~{hashlib.sha256(encoded).hexdigest()[:12]}"


def shown(name):
    """``name`` as text that can be printed and written: on one line, and valid UTF-8."""
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
