"""What is copied from results, and above all what is not."""

import gzip
import json

import pandas as pd
import pytest
from PIL import Image
from planted import plant

from lmac.evaluation.folder import EvaluationFolder
from lmac.evaluation.runs.publish import publish
from lmac.io.files import Damaged, read_sums, write_checked, write_sums


def picture(path, grey):
    """A PNG of one grey at ``path``."""
    Image.new("RGB", (8, 4), (grey,) * 3).save(path)


@pytest.fixture
def results(tmp_path):
    source = tmp_path / "results"
    for domain in ("stft", "mel"):
        folder = source / "evaluation" / f"mixtures_{domain}"
        plant(folder, "mixtures", domain, ["IG"], clips=2)
        (folder / "log.txt").write_text("/a/path/of/this/machine")
        for clip in "dcba":
            for method in ("L-MAC", "Saliency", "IG"):
                sample = folder / "samples" / clip / method
                sample.mkdir(parents=True)
                (sample / "input.wav").write_text("sound")
                picture(sample / "explanation.png", 10 + 20 * "abc".find(clip))
        alone = folder / "samples" / "0 alone" / "L-MAC"  # a clip with audio of one method
        alone.mkdir(parents=True)
        picture(alone / "explanation.png", 99)
    for name in ("randomisation.csv", "resynthesis.md"):
        (source / "evaluation" / "mixtures_stft" / name).write_text("x\n")
    (source / "classifier" / "best").mkdir(parents=True)
    (source / "classifier" / "best" / "info.json").write_text(
        json.dumps({"seed": 1, "augmentation": {"noise_folder": "n/tr", "noise_path": "/a/n/tr"}})
    )
    (source / "classifier" / "best" / "classifier.ckpt").write_text("weights")
    (source / "tables" / "table2_mixtures").mkdir(parents=True)
    (source / "seeds" / "seed_1" / "classifier").mkdir(parents=True)
    for name in ("lmac_stft.csv", "lmac_stft.md", "seed_1/classifier/log.csv", "notes.txt"):
        (source / "seeds" / name).write_text(name)
    for suffix in ("csv", "md", "tex", "aux"):
        (source / "tables" / "table2_mixtures" / f"table.{suffix}").write_text(suffix)
    return source


def test_copies_numbers_and_three_clips_and_nothing_else(results, tmp_path):
    to = tmp_path / "published"
    earlier = {"old_clip_IG.png": lambda file: file.write(b"of an earlier run")}
    write_checked(earlier, to / "mixtures_stft" / "figures")
    publish(results, to, ["mixtures_stft"])
    found = sorted(
        str(p.relative_to(to)) for p in to.rglob("*") if p.is_file() and p.name != "SHA256SUMS"
    )
    for folder in {p.parent for p in to.rglob("*") if p.is_file()}:
        assert read_sums(folder).keys() == {
            p.name for p in folder.iterdir() if p.is_file() and p.name != "SHA256SUMS"
        }
    rows = ("evaluation.json", "metrics.csv.gz", "scenario.csv")
    figures = [f"{c}_{m}.png" for c in "abc" for m in ("L-MAC", "Saliency")]
    expected = ["classifier/info.json"]
    expected += [f"mixtures_{d}/{name}" for d in ("mel", "stft") for name in rows]
    expected += ["mixtures_stft/randomisation.csv.gz", "mixtures_stft/resynthesis.md"]
    expected += [f"mixtures_stft/figures/{name}" for name in figures]
    expected += ["seeds/lmac_stft.csv", "seeds/lmac_stft.md"]
    expected += [f"tables/table2_mixtures/table.{s}" for s in ("csv", "md", "tex")]
    assert found == sorted(expected)
    drawn = Image.open(to / "mixtures_stft/figures/b_L-MAC.png")
    assert drawn.size == (8, 4) and drawn.convert("RGB").getpixel((0, 0)) == (30, 30, 30)
    info = json.loads((to / "classifier" / "info.json").read_text())
    assert info == {"seed": 1, "augmentation": {"noise_folder": "n/tr"}}  # no path of a machine
    own = (results / "evaluation" / "mixtures_mel" / "metrics.csv").read_bytes()
    published = to / "mixtures_mel" / "metrics.csv.gz"
    assert gzip.decompress(published.read_bytes()) == own
    pd.testing.assert_frame_equal(
        pd.read_csv(published), pd.read_csv(results / "evaluation/mixtures_mel/metrics.csv")
    )
    # Read as the evaluation's own folder is.
    one, other = (EvaluationFolder(f / "mixtures_mel") for f in (results / "evaluation", to))
    pd.testing.assert_frame_equal(one.rows(), other.rows())
    before = published.read_bytes()
    publish(results, to, ["mixtures_stft"])  # what is its own is written anew, to the same bytes
    assert published.read_bytes() == before


