"""The weights that come with the repository explain a sound as it was cloned."""

import json

import pandas as pd
import soundfile
import torch
from layouts import sound

import explain
from lmac.checkpoints import training_info
from lmac.explain.explainer import Explainer

YAML = "recipes/ESC50/pretrained.yaml"


def test_a_sound_is_explained_without_any_training(tmp_path):
    soundfile.write(tmp_path / "a.wav", sound(6.0, 44100), 44100)
    explain.main([YAML, f"--audio={tmp_path / 'a.wav'}", f"--output_folder={tmp_path / 'out'}"])
    found = tmp_path / "out" / "a.wav" / "L-MAC"
    told = json.loads((found / "explanation.json").read_text())
    assert len(told["top_classes"]) == 5
    heard, rate = soundfile.read(found / "explanation.wav")
    assert rate == 16000 and len(heard) == 6 * 16000 and 0 < abs(heard).max() < 1


def test_it_knows_real_clips_that_it_was_not_trained_on(esc50):
    """A clip of every fifth class of fold 5, which neither trained nor selected anything."""
    explainer = Explainer.from_hparams(YAML)
    trained = training_info("recipes/ESC50/weights/classifier/best")
    assert 5 not in trained["train_folds"] + trained["valid_folds"]
    clips = pd.read_csv(esc50 / "meta" / "esc50.csv").query("fold == 5 and target % 5 == 0")
    clips = clips.groupby("category").first().reset_index()
    with torch.no_grad():
        results = {
            row.category: explainer(esc50 / "audio" / row.filename) for row in clips.itertuples()
        }
    right = sum(r.top_classes()[0][0] == category for category, r in results.items())
    kept = sum(r.p_in >= 0.9 * r.p for r in results.values())
    assert len(results) == 10 and right >= 6 and kept >= 9


def test_silence_is_not_kept(tmp_path):
    """Down to the lowest bins, where nothing is to be heard anyway."""
    wav = sound(5.0, 16000)[:, 0].copy()
    wav[3 * 16000 :] = 0
    explainer = Explainer.from_hparams(YAML)
    mask = explainer((wav, 16000)).mask
    assert mask[: len(mask) // 2].max() > 0.9
    silent = mask[int(0.7 * len(mask)) :]
    assert silent[:, :4].max() < 0.1
