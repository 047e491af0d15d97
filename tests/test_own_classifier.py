"""The README's section "Explain your own classifier", followed literally."""

import re
import shlex
from pathlib import Path

import pandas as pd
import pytest
import soundfile
import torch

import eval_explanations
import explain
import train_classifier
import train_lmac
from lmac.checkpoints import explained_classifier
from lmac.settings.load import load

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = {"train_classifier.py": train_classifier, "train_lmac.py": train_lmac,
           "eval_explanations.py": eval_explanations}  # fmt: skip
TINY = {
    "train_classifier.py": ["--number_of_epochs=1"],
    "train_lmac.py": ["--number_of_epochs=1", "--decoder_hidden=8"],
    "eval_explanations.py": ["--decoder_hidden=8", "--listen=2", "--n_boot=20",
                             "--scenario=plain", "--methods=[L-MAC,Saliency,GradCAM,All-ones]"],
}  # fmt: skip
# In place of --data_folder: sounds that need no download.
DATA = ["--dataset_yaml=hparams/datasets/builtin.yaml", "--clips_per_class=5", "--batch_size=10",
        "--signal_length_s=0.5", "--device=cpu"]  # fmt: skip


def section():
    text = (ROOT / "README.md").read_text()
    return re.search(r"## Explain your own classifier\n(.*?)\n## ", text, re.DOTALL)[1]


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", section(), re.DOTALL)


def follow(command, *more):
    words = shlex.split(command)
    assert words[0] == "python" and words[2].startswith("hparams/")
    arguments = [w for w in words[2:] if not w.startswith("--data_folder=")]
    assert len(arguments) == len(words) - 3
    SCRIPTS[words[1]].main([*arguments, *DATA, *TINY[words[1]], *more])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder in which the section has been followed from its first to its last line."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "hparams").symlink_to(ROOT / "hparams")
    for language in ("python", "yaml"):
        (text,) = blocks(language)
        (folder / re.match(r"# (\S+)\n", text)[1]).write_text(text)
    patch = pytest.MonkeyPatch()
    patch.chdir(folder)
    patch.syspath_prepend(folder)
    (text,) = blocks("bash")
    for command in text.replace("\\\n", " ").strip().splitlines():
        follow(command)
    yield folder
    patch.undo()


def test_the_section_is_short_enough():
    assert len(section().strip().splitlines()) <= 38  # and the heading, and a blank line


def test_it_ends_with_a_table(folder):
    rows = pd.read_csv(folder / "results/evaluation/plain_stft/metrics.csv")
    assert set(rows["method"]) == {"L-MAC", "Saliency", "GradCAM", "All-ones"} and len(rows) == 40
    ones = rows[rows["method"] == "All-ones"]
    assert (ones[["AI", "AD", "AG"]] == 0).all(axis=None) and (ones["Fid-In"] == 1).all()
    assert "my network" in (folder / "results/evaluation/plain_stft/table.md").read_text()
    state = torch.load(folder / "results/lmac/stft/1234/best/decoder.ckpt", weights_only=True)
    assert [state[f"laterals.{i}.0.weight"].shape[1] for i in (0, 1)] == [16, 32]


def test_the_written_explanation_is_the_one_that_was_scored(folder):
    """WAVs, loaded again and brought to the input's level, get the scored probability."""
    hparams, _ = load(
        "hparams/evaluation.yaml",
        {"classifier_yaml": "my_classifier.yaml", "out_n_neurons": 10, "data_folder": "x",
         "classifier_checkpoint": "results/classifier/1234/best"},
    )  # fmt: skip
    explained = explained_classifier(hparams)
    results = folder / "results/evaluation/plain_stft"
    rows = pd.read_csv(results / "metrics.csv").set_index(["ID", "method"])
    names = [line.split("'")[1] for line in
             (folder / "results/classifier/1234/best/label_encoder.txt").read_text().splitlines()
             if line.startswith("'") and "=>" in line and "starting" not in line]  # fmt: skip
    seen = 0
    for wavs in sorted((results / "samples").glob("*/*/")):
        row = rows.loc[(wavs.parent.name, wavs.name)]
        gain = abs(soundfile.read(wavs.parent / "input.wav")[0]).max()  # its peak was 1
        wav = torch.from_numpy(soundfile.read(wavs / "explanation.wav", dtype="float32")[0]) / gain
        with torch.no_grad():
            logits = explained.classifier(explained.domain.features(wav[None]))[0]
        p_in = logits.double().softmax(1)[0, names.index(row["decision"])]
        assert float(p_in) == pytest.approx(row["p_in"], abs=1e-3)
        assert (names[int(logits.argmax())] == row["decision"]) == (row["Fid-In"] == 1)
        seen += 1
    assert seen == 8
    assert (rows["Fid-In (audio)"] == rows["Fid-In"]).mean() > 0.9


def test_weights_of_one_s_own_need_no_training(folder, tmp_path):
    """As the section's last paragraph says."""
    state = torch.load(folder / "results/classifier/1234/best/embedding_model.ckpt")
    own = {k.removeprefix("network."): v for k, v in state.items()}
    torch.save(own, folder / "my_network.pt")
    text = (folder / "my_classifier.yaml").read_text()
    assert "    layers:" in text and "weights: my_network.pt" in section()
    text = text.replace("    layers:", "    weights: my_network.pt\n    layers:")
    (folder / "mine.yaml").write_text(text)
    (commands,) = blocks("bash")
    command = commands.strip().splitlines()[2].replace("my_classifier.yaml", "mine.yaml")
    command = re.sub(r" --classifier_checkpoint=\S+", "", command)
    follow(command, f"--output_folder={tmp_path}/evaluation", "--methods=[GradCAM]", "--listen=0")
    before = pd.read_csv(folder / "results/evaluation/plain_stft/metrics.csv")
    after = pd.read_csv(tmp_path / "evaluation/metrics.csv")
    before = before[before["method"] == "GradCAM"].reset_index(drop=True)
    pd.testing.assert_series_equal(after["p_in"], before["p_in"], rtol=1e-4)


def test_explain_needs_no_checkpoint_for_weights_of_one_s_own(folder, tmp_path, capsys):
    """A network that brings its weights, its classes named in the YAML or by number."""
    if not (folder / "mine.yaml").is_file():
        test_weights_of_one_s_own_need_no_training(folder, tmp_path)
    sound = next((folder / "results/builtin_sounds/audio").glob("*.wav"))
    words = ["--classifier_yaml=mine.yaml", f"--audio={sound}", "--methods=[GradCAM]",
             f"--output_folder={tmp_path}/out", "--device=cpu"]  # fmt: skip
    explain.main(["hparams/explain.yaml", *words, "--out_n_neurons=10"])
    assert re.search(r"GradCAM for class \d: the classifier gives it", capsys.readouterr().out)
    with pytest.raises(ValueError, match="no label_encoder.txt says how many .* --out_n_neurons=…"):
        explain.main(["hparams/explain.yaml", *words])
    text = (folder / "mine.yaml").read_text()
    names = [f"sound {i}" for i in range(10)]
    named = text.replace("    layers:", f"    labels: [{', '.join(names)}]\n    layers:")
    (folder / "named.yaml").write_text(named)
    words[0] = "--classifier_yaml=named.yaml"
    explain.main(["hparams/explain.yaml", *words, "--out_n_neurons=10"])
    assert "GradCAM for sound " in capsys.readouterr().out
