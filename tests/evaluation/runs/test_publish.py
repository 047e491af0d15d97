"""What is copied from results, and above all what is not."""

import json

import pytest
from planted import plant

from lmac.evaluation.runs.publish import publish


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
                (sample / "explanation.png").write_text(f"{clip} {method}")
        alone = folder / "samples" / "0 alone" / "L-MAC"  # a clip with audio of one method
        alone.mkdir(parents=True)
        (alone / "explanation.png").write_text("alone")
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
    (to / "mixtures_stft" / "figures").mkdir(parents=True)
    (to / "mixtures_stft" / "figures" / "old_clip_IG.png").write_text("of an earlier run")
    publish(results, to, ["mixtures_stft"])
    found = sorted(str(p.relative_to(to)) for p in to.rglob("*") if p.is_file())
    rows = ("evaluation.json", "metrics.csv", "scenario.csv")
    figures = [f"{c}_{m}.png" for c in "abc" for m in ("L-MAC", "Saliency")]
    expected = ["classifier/info.json"]
    expected += [f"mixtures_{d}/{name}" for d in ("mel", "stft") for name in rows]
    expected += ["mixtures_stft/randomisation.csv", "mixtures_stft/resynthesis.md"]
    expected += [f"mixtures_stft/figures/{name}" for name in figures]
    expected += ["seeds/lmac_stft.csv", "seeds/lmac_stft.md"]
    expected += [f"tables/table2_mixtures/table.{s}" for s in ("csv", "md", "tex")]
    assert found == sorted(expected)
    assert (to / "mixtures_stft/figures/b_L-MAC.png").read_text() == "b L-MAC"
    info = json.loads((to / "classifier" / "info.json").read_text())
    assert info == {"seed": 1, "augmentation": {"noise_folder": "n/tr"}}  # no path of a machine
    copies = [f / "mixtures_mel" / "metrics.csv" for f in (results / "evaluation", to)]
    assert copies[0].read_bytes() == copies[1].read_bytes()


def test_nothing_to_publish_is_an_error(results, tmp_path):
    with pytest.raises(FileNotFoundError, match="no results below .*run the recipe first"):
        publish(tmp_path / "nowhere", tmp_path / "p")
    with pytest.raises(FileNotFoundError, match="figures: no pictures in .*--listen=10"):
        publish(results, tmp_path / "p", ["speech_stft"])
