"""Clips and classes of any name, from the metadata to the gallery: nothing is written elsewhere."""

import csv

import numpy as np
import pandas as pd
import soundfile

import eval_explanations
import train_classifier
from lmac.evaluation.runs import publish
from lmac.pages import gallery

RATE = 16000
CLIPS = [
    "a$x{ #1",
    "../audio/up",
    "sub/b",
    "'q\"",
    "<b>&amp;",
    "100 %, d",
    "[x]: y",
    "..c",
    "ä",
    "7",
]
CLASSES = ["../../</script>$a{", 'it\'s, "2": <i>']


def make_data(folder):
    """ESC-50's layout: a clip of each name, in five folds."""
    (folder / "audio" / "sub").mkdir(parents=True)
    (folder / "meta").mkdir()
    generator = np.random.default_rng(0)
    with (folder / "meta" / "esc50.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["filename", "fold", "target", "category", "esc10", "src_file", "take"])
        for i, name in enumerate(CLIPS):
            wave = generator.standard_normal(RATE)
            wave = wave.cumsum() if i % 2 else wave
            soundfile.write(folder / "audio" / f"{name}.wav", 0.5 * wave / abs(wave).max(), RATE)
            writer.writerow([f"{name}.wav", i // 2 + 1, i % 2, CLASSES[i % 2], True, i, "A"])


def files_of(folder):
    return {p.relative_to(folder) for p in folder.rglob("*")}


def test_clips_and_classes_of_any_name(tmp_path):
    work = tmp_path / "deep" / "down" / "work"
    data = work / "data"
    make_data(data)
    before = files_of(data)
    options = [f"--data_folder={data}", "--out_n_neurons=2", f"--results_folder={work}/results",
               "--signal_length_s=0.5", "--classifier_width=2", "--device=cpu",
               "--batch_size=2"]  # fmt: skip
    train_classifier.main(["hparams/classifier.yaml", *options, "--number_of_epochs=1",
                           f"--output_folder={work}/results/classifier"])  # fmt: skip
    scores = work / "results" / "evaluation" / "plain_stft"
    eval_explanations.main(["hparams/evaluation.yaml", *options, f"--output_folder={scores}",
                            f"--classifier_checkpoint={work}/results/classifier/best",
                            "--scenario=plain", "--target_folds=[1,2,3,4,5]", "--listen=10",
                            "--methods=[GradCAM]", "--n_boot=20"])  # fmt: skip
    gallery.main([str(scores)])
    publish.main([f"{work}/results", f"{work}/published", "--figures=[plain_stft]"])

    rows = pd.read_csv(scores / "metrics.csv", dtype=str)
    assert set(rows["ID"]) == set(CLIPS)
    assert set(rows["label"]) == set(CLASSES)
    # A folder for each clip, side by side, whatever its name; all files are in them.
    samples = list((scores / "samples").iterdir())
    assert len(samples) == 10
    assert all((s / "GradCAM" / "explanation.wav").is_file() for s in samples)
    assert files_of(data) == before
    assert {p.name for p in work.iterdir()} == {"data", "results", "published"}
    for folder, name in ((tmp_path, "deep"), (tmp_path / "deep", "down"), (work.parent, "work")):
        assert [p.name for p in folder.iterdir()] == [name]
    text = (scores / "gallery" / "index.html").read_text(encoding="utf-8")
    assert "</script>$a{" not in text and "<i>" not in text and "<b>&amp;" not in text