def planted_file(to):
    (to / "mixtures_stft").mkdir(parents=True)
    (to / "mixtures_stft" / "scenario.csv").write_text("mine")


def changed_file(to):
    planted_file(to)
    write_sums(to / "mixtures_stft", {"scenario.csv": {"0" * 64}})


def linked_file(to):
    (to.parent / "mine.csv").write_text("mine")
    (to / "mixtures_stft").mkdir(parents=True)
    (to / "mixtures_stft" / "scenario.csv").symlink_to(to.parent / "mine.csv")


def linked_folder(to):
    (to.parent / "mine").mkdir()
    to.mkdir()
    (to / "mixtures_stft").symlink_to(to.parent / "mine")


@pytest.mark.parametrize(
    "plant_it,said",
    [(planted_file, "scenario.csv is in the way"), (changed_file, "scenario.csv is in the way"),
     (linked_file, "scenario.csv is in the way"), (linked_folder, "is no folder of its own")],
)  # fmt: skip
def test_files_of_others_are_left_alone(results, tmp_path, plant_it, said):
    to = tmp_path / "published"
    plant_it(to)
    with pytest.raises(ValueError, match=said):
        publish(results, to)
    left = [p for p in tmp_path.rglob("*.csv") if p.read_text() == "mine"]
    assert len(left) == 1 or plant_it in (linked_folder, linked_file)
    assert not list((tmp_path / "mine").glob("*")) if plant_it is linked_folder else left


def test_the_source_is_no_destination(results, tmp_path):
    (tmp_path / "link").symlink_to(results)
    for to in (results, tmp_path / "link", results / "evaluation" / ".."):
        with pytest.raises(ValueError, match="is what is to be copied"):
            publish(results, to)


@pytest.mark.parametrize("name", ["summary.csv", "evaluation.json", "scenario.csv"])
def test_what_was_changed_by_hand_is_not_published(results, tmp_path, name):
    folder = results / "evaluation" / "mixtures_stft"
    content = (folder / name).read_bytes() if (folder / name).exists() else b"{}"
    write_checked({name: lambda file: file.write(content)}, folder)
    publish(results, tmp_path / "one")
    (folder / name).write_bytes(content + b" ")
    with pytest.raises(Damaged, match=f"{name} is damaged or was changed"):
        publish(results, tmp_path / "other")


def test_a_full_disk_leaves_what_was_there(results, tmp_path, monkeypatch):
    to = tmp_path / "published"
    publish(results, to)
    before = {p: p.read_bytes() for p in to.rglob("*") if p.is_file()}
    (results / "seeds" / "lmac_stft.csv").write_text("another")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lmac.io.files.os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        publish(results, to)
    assert before == {p: p.read_bytes() for p in to.rglob("*") if p.is_file()}


def test_nothing_to_publish_is_an_error(results, tmp_path):
    with pytest.raises(FileNotFoundError, match="no results below .*run the recipe first"):
        publish(tmp_path / "nowhere", tmp_path / "p")
    with pytest.raises(FileNotFoundError, match="figures: no pictures in .*--listen=10"):
        publish(results, tmp_path / "p", ["speech_stft"])
