"""Scenario ``id`` is noise that everything was trained in; the others are scenario ``noise``."""

import pytest
from test_scenario_record import data  # noqa: F401

from data_prep.in_domain import not_recorded, refuse_other_noise, training_noise
from data_prep.manifest import DataError
from data_prep.scenarios import scenario_clips

CLEAN = {"augmentation": {"noise_folder": None, "noise_path": None, "noise_probability": 1.0,
                          "noise_snr_db": [0, 0], "mix_probability": 0.8}}  # fmt: skip


def noisy(folder="wham_noise/tr", snr_db=(0, 0), probability=1.0, path=None):
    return {
        "augmentation": {
            "noise_folder": folder,
            "noise_path": path,
            "noise_probability": probability,
            "noise_snr_db": list(snr_db),
        }
    }


TRAINED = {"classifier_checkpoint": noisy(), "lmac_checkpoint": noisy(), "l2i_checkpoint": {}}
REMEDY = "--scenario=noise"


def clips(data, trained, scenario="id", **changes):  # noqa: F811
    hparams, manifest = data
    hparams = {**hparams, "scenario": scenario, **changes}
    return scenario_clips(hparams, manifest, list("abcd"), trained)[0]


def test_what_was_trained_in_this_noise_passes(data):  # noqa: F811
    assert clips(data, TRAINED)["scenario"].eq("id").all()
    assert not_recorded(TRAINED) == ["l2i_checkpoint"]
    old = {"lmac_checkpoint": {"seed": 1}}  # trained by a version that did not record it
    assert not_recorded(old) == ["lmac_checkpoint"]


@pytest.mark.parametrize("info,words", [
    (CLEAN, "trained without noise, not in noise at 0 dB"),
    (noisy(probability=0.0), "trained without noise, not in noise at 0 dB"),
    (noisy(snr_db=(0, 15)), "trained in wham_noise/tr at 0 to 15 dB, not in noise at 0 dB"),
    (noisy(snr_db=(5, 5)), "trained in wham_noise/tr at 5 dB, not in noise at 0 dB"),
    (noisy("street/tr"), "trained in street/tr at 0 dB, not in the noise of contaminant_folder"),
    (noisy("tr"), "trained in tr at 0 dB, not in the noise of contaminant_folder wham_noise/tt"),
])  # fmt: skip
@pytest.mark.parametrize("key", ["classifier_checkpoint", "lmac_checkpoint", "l2i_checkpoint"])
def test_others_are_refused_in_id_and_allowed_in_noise(data, tmp_path, key, info, words):  # noqa: F811
    trained = {**TRAINED, key: info}
    with pytest.raises(DataError, match=f"{key} was {words}.*{REMEDY}") as e:
        clips(data, trained)
    assert "\n" not in str(e.value) and not (tmp_path / "out").exists()
    assert clips(data, trained, "noise")["scenario"].eq("noise").all()


def test_the_collection_is_known_by_its_name_and_through_a_link(tmp_path):
    (tmp_path / "wham_noise" / "tt").mkdir(parents=True)
    (tmp_path / "data").symlink_to(tmp_path / "wham_noise")
    for folder in (tmp_path / "data" / "tt", tmp_path / "wham_noise" / "tt"):
        refuse_other_noise(folder, TRAINED)


@pytest.mark.parametrize("scenario", ["id", "noise", "speech"])
def test_recordings_that_were_trained_with_stay_refused(data, tmp_path, scenario):  # noqa: F811
    tt = tmp_path / "private" / "wham_noise" / "tt"
    trained = {**TRAINED, "lmac_checkpoint": noisy(path=str(tt))}
    with pytest.raises(DataError, match="shares recordings with .*the noise that lmac_checkpoint"):
        clips(data, trained, scenario)
    with pytest.raises(DataError, match="WHAM!'s tr, which is for training only: give .*/cv or"):
        clips(data, TRAINED, scenario, contaminant_folder=str(tt.with_name("tr")))


def test_a_caption_can_say_who_was_trained_in_what():
    trained = {**TRAINED, "lmac_ft_checkpoint": CLEAN, "a_checkpoint": noisy(probability=0.5)}
    assert training_noise(trained) == [
        "Trained in wham_noise/tr at 0 dB: classifier_checkpoint, lmac_checkpoint.",
        "Trained without noise: lmac_ft_checkpoint.",
        "Trained in wham_noise/tr at 0 dB in 50 % of the clips: a_checkpoint.",
        "The training noise of l2i_checkpoint is not recorded.",
    ]
    assert training_noise({}) == []
