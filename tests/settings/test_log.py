"""log.txt and the terminal: what matters is there, what libraries mumble is not."""

import logging
import sys

import matplotlib.font_manager
import pytest

from lmac.settings.load import load_experiment

YAML = "output_folder: {folder}\nsave_folder: {folder}/save\nsaid: null\n"


@pytest.fixture
def start(tmp_path, monkeypatch):
    """A run that has just begun, in the folder it returns; logging is as before afterwards."""
    monkeypatch.setenv("SB_LOG_LEVEL", "INFO")
    root, hook = logging.getLogger(), sys.excepthook
    handlers, level = root.handlers[:], root.level
    yaml = tmp_path / "own.yaml"

    def begin(folder, *words):
        yaml.write_text(YAML.format(folder=folder))
        load_experiment([str(yaml), *words], goes_on=False)
        return folder

    yield begin
    for handler in set(root.handlers) - set(handlers):
        handler.close()
    root.handlers[:], sys.excepthook = handlers, hook
    root.setLevel(level)


def test_libraries_are_silent_and_we_are_not(tmp_path, start, capsys):
    folder = start(tmp_path / "out")
    matplotlib.font_manager.FontManager().findfont("DejaVu Sans")
    for name, level in (("matplotlib.font_manager", "INFO"), ("PIL.PngImagePlugin", "DEBUG"),
                        ("numba.core", "DEBUG"), ("urllib3", "DEBUG")):  # fmt: skip
        logging.getLogger(name).log(logging.getLevelName(level), "mumble")
    # What is meant to be so is not said either; the rest of SpeechBrain is (below).
    logging.getLogger("speechbrain.core").warning("The model has no parameters!")
    logging.getLogger("speechbrain.utils.checkpoints").info("Would load a checkpoint here, but …")
    logging.getLogger("data_prep.manifest").info("one manifest")
    logging.getLogger("my_classifier").info("of a user's file")
    logging.getLogger("matplotlib").warning("a real warning")
    logging.getLogger("speechbrain.core").warning("loss is not finite")
    text, printed = (folder / "log.txt").read_text(), capsys.readouterr().out
    for said in ("one manifest", "of a user's file", "a real warning", "loss is not finite"):
        assert text.count(said) == 1 and printed.count(said) == 1
    for unsaid in ("mumble", "findfont", "has no parameters", "Would load"):
        assert unsaid not in text + printed
    # How SpeechBrain is set up is for the file alone.
    assert "Beginning experiment" in text and "Beginning experiment" not in printed
    assert "quirks" in text and "quirks" not in printed


@pytest.mark.parametrize("what", ["log", "file", "long", "hyperparams"])
def test_a_folder_that_cannot_be_written_gets_a_sentence(tmp_path, start, what):
    folder = tmp_path / "out"
    if what == "file":
        folder.write_text("no folder")
    elif what == "long":
        folder = tmp_path / ("x" * 300)
    else:
        (folder / {"log": "log.txt", "hyperparams": "hyperparams.yaml"}[what]).mkdir(parents=True)
    sentence = "cannot be written|[Nn]othing can be written|longer than 255 bytes|is in the way"
    with pytest.raises(ValueError, match=sentence) as error:
        start(folder)
    assert "\n" not in str(error.value)


def test_a_command_line_of_odd_words_leaves_a_yaml_that_repeats_the_run(tmp_path, start):
    folder = start(tmp_path / "out", "--said='a\nsave_folder: nowhere'")
    head = (folder / "hyperparams.yaml").read_text().splitlines()[1]
    assert head.startswith("# ") and head.endswith(r"a\nsave_folder: nowhere'")
