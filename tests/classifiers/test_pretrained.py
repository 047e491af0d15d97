"""SpeechBrain and Hugging Face classifiers, small and with random weights, from a folder."""

import numpy as np
import pytest
import torch
from pretrained import huggingface_folder, speechbrain_folder
from speechbrain.inference.classifiers import EncoderClassifier

import eval_explanations
import train_lmac
from data_prep.builtin_events import CLASSES
from lmac.checkpoints import class_names, explained_classifier
from lmac.classifiers.huggingface import INSTALL, transformer_layers
from lmac.explain.explainer import Explainer
from lmac.settings.load import load

KINDS = ["speechbrain", "ast", "wav2vec2", "hubert"]
BLOCKS = "--classifier_layers=[embedding_model.blocks.0,embedding_model.blocks.3]"


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Kind to a folder, made when first asked for; with the classes of the built-in sounds."""
    made = {}

    def folder(kind):
        if kind != "speechbrain":
            pytest.importorskip("transformers", reason=INSTALL)
        if kind not in made:
            path = tmp_path_factory.mktemp("source") / kind
            made[kind] = (
                speechbrain_folder(path, tuple(CLASSES))
                if kind == "speechbrain"
                else huggingface_folder(path, kind, tuple(CLASSES))
            )
        return made[kind]

    return folder


def overrides(kind, folder):
    yaml = "speechbrain" if kind == "speechbrain" else "huggingface"
    chosen = {"classifier_yaml": f"hparams/classifiers/{yaml}.yaml",
              "classifier_source": str(folder)}  # fmt: skip
    if kind == "speechbrain":
        chosen["classifier_layers"] = ["embedding_model.blocks.0", "embedding_model.blocks.3"]
    return chosen


def explained(kind, folder):
    hparams, _ = load("hparams/evaluation.yaml", {"data_folder": "x", **overrides(kind, folder)})
    return explained_classifier(hparams)


def waves(n=16000):
    return 0.3 * torch.randn(2, n, generator=torch.Generator().manual_seed(4))


@pytest.mark.parametrize("kind", KINDS)
def test_our_classifier_is_theirs(kind, folders):
    """Logits against the library's own code, on the sound that ours reads."""
    ours = explained(kind, folders(kind))
    X, phase = ours.domain.analyse(waves())
    sound = ours.domain.synthesise(X, phase)
    with torch.no_grad():
        if kind == "speechbrain":
            theirs = EncoderClassifier.from_hparams(
                str(folders(kind)), savedir=None, overrides={"pretrained_path": str(folders(kind))}
            )
            expected = theirs.classify_batch(sound)[0]
        else:
            from transformers import AutoFeatureExtractor, AutoModelForAudioClassification

            extractor = AutoFeatureExtractor.from_pretrained(folders(kind))
            inputs = extractor(list(sound.numpy()), sampling_rate=16000, return_tensors="pt")
            model = AutoModelForAudioClassification.from_pretrained(folders(kind)).eval()
            expected = model(**inputs).logits
    torch.testing.assert_close(ours.logits(X, phase), expected, rtol=1e-3, atol=1e-4)
    assert class_names(None, sorted(CLASSES), ours.classifier.embedding_model) == list(CLASSES)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_reach_x(kind, folders):
    """Along a random direction, against a difference; theirs would stop at NumPy."""
    ours = explained(kind, folders(kind))
    X, phase = ours.domain.analyse(waves())
    X = X.detach().requires_grad_()
    logits, maps = ours(X, phase)
    (gradient,) = torch.autograd.grad(logits[:, 1].sum(), X, retain_graph=True)
    step = gradient / gradient.norm()
    up, down = (ours.logits(X.detach() + s * step, phase) for s in (0.02, -0.02))
    change = up - down
    assert float(change[:, 1].sum()) == pytest.approx(0.04 * float(gradient.norm()), rel=0.05)
    reached = torch.autograd.grad(logits[:, 1].sum(), maps)
    assert len(maps) > 1 and all(g.abs().sum() > 0 for g in reached)


