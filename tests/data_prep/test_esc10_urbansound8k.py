"""Both data sets as one: folds apart, one name for one thing, classes left out."""

import pytest
from layouts import us8k_row, write_both, write_sound

from data_prep.esc10_urbansound8k import prepare
from data_prep.manifest import DataError, read_manifest

LABELS = ["class0", "class1", "class10", "air_conditioner", "car_horn", "children_playing"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """With a dog in either, under its two names."""
    both = write_both(tmp_path_factory.mktemp("both"), seconds=0.2)
    meta = both / "ESC-10" / "meta" / "esc50.csv"
    meta.write_text(meta.read_text() + "1-999-A-7.wav,1,7,dog,True,999,A\n")
    write_sound(both / "ESC-10" / "audio" / "1-999-A-7.wav", 0.2)
    meta = both / "UrbanSound8K" / "metadata" / "UrbanSound8K.csv"
    meta.write_text(meta.read_text() + us8k_row("888-3-0-0.wav", 888, 0.2, 2, 3))
    write_sound(both / "UrbanSound8K" / "audio" / "fold2" / "888-3-0-0.wav", 0.2)
    return both


def test_both_are_in_it_and_their_folds_are_apart(folder, tmp_path):
    labels = prepare(folder, tmp_path / "manifest.csv")
    assert labels == ["class0", "class1", "dog", "class10", *LABELS[3:]]
    table = read_manifest(tmp_path / "manifest.csv").set_index("ID")
    assert len(table) == 5 * 3 + 1 + 10 * 3 + 1
    assert table.loc["1-999-A-7", ["label", "fold", "source"]].tolist() == ["dog", 1, "999"]
    assert table.loc["888-3-0-0", ["label", "fold", "source"]].tolist() == ["dog", 12, "888"]
    assert (folder / table.loc["888-3-0-0", "wav"]).is_file()
    assert set(table.loc[table["wav"].str.startswith("ESC-10/"), "fold"]) == set(range(1, 6))
    assert set(table.loc[table["wav"].str.startswith("Urban"), "fold"]) == set(range(11, 21))


def test_classes_that_are_left_out_are_in_no_fold(folder, tmp_path):
    labels = prepare(folder, tmp_path / "m.csv", without_classes=["dog", "car_horn"])
    table = read_manifest(tmp_path / "m.csv")
    assert labels == ["class0", "class1", "class10", "air_conditioner", "children_playing"]
    assert set(table["label"]) == set(labels) and len(table) == 15 + 20


def test_bad_input(folder, tmp_path):
    with pytest.raises(DataError, match="without_classes: there is no class dog_bark.*car_horn"):
        prepare(folder, tmp_path / "m.csv", without_classes=["dog_bark"])
    with pytest.raises(DataError, match="there is no folder .*esc50_subfolder"):
        prepare(tmp_path / "nowhere", tmp_path / "m.csv")
