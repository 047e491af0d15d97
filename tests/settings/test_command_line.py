"""Words and options of commands without a YAML file."""

import pytest
from hyperpyyaml import load_hyperpyyaml

from lmac.settings.command_line import REQUIRED, Argument, CommandLine, Option

LINE = CommandLine(
    Argument("test", "folder of the test"),
    Argument("results", "folders of results", many=True),
    Option("output", str, REQUIRED, "a new folder"),
    Option("clips", int, 8, "how many"),
    Option("share", float, 0.15, "from 0 to 1"),
    Option("keep_all", bool, False, "keep them"),
    Option("methods", list, None, "which"),
)


def test_every_word_has_its_value():
    assert LINE.parse(["t", "a", "--output=o", "b"]) == {
        "test": "t", "results": ["a", "b"], "output": "o", "clips": 8, "share": 0.15,
        "keep_all": False, "methods": None,
    }  # fmt: skip
    words = ["--clips=3", "t", "--share=1e-1", "a", "--keep_all=True", "--output=a=b, c: d"]
    found = LINE.parse([*words, "--methods=[L-MAC FT, 'a, b', 12]", "--clips=4"])
    assert found["clips"] == 4 and type(found["clips"]) is int
    assert found["share"] == 0.1 and found["keep_all"] is True
    assert found["output"] == "a=b, c: d"  # text is taken as it is
    assert found["methods"] == ["L-MAC FT", "a, b", "12"]


@pytest.mark.parametrize("word", ["[a,b]", "[L-MAC FT,Saliency]", "['a, b',c]", "[]", "[x]"])
def test_lists_are_those_of_overrides(word):
    """The same words, by the library that reads overrides."""
    expected = load_hyperpyyaml("key: null", f"key: {word}")["key"]
    assert LINE.parse(["t", "a", "--output=o", f"--methods={word}"])["methods"] == expected


def test_names_that_look_like_numbers_stay_names():
    """Clips have IDs such as 007 or 1_000, which YAML would read as numbers."""
    found = LINE.parse(["t", "a", "--output=o", "--methods=[007,1_000,2001-01-01,true,null]"])
    assert found["methods"] == ["007", "1_000", "2001-01-01", "true", "null"]
    assert LINE.parse(["t", "a", "--output=o", "--methods=L-MAC FT"])["methods"] == ["L-MAC FT"]


@pytest.mark.parametrize(
    "words,message",
    [
        (["--clip=3"], "Unknown option --clip: did you mean --clips?"),
        (["--xyzzy=3"], "Unknown option --xyzzy: expected some of --output, --clips, --share, "
         "--keep_all, --methods."),
        (["-clips=3"], "Unknown option -clips: did you mean --clips?"),
        (["--clips"], "--clips: expected one argument."),
        (["--keep_all"], "--keep_all: expected one argument."),
        (["--clips=3.5"], "--clips: expected a whole number, such as 8, got '3.5'."),
        (["--clips="], "--clips: expected a whole number, such as 8, got ''."),
        (["--share=half"], "--share: expected a number, such as 0.5, got 'half'."),
        (["--keep_all=maybe"], "--keep_all: expected True or False, got 'maybe'."),
        (["--methods=a,b"], "--methods: expected a list such as [a,b], got 'a,b'."),
        (["--methods=[a"], "--methods: expected a list such as [a,b], got '[a'."),
        (["--methods=[a: b]"], "--methods: expected a list such as [a,b], got '[a: b]'."),
    ],
)  # fmt: skip
def test_mistakes_get_one_sentence(words, message):
    with pytest.raises(ValueError) as error:
        LINE.parse(["t", "a", "--output=o", *words])
    assert str(error.value) == message


def test_missing_and_superfluous_words():
    with pytest.raises(ValueError, match="^The following arguments are required: --output.$"):
        LINE.parse(["t", "a"])
    with pytest.raises(ValueError, match="^The following arguments are required: results.$"):
        LINE.parse(["t", "--output=o"])
    with pytest.raises(ValueError, match="^'y' is one word too many: options are written --key="):
        CommandLine(Argument("test", "folder")).parse(["x", "y"])


def test_help_is_made_of_the_declaration():
    shown = LINE.format_help()
    for line in ("  test              folder of the test", "  --output …        a new folder",
                 "  --clips 8         how many", "  --methods […]     which"):  # fmt: skip
        assert line in shown.splitlines(), line
    assert LINE.needs_words and not CommandLine(Option("a", int, 1, "one")).needs_words


def test_a_tilde_is_the_home_folder(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert LINE.parse(["t", "a", "--output=~/o"])["output"] == "/home/me/o"