def test_ast_maps_are_spectrograms_of_patches(folders):
    ours = explained("ast", folders("ast"))
    _, maps = ours(*ours.domain.analyse(waves()))
    assert {tuple(m.shape) for m in maps} == {(2, 16, 12, 2)}
    assert ours.domain.longest_input == 127 * 160 + 400
    with pytest.raises(ValueError, match="takes 1.29 s at most"):
        ours.logits(*ours.domain.analyse(waves(32000)))


def test_ast_features_are_the_extractor_s(folders):
    from transformers import AutoFeatureExtractor

    ours = explained("ast", folders("ast")).classifier.embedding_model.network.front_end
    extractor = AutoFeatureExtractor.from_pretrained(folders("ast"))
    for n in (16000, 9999):
        wav = waves(n)
        theirs = extractor(list(wav.numpy()), sampling_rate=16000, return_tensors="np")
        assert np.abs(ours(wav).numpy() - theirs["input_values"]).max() < 1e-4


@pytest.mark.parametrize("kind", ["ast"])
def test_the_scripts_take_them(kind, folders, tmp_path):
    common = [
        "--dataset_yaml=hparams/datasets/builtin.yaml", "--clips_per_class=5",
        "--device=cpu", "--batch_size=10",
        "--signal_length_s=1.0", f"--results_folder={tmp_path}", "--decoder_hidden=8",
        *(f"--{k}={v}" for k, v in overrides(kind, folders(kind)).items()
          if k != "classifier_layers"), *([BLOCKS] if kind == "speechbrain" else []),
    ]  # fmt: skip
    train_lmac.main(["hparams/lmac.yaml", *common, "--number_of_epochs=1",
                     f"--output_folder={tmp_path}/lmac"])  # fmt: skip
    eval_explanations.main(
        ["hparams/evaluation.yaml", *common, "--methods=[L-MAC,GradCAM]",
         "--scenario=plain", "--listen=0", f"--lmac_checkpoint={tmp_path}/lmac/best", "--n_boot=20",
         f"--output_folder={tmp_path}/evaluation"]
    )  # fmt: skip
    assert "stft, waveform path" in (tmp_path / "evaluation" / "evaluation.json").read_text()


def test_long_recordings_for_a_classifier_with_a_longest_input(folders):
    chosen = {**overrides("ast", folders("ast")), "overlap_s": 0.2}
    explainer = Explainer.from_hparams("hparams/explain.yaml", {**chosen, "window_s": 1.28})
    # A tenth more than a window is explained in one, unless the classifier refuses it.
    for n_samples, n_windows in ((20600, 1), (21000, 2)):
        result = explainer((waves(21000)[0, :n_samples], 16000), "Saliency")
        assert len(result.windows) == n_windows and len(result.explanation) == n_samples
        assert result.top_classes()[0][0] in CLASSES
    with pytest.raises(ValueError, match="window_s is 2.0, but this classifier takes 1.29 s at"):
        Explainer.from_hparams("hparams/explain.yaml", {**chosen, "window_s": 2.0})


def test_what_they_are_not_is_said(folders, tmp_path):
    for kind, why in (("speechbrain", "is no SpeechBrain EncoderClassifier"),):
        (tmp_path / "hyperparams.yaml").write_text("modules: {}\n")
        with pytest.raises(ValueError, match=why):
            explained(kind, tmp_path)
    with pytest.raises(ValueError, match="has no layer 'embeding_model'; it has embedding_model"):
        hparams = {**overrides("speechbrain", folders("speechbrain")),
                   "classifier_layers": ["embeding_model"], "data_folder": "x"}  # fmt: skip
        load("hparams/evaluation.yaml", hparams)
    with pytest.raises(ValueError, match="no stack of transformer layers"):
        transformer_layers(torch.nn.Linear(2, 2))


def test_a_missing_package_gives_the_command(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    with pytest.raises(ValueError, match=f"need transformers: {INSTALL}"):
        load("hparams/evaluation.yaml", {"data_folder": "x", **overrides("ast", "nowhere")})
