"""What training leaves beside weights, and which weights are refused for it."""

import json

import pytest
import torch
from conftest import make_explained

from lmac.checkpoints import (
    build_decoder,
    decoder_facts,
    explained_facts,
    load_decoder,
    training_facts,
    training_info,
)
from lmac.core.decoder import Decoder, EncoderDecoder, TopDownDecoder

HPARAMS = {
    **{"dataset": "d", "train_folds": [1, 2], "valid_folds": [4], "seed": 7, "lr": 1.0},
    **{"mix_probability": 0.8, "mix_snr_db": [0, 15], "gain_db": [-6, 0], "noise_folder": None},
    **{"noise_probability": 1.0, "noise_snr_db": [0, 0], "freeze_embedding": True},
    "classifier_settings": {"classifier_width": 8},
}


def small(n_in, n_classes):
    return TopDownDecoder(n_in, n_classes, hidden=8, detail=4)


@pytest.fixture
def saved(tmp_path):
    """A folder of weights, with what training wrote beside them, and what they belong to."""
    explained = make_explained()
    decoder = build_decoder(small, explained)
    torch.save(decoder.state_dict(), tmp_path / "decoder.ckpt")
    info = explained_facts(explained) | decoder_facts(decoder)
    (tmp_path / "info.json").write_text(json.dumps(info))
    return tmp_path, explained


def load(folder, explained):
    path = folder / "decoder.ckpt"
    return load_decoder(build_decoder(small, explained), explained, path, "lmac_checkpoint")


def test_the_facts_of_a_training(tmp_path):
    domain = make_explained().domain
    facts = training_facts(HPARAMS, domain, "lr")
    assert facts == {
        **{"dataset": "d", "train_folds": [1, 2], "valid_folds": [4], "seed": 7, "lr": 1.0},
        "signal_path": "direct",
        "settings": {"classifier_width": 8},
        "augmentation": {
            **{"mix_probability": 0.8, "mix_snr_db": [0, 15], "gain_db": [-6, 0]},
            **{"noise_folder": None, "noise_path": None},
            **{"noise_probability": 1.0, "noise_snr_db": [0, 0]},
        },
    }
    (tmp_path / "a" / "tr").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "a")
    noisy = {**HPARAMS, "noise_folder": f"{tmp_path}/link/tr", "mixup": 0.3}
    augmentation = training_facts(noisy, domain)["augmentation"]
    assert augmentation["noise_folder"] == "link/tr" and augmentation["mixup"] == 0.3
    assert augmentation["noise_path"] == str((tmp_path / "a" / "tr").resolve())
    fast = {**HPARAMS, "speed_perturbation": [100, 110]}
    assert training_facts(fast, domain)["augmentation"]["speed_perturbation"] == [100, 110]
    assert "speed_perturbation" not in training_facts(fast, domain, augmented=False)["augmentation"]
    # A head that was trained on embeddings heard none of it.
    augmentation = training_facts(noisy, domain, augmented=False)["augmentation"]
    assert augmentation["mix_probability"] == 0 and augmentation["gain_db"] == [0, 0]
    assert augmentation["noise_folder"] is augmentation["noise_path"] is None
    assert augmentation["mixup"] == 0.3


@pytest.mark.parametrize(
    "kind,setting,path",
    [("cnn14", "direct", "direct"), ("cnn14", "waveform", "waveform"),
     ("wave1d", "direct", "waveform")],
)  # fmt: skip
def test_the_signal_path_is_the_one_that_is_used(kind, setting, path):
    explained = make_explained(kind, signal_path=setting)
    assert explained_facts(explained)["signal_path"] == path
    assert training_facts(HPARAMS, explained.domain)["signal_path"] == path


def test_info_is_found_beside_a_file_and_in_a_folder(saved):
    folder, explained = saved
    info = training_info(folder)
    assert info == training_info(str(folder / "decoder.ckpt")) and info["domain"] == "stft"
    assert training_info(None) == {}
    assert training_info(folder / "nowhere") == {}
    for text in ("{", "[]"):
        (folder / "info.json").write_text(text)
        with pytest.raises(ValueError, match="info.json") as error:
            training_info(folder)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "change,message",
    [
        ({"domain": "mel"}, "domain mel, not for stft"),
        ({"signal_path": "waveform"}, "signal_path waveform, not for direct"),
        ({"classifier_weights": "0" * 12}, "classifier_weights 000000000000, not for"),
        ({"decoder": {"class": "Mine"}}, "decoder class Mine, not for TopDownDecoder"),
        ({"decoder": {"hidden": 9}}, "decoder hidden 9, not for 8"),
        ({"decoder": {"reads_input": False}}, "decoder reads_input False, not for True"),
        ({"front_end": {"sample_rate": 48000}}, "front_end sample_rate 48000, not for 16000"),
        ({"front_end": {"n_fft": 2048}}, "front_end n_fft 2048, not for 1024"),
    ],
)
def test_what_was_trained_for_something_else_is_refused(saved, change, message):
    folder, explained = saved
    load(folder, explained)
    info = training_info(folder)
    (folder / "info.json").write_text(json.dumps(info | change))
    with pytest.raises(ValueError, match=f"^lmac_checkpoint: .*was trained for {message}.*: give"):
        load(folder, explained)


@pytest.mark.parametrize("info", [None, {}, {"domain": "stft"}, {"decoder": {"depth": 4}}])
def test_older_weights_with_less_or_nothing_beside_them_still_load(saved, info):
    folder, explained = saved
    if info is None:
        (folder / "info.json").unlink()
    else:
        (folder / "info.json").write_text(json.dumps(info))
    decoder = load(folder, explained)
    state = torch.load(folder / "decoder.ckpt", weights_only=True)
    assert all(torch.equal(v, state[k]) for k, v in decoder.state_dict().items())


def test_what_tells_decoders_apart():
    assert decoder_facts(TopDownDecoder([8], 5, hidden=4, detail=2, conditioned=True)) == {
        "decoder": {"class": "TopDownDecoder", "hidden": 4, "detail": 2, "head": 1,
                    "gain": 4.0, "conditioned": True, "reads_input": True}
    }  # fmt: skip
    assert decoder_facts(EncoderDecoder([], 5, hidden=4))["decoder"]["depth"] == 4
    assert decoder_facts(Decoder()) == {"decoder": {"class": "Decoder"}}
