"""Names as names of files: nothing leads elsewhere, two names are two files, plain ones stay."""

import os
import unicodedata

import pytest

from lmac.io.names import safe_name, shown

PLAIN = ["dog", "4-164064-C-1_0_5-198411-F-20", "L-MAC FT", "[x] y", "@a.wav", "'q.wav", "007",
         "a$x{.wav", "take #2.wav", "-x.wav", "ä.wav", "狗.wav", "a&b", "100 %"]  # fmt: skip
ODD = ["", ".", "..", "...", "...wav", "../x", "/etc/passwd", "a/b", "a\\b", "a: b.wav", "a\nb",
       "a\0b", " a", "a ", "a.", ".hidden", "~", "x" * 201, "狗" * 100, "\udcff.wav", "a\u202eb",
       unicodedata.normalize("NFD", "ä"), "C:\\x", "x~0123456789ab", "<b>", "con|x"]  # fmt: skip


@pytest.mark.parametrize("name", PLAIN)
def test_plain_names_stay(name):
    assert safe_name(name) == name


@pytest.mark.parametrize("name", ODD)
def test_a_file_of_that_name_lies_where_it_is_put(tmp_path, name):
    made = safe_name(name)
    assert made != name and safe_name(made) != made  # nobody's own name is one of these
    path = tmp_path / "in" / made
    path.parent.mkdir()
    path.write_text("x", encoding="utf-8")
    assert [p.name for p in path.parent.iterdir()] == [made]
    assert path.resolve().parent == path.parent.resolve() and len(os.fsencode(made)) <= 200
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


def test_two_names_are_two_files():
    names = [*PLAIN, *ODD, "a_b", "x" * 202, "..\n", "._", unicodedata.normalize("NFC", "ä")]
    assert len({safe_name(name) for name in names}) == len(set(names))


def test_what_is_shown_is_one_line_of_text():
    for name in [*PLAIN, *ODD]:
        text = shown(name)
        assert text.isprintable() and text.encode() == os.fsencode(text)
    assert shown("a\nb") == r"a\nb" and shown("\udcff") == r"\xff" and shown("ä $x") == "ä $x"
