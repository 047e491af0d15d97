"""Rows of a CSV that each have a checksum, so that damage costs one row and not the file.

The last column has the first twelve digits of the SHA-256 of a row and of what it was computed
with: a row that fits was computed just so, and is whole.
"""

import csv
import hashlib
import io
import json

import pandas as pd

from lmac.io.files import content_of

CHECK = "sha256"


def made_with(setting, description):
    """A text that identifies what rows of one method were computed with.

    Arguments
    ---------
    setting : dict
        What all rows share.
    description : str
        Of the method.
    """
    return json.dumps([setting, description], sort_keys=True, ensure_ascii=False)


def check_of(fields, made):
    """The checksum of ``fields`` (list of str), computed with ``made`` (of ``made_with``)."""
    text = json.dumps([made, *fields], ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def to_text(fields):
    """Lists of str as lines of a CSV."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(fields)
    return text.getvalue()


def with_checks(table, made):
    """A DataFrame with the column CHECK, as lines of a CSV with a header.

    Arguments
    ---------
    table : DataFrame
        Where it has the column already, its checks stay.
    made : dict
        Method to the text of ``made_with``.
    """
    kept = table[CHECK].tolist() if CHECK in table else [None] * len(table)
    plain = table.drop(columns=CHECK, errors="ignore")
    header, *rows = csv.reader(io.StringIO(plain.to_csv(index=False), newline=""))
    method = header.index("method")
    checks = [c or check_of(row, made[row[method]]) for c, row in zip(kept, rows, strict=True)]
    return to_text([[*header, CHECK], *([*row, c] for row, c in zip(rows, checks, strict=True))])


def read_checked(path, columns, made=None):
    """A file of rows with checks.

    Arguments
    ---------
    path : path
    columns : sequence of str
        Without CHECK; a version that wrote others is read with its own.
    made : dict, optional
        Method to the text of ``made_with``; rows of other methods are damaged. Without it no row
        is compared.

    Returns
    -------
    table : DataFrame of str or None
        The rows that are whole, with CHECK; None for a file without that column, as earlier
        versions wrote it.
    damaged : list of str
        What is damaged, such as "line 3".
    """
    data = content_of(path)
    # A kill may have cut the last line short; that is not damage.
    text = data[: data.rfind(b"\n") + 1].decode("utf-8", errors="replace").replace("\0", "\ufffd")
    reader = csv.reader(io.StringIO(text, newline=""))
    rows, damaged, line = [], [], 1
    try:
        for fields in reader:
            rows.append((line, fields))
            line = reader.line_num + 1
    except csv.Error:  # a quotation mark that nothing closes
        damaged.append(f"what follows line {line - 1}")
    header, body = (rows[0][1], rows[1:]) if rows else ([], [])
    expected = [*columns, CHECK]
    if header != expected:
        lengths = {len(fields) for _, fields in body}
        if CHECK not in header and not any(_digits(f) for _, f in body if len(f) == len(expected)):
            return None, []
        if header[-1:] == [CHECK] and lengths and len(expected) not in lengths:
            expected = header  # of a version with other columns
        else:  # rows that are as expected tell that only the header is damaged
            damaged.append("line 1")
    kept = []
    for line, fields in body:
        if len(fields) != len(expected):
            damaged.append(f"line {line}")
            continue
        *own, check = fields
        method = own[expected.index("method")] if "method" in expected else None
        if made is None or method in made and check == check_of(own, made[method]):
            kept.append(fields)
        else:
            damaged.append(f"line {line}")
    return pd.DataFrame(kept, columns=expected, dtype=str), damaged


def _digits(fields):
    return len(fields[-1]) == 12 and set(fields[-1]) <= set("0123456789abcdef")
