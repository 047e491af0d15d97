"""A table end to end on a few built-in sounds, its evaluations run in this process."""

import subprocess
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from planted import markdown_tables

import eval_explanations
from lmac.classifiers import Cnn14, LinearHead
from lmac.evaluation.checks import randomisation
from lmac.evaluation.runs import table


@pytest.fixture
def argv(tmp_path, monkeypatch):
    """The command line of a table, with a classifier of random weights."""

    def run(command):
        assert command[1:4] == ["-m", "lmac", "evaluate"]
        eval_explanations.main(command[4:])
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(table, "subprocess", SimpleNamespace(run=run))
    best = tmp_path / "classifier" / "best"
    best.mkdir(parents=True)
    torch.manual_seed(0)
    model = Cnn14(width=4)
    torch.save(model.state_dict(), best / "embedding_model.ckpt")
    torch.save(LinearHead(model.emb_dim, 10).state_dict(), best / "classifier.ckpt")
    return [
        "recipes/ESC10/recipe.yaml:table2_mixtures",
        "--dataset_yaml=hparams/datasets/builtin.yaml",
        "--clips_per_class=5",
        "--signal_length_s=1.0",
        "--classifier_width=4",
        "--device=cpu",
        "--listen=0",
        "--n_boot=20",
        f"--results_folder={tmp_path}",
    ]


def rows(folder, domain):
    return pd.read_csv(folder / "evaluation" / f"mixtures_{domain}" / "metrics.csv")


def test_both_domains_and_a_method_that_is_added_later(argv, tmp_path, capsys):
    table.main([*argv, "--methods=[Saliency,All-ones]"])
    shown = capsys.readouterr().out
    assert "== domain stft: Saliency, All-ones" in shown and "== domain mel" in shown
    first = {domain: rows(tmp_path, domain) for domain in ("stft", "mel")}
    assert [len(t) for t in first.values()] == [40, 40]
    table.main([*argv, "--methods=[GradCAM]", "--domains=[mel]"])
    pd.testing.assert_frame_equal(rows(tmp_path, "stft"), first["stft"])
    mel = rows(tmp_path, "mel")
    # Those that were there are kept as they were; the file has the order of the methods.
    before = mel[mel["method"] != "GradCAM"].reset_index(drop=True)
    pd.testing.assert_frame_equal(before, first["mel"])
    assert list(mel["method"].unique()) == ["Saliency", "GradCAM", "All-ones"] and len(mel) == 60
    text = (tmp_path / "tables" / "table2_mixtures" / "table.md").read_text()
    one, two = markdown_tables(text)
    ours = [[m for m in t if "published" not in m] for t in (one, two)]
    assert ours == [
        ["method", "Saliency", "All-ones"],
        ["method", "Saliency", "GradCAM", "All-ones"],
    ]
    assert "GradCAM (stft)" in text and "GradCAM (mel)" not in text.replace("Guided GradCAM", "")


def test_the_randomisation_check_from_the_command_line(argv, tmp_path, capsys):
    argv = [*argv, "--methods=[Random,All-ones,Saliency]", "--randomisation_clips=3"]
    randomisation.main([*argv, "--domain=mel", "--batch_size=2"])
    found = pd.read_csv(tmp_path / "evaluation" / "mixtures_mel" / "randomisation.csv")
    assert len(found) == 9 and found["ID"].nunique() == 3 == found["target_id"].nunique()
    mean = found.groupby("method")["rank correlation"].mean()
    assert mean["Random"] == 1 and mean["Saliency"] < 0.9 and pd.isna(mean["All-ones"])
    shown = capsys.readouterr().out
    assert (tmp_path / "evaluation" / "mixtures_mel" / "randomisation.md").read_text() in shown
    assert "| All-ones | 3 |  | 3 |" in shown
    with pytest.raises(ValueError, match="randomisation_clips is 21: expected 1 to 20"):
        randomisation.main([*argv, "--randomisation_clips=21"])
