"""Zero-shot classifiers: prompts, CLAP against transformers, our own model, their decoder."""

import json
import math
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import speechbrain as sb
import torch
from conftest import make_explained
from layouts import write_sound
from pretrained import clap_folder, text_folder
from speechbrain.dataio.batch import PaddedBatch

import explain
from interpreters.gradcam import GradCAM
from lmac.checkpoints import build_decoder, class_names, explained_classifier
from lmac.classifiers import AudioClassifier, Cnn14
from lmac.classifiers.clap import INSTALL, ClapAudio, ClapFeatures, ClapHead
from lmac.classifiers.contrastive import ContrastiveHead, embed_texts
from lmac.classifiers.prompts import phrasings
from lmac.core.decoder import TopDownDecoder
from lmac.core.domain import FrontEnd, get_domain
from lmac.core.explained import ExplainedClassifier
from lmac.core.losses import Step, cross_entropy, zero_shot_loss
from lmac.io.prompts import read_prompts
from lmac.settings.load import ConfigError, load
from lmac.training.augment import ClipMixer, WaveformAugment
from lmac.training.target_classes import TargetClasses
from lmac.training.zero_shot import ZeroShotBrain, require_prompts

pytest.importorskip("transformers", reason=INSTALL)
PROMPTS = "a dog barking, rain falling, a crying baby"


@pytest.fixture(scope="module")
def clap(tmp_path_factory):
    return str(clap_folder(tmp_path_factory.mktemp("clap")))


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    return str(text_folder(tmp_path_factory.mktemp("text")))


def contrastive(text, prompts=PROMPTS, **options):
    torch.manual_seed(0)
    tower = Cnn14(width=2)
    head = ContrastiveHead(tower.emb_dim, 12, prompts, text_model=text, **options)
    classifier = AudioClassifier(tower, head).train()
    domain = get_domain("stft", FrontEnd())
    for _ in range(2):  # lively BatchNorm statistics
        classifier(domain.to_features(*domain.analyse(0.3 * torch.randn(4, 8000))))
    return ExplainedClassifier(domain, classifier)


def waves(n=6000, clips=2):
    return 0.3 * torch.randn(clips, n, generator=torch.Generator().manual_seed(4))


# Prompts


@pytest.mark.parametrize(
    "given",
    [
        "a dog, rain  falling",
        ["a dog", " rain falling "],
        {"a dog": "a dog", "rain": "rain falling"},
    ],
)
def test_prompts_are_read(given):
    read = read_prompts(given)
    assert list(read.values()) == ["a dog", "rain falling"]
    assert list(read) == ["a dog", "rain" if isinstance(given, dict) else "rain falling"]


@pytest.mark.parametrize(
    "given, message",
    [
        (None, "prompts: there are none"),
        ([], "prompts: there are none"),
        (" ", "prompts: number 1 is empty"),
        ("a dog, , rain", "prompts: number 2 is empty"),
        ("a dog", "'a dog' is the only one"),
        ("a dog, A  Dog", "'A Dog' is there twice"),
        ({"x": "a dog", "y": "a dog"}, "'a dog' is there twice"),
        (["a dog", 3], "prompts: 3 .* is a int, not a text"),
    ],
)
def test_prompts_that_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        read_prompts(given)


def test_templates():
    assert phrasings("rain", ("{}", "the sound of {}")) == ["rain", "the sound of rain"]
    with pytest.raises(ValueError, match="templates: 'the sound'"):
        phrasings("rain", ("the sound",))


@pytest.mark.parametrize("slot", ["clap", "contrastive"])
def test_a_prompt_longer_than_the_text_model_takes(slot, clap, text):
    long = ["a dog", "dog " * 300]
    with pytest.raises(ValueError, match=r"'dog dog .*\.\.\.' has 302 tokens, .* takes (18|256)"):
        if slot == "clap":
            ClapHead(clap, long)
        else:
            contrastive(text, long)


def test_prompts_for_a_classifier_of_fixed_classes():
    with pytest.raises(ConfigError, match="--prompts: .* fixed classes.*contrastive.yaml"):
        load("hparams/explain.yaml", {"prompts": "a dog, rain"})
    with pytest.raises(ValueError, match="prompts_per_sound is for a zero-shot classifier"):
        require_prompts(make_explained())
    with pytest.raises(ConfigError, match="needs a value for prompts"):
        load("hparams/explain.yaml", {"classifier_yaml": "hparams/classifiers/contrastive.yaml"})


def test_prompts_are_named_by_the_classes_of_the_data(text):
    classifier = contrastive(text, {"rain": "rain falling", "dog": "a dog barking"}).classifier
    assert class_names(None, ["dog", "rain"], classifier) == ["rain", "dog"]
    with pytest.raises(ValueError, match="different classes"):
        class_names(None, ["dog", "rain"], contrastive(text).classifier)


# CLAP


def clap_explained(folder, prompts=PROMPTS):
    hparams, _ = load(
        "hparams/evaluation.yaml",
        {"classifier_yaml": "hparams/classifiers/clap.yaml", "data_folder": "x",
         "classifier_source": folder, "prompts": prompts},
    )  # fmt: skip
    return explained_classifier(hparams)


def test_clap_s_logits_are_those_of_transformers(clap):
    from transformers import AutoTokenizer, ClapFeatureExtractor, ClapModel

    ours = clap_explained(clap)
    X, phase = ours.domain.analyse(waves(12000))
    sound = ours.domain.features(ours.domain.synthesise(X, phase))
    texts = AutoTokenizer.from_pretrained(clap)(
        PROMPTS.split(", "), padding=True, return_tensors="pt"
    )
    inputs = ClapFeatureExtractor.from_pretrained(clap)(
        list(sound.numpy()), sampling_rate=8000, return_tensors="pt"
    )
    with torch.no_grad():
        expected = ClapModel.from_pretrained(clap).eval()(**texts, **inputs).logits_per_audio
    assert float((expected[:, 0] - expected[:, 1]).abs().min()) > 1e-2
    torch.testing.assert_close(ours.logits(X, phase), expected, rtol=1e-3, atol=1e-3)
    assert ours.classifier.labels == PROMPTS.split(", ")


@pytest.mark.parametrize("padding", ["repeatpad", "repeat", "pad"])
@pytest.mark.parametrize("n", [5000, 16000])
def test_clap_s_features_are_the_extractor_s(padding, n):
    from transformers import ClapFeatureExtractor

    extractor = ClapFeatureExtractor(
        feature_size=16, sampling_rate=8000, hop_length=80, max_length_s=2, fft_window_size=256,
        frequency_max=3500, truncation="rand_trunc", padding=padding,
    )  # fmt: skip
    wav = waves(n)
    expected = extractor(list(wav.numpy()), sampling_rate=8000, return_tensors="pt")
    found = ClapFeatures(extractor)(wav)
    torch.testing.assert_close(found, expected["input_features"].float(), rtol=0, atol=1e-3)


def test_clap_s_maps_follow_time_and_frequency(clap):
    """The image has a row for each chunk and frequency, a column for the time in a chunk."""
    model = ClapAudio(clap).eval()
    tokens = torch.zeros(1, 256, 3)
    side, chunks = 16, model.tap.grid.chunks
    image = torch.arange(256).view(side, side)
    tokens[0, :, 0] = image.flatten()
    model.tap.grid.share = 1.0
    maps, back = model.tap.grid(tokens)
    rows = side // chunks
    for chunk in range(chunks):
        for t in (0, 5):
            for f in range(rows):
                assert maps[0, 0, chunk * side + t, f] == image[chunk * rows + f, t]
    assert torch.equal(back(maps), tokens)
    model.tap.grid.share = 0.25
    maps, back = model.tap.grid(tokens)
    assert maps.shape[2] == 16 and torch.equal(back(maps), tokens)


def test_clap_can_be_explained(clap):
    ours = clap_explained(clap)
    X, phase = ours.domain.analyse(waves(12000))
    logits, maps = ours(X.requires_grad_(), phase)
    reached = torch.autograd.grad(logits[:, 1].sum(), [X, *maps])
    assert len(maps) == 3 and all(g.abs().sum() > 0 for g in reached)
    mask = GradCAM(ours).explain(X.detach(), torch.tensor([0, 1]), phase)
    assert mask.shape == X.shape and 0 <= float(mask.min()) and float(mask.max()) <= 1
    decoder = build_decoder(TopDownDecoder, ours)
    assert (
        decoder(maps, X, ours.condition(torch.tensor([0, 1]), None), ours.domain).shape == X.shape
    )


def test_what_is_no_clap(tmp_path):
    with pytest.raises(ValueError, match="nowhere is neither a folder of save_pretrained"):
        ClapAudio(str(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match="fuses several crops .* laion/clap-htsat-unfused"):
        ClapAudio(str(clap_folder(tmp_path / "fused", fused=True)))


# Our own model


def test_texts_are_embedded_as_their_mean_token(text):
    from transformers import AutoModel, AutoTokenizer

    texts = ["a dog barking", "rain"]  # of different lengths: padding must not count
    found = embed_texts(texts, text)
    tokenizer, model = AutoTokenizer.from_pretrained(text), AutoModel.from_pretrained(text).eval()
    for one, vector in zip(texts, found, strict=True):
        with torch.no_grad():
            states = model(**tokenizer(one, return_tensors="pt")).last_hidden_state[0]
        mean = states.double().mean(0)
        torch.testing.assert_close(vector.double(), mean / mean.norm(), rtol=0, atol=1e-5)


def test_the_head_by_hand(text):
    templates = ("{}", "the sound of {}")
    explained = contrastive(text, templates=templates, phrases={"rain falling": ["rain"]})
    head = explained.classifier.classifier
    embedding = torch.randn(3, 1, head.audio.in_features)
    weights = {k: v.double().numpy() for k, v in head.state_dict().items()}
    rows = embedding[:, 0].double().numpy()
    rows = (rows - weights["norm.running_mean"]) / np.sqrt(weights["norm.running_var"] + 1e-5)
    rows *= math.sqrt(rows.shape[1]) / np.linalg.norm(rows, axis=1, keepdims=True)
    audio = rows @ weights["audio.weight"].T + weights["audio.bias"]
    audio /= np.linalg.norm(audio, axis=1, keepdims=True)
    vectors = []
    for prompt in PROMPTS.split(", "):
        texts = embed_texts(phrasings(prompt, templates), text).double().numpy()
        projected = (texts - weights["centre"]) @ weights["text.weight"].T
        projected /= np.linalg.norm(projected, axis=1, keepdims=True)
        mean = projected.mean(0)
        vectors.append(mean / np.linalg.norm(mean))
    expected = np.exp(weights["log_scale"]) * audio @ np.stack(vectors).T
    np.testing.assert_allclose(head(embedding)[:, 0].detach().numpy(), expected, atol=1e-4)
    np.testing.assert_allclose(explained.classifier.prompt_vectors.detach(), vectors, atol=1e-5)


def test_training_draws_from_all_phrases_of_a_class_and_no_others(text):
    head = ContrastiveHead(6, 12, "a dog, rain, a baby", {"rain": ["rain falling"]},
                           ("{}", "the sound of {}"), text)  # fmt: skip
    own = [2, 4, 2]  # phrases times templates
    each = torch.nn.functional.normalize(head._projected(head.texts), dim=1).split(own)
    drawn = [set(), set(), set()]
    torch.manual_seed(0)
    for _ in range(60):
        for k, vector in enumerate(head.vectors):
            distance = (each[k] - vector).norm(dim=1)
            assert float(distance.min()) < 1e-6
            drawn[k].add(int(distance.argmin()))
    assert [len(d) for d in drawn] == own
    assert torch.equal(head.eval().vectors, head.vectors)


def test_weights_serve_other_prompts(text, tmp_path):
    one, other = contrastive(text), contrastive(text, "a cat, a barking dog")
    state = one.classifier.classifier.state_dict()
    other.classifier.classifier.load_state_dict(state)
    assert torch.equal(other.classifier.classifier.centre, one.classifier.classifier.centre)
    assert not any(name.startswith(("texts", "ends")) for name in state)


def test_balanced_cross_entropy_by_hand():
    logits = torch.randn(5, 3, generator=torch.Generator().manual_seed(0)).double()
    targets = torch.tensor([0, 0, 0, 2, 2])
    each = -logits.log_softmax(1).gather(1, targets[:, None])[:, 0]
    expected = (each[:3].mean() + each[3:].mean()) / 2
    torch.testing.assert_close(cross_entropy(logits, targets, balanced=True), expected)


# LMAC-ZS


def test_the_loss_by_hand():
    rng = np.random.default_rng(0)
    n, k, scale = 4, 3, 7.0
    cosines, cosines_in = (rng.uniform(-1, 1, (n, k)) for _ in range(2))
    asked, mask = np.array([0, 2, 1, 1]), rng.uniform(size=(n, 5, 6))
    similarity = sparse = 0.0
    for pair in range(n):
        similarity += abs(cosines[pair, asked[pair]] - cosines_in[pair, asked[pair]]) / n
        sparse += mask[pair].mean() / n
    given = [torch.tensor(scale * x) for x in (cosines, cosines_in)]
    step = Step(given[1], None, torch.tensor(asked), torch.tensor(mask), logits=given[0],
                source=torch.zeros(n, dtype=torch.bool), scale=torch.tensor(scale))  # fmt: skip
    found = zero_shot_loss(step, l_similarity=3.0, l_sparse=0.5)
    assert float(found["loss"]) == pytest.approx(3 * similarity + 0.5 * sparse, abs=1e-12)
    assert float(found["similarity"]) == pytest.approx(3 * similarity, abs=1e-12)
    # With every option: the terms of the other loss are added.
    more = zero_shot_loss(step, l_similarity=3.0, l_sparse=0.5, l_in=1.5, l_absent=2.0)
    p = np.exp(scale * cosines) / np.exp(scale * cosines).sum(1, keepdims=True)
    log_in = scale * cosines_in - np.log(np.exp(scale * cosines_in).sum(1, keepdims=True))
    extra = 0.0
    for pair, c in enumerate(asked):
        w = 1.0 if c == p[pair].argmax() else p[pair, c]
        extra += 1.5 * (-w * log_in[pair, c] + 2 * (1 - w) *
                        max(0.0, log_in[pair, c] - math.log(p[pair, c]))) / n  # fmt: skip
    assert float(more["loss"] - found["loss"]) == pytest.approx(extra, abs=1e-12)


@pytest.fixture
def batch():
    torch.manual_seed(3)
    time = torch.arange(6000) / 16000
    wavs = torch.stack([torch.sin(6.28 * f * time) for f in (200.0, 900.0, 2500.0)])
    wavs = wavs * torch.rand(3, 6000)
    return PaddedBatch([{"id": str(i), "sig": w, "class": 0} for i, w in enumerate(wavs)])


class Told(torch.nn.Module):
    """A decoder that remembers what it was told; its mask differs from pair to pair."""

    def __init__(self):
        super().__init__()
        self.logit = torch.nn.Parameter(torch.tensor(0.3))

    def forward(self, representations, X, target, domain):
        self.told = SimpleNamespace(representations=representations, X=X, target=target)
        levels = self.logit * torch.linspace(-1, 1, len(X))
        return levels[:, None, None].expand_as(X)


def zero_shot_brain(text, **hparams):
    hparams = {
        "augment": WaveformAugment(mixer=ClipMixer(1.0, (0, 0))), "seed": 1,
        "lmac_loss": zero_shot_loss, "target_classes": TargetClasses(0.3, 0.3, 0.2),
        "prompts_per_sound": 2, **hparams,
    }  # fmt: skip
    brain = ZeroShotBrain(contrastive(text), modules={"decoder": Told()}, hparams=hparams)
    brain.on_stage_start(sb.Stage.VALID)
    return brain


def test_every_pair_is_its_own_sound_and_its_own_prompt(batch, text):
    brain = zero_shot_brain(text)
    explained, decoder = brain.explained, brain.modules.decoder
    step = brain.compute_forward(batch, sb.Stage.VALID)
    logits, logits_in, asked, mask = step.logits, step.logits_in, step.target, step.mask
    assert len(asked) == len(mask) == len(step.logits_out) == 6 and step.source.shape == (6,)
    X = decoder.told.X
    for sound in range(3):  # sound by sound
        assert torch.equal(X[2 * sound], X[2 * sound + 1])
        assert not torch.equal(X[2 * sound], X[2 * sound - 1])
    for pair in range(6):
        vector = explained.classifier.prompt_vectors[asked[pair]]
        assert torch.equal(decoder.told.target[pair], vector)
        own, maps = explained(X[pair : pair + 1])
        torch.testing.assert_close(logits[pair : pair + 1], own)
        torch.testing.assert_close(decoder.told.representations[0][pair : pair + 1], maps[0])
        kept = explained.logits((mask[pair] * X[pair])[None])
        torch.testing.assert_close(logits_in[pair : pair + 1], kept)


def test_the_masked_out_part_is_not_computed_for_nothing(batch, text):
    for l_out, missing in ((0.0, True), (0.2, False)):
        brain = zero_shot_brain(text, lmac_loss=partial(zero_shot_loss, l_out=l_out))
        predictions = brain.compute_forward(batch, sb.Stage.TRAIN)
        assert (predictions.logits_out is None) == missing
        loss = brain.compute_objectives(predictions, batch, sb.Stage.TRAIN)
        loss.backward()
        assert float(brain.modules.decoder.logit.grad.abs()) > 0


def test_a_decoder_of_prompts_can_be_asked_for_other_prompts(text):
    one, other = contrastive(text), contrastive(text, "a cat, a barking dog")
    torch.manual_seed(1)
    factory = lambda *sizes, **more: TopDownDecoder(*sizes, 8, 4, conditioned=True, **more)  # noqa: E731
    decoder = build_decoder(factory, one).eval()
    assert decoder.settings["condition_size"] == 12
    assert set(decoder.state_dict()) == set(build_decoder(factory, other).state_dict())
    X, phase = other.domain.analyse(waves(8000))
    _, maps = other(X, phase)
    masks = [
        decoder(maps, X, other.condition(torch.tensor([k, k]), None), other.domain) for k in (0, 1)
    ]
    assert float((masks[0] - masks[1]).detach().abs().max()) > 1e-3


def test_the_yaml_of_our_model(text):
    hparams, _ = load(
        "hparams/evaluation.yaml",
        {"classifier_yaml": "hparams/classifiers/contrastive.yaml", "data_folder": "x",
         "prompts": PROMPTS, "text_model": text, "classifier_width": 2, "joint_size": 12},
    )  # fmt: skip
    head = hparams["classifier"]
    assert head.labels == PROMPTS.split(", ") and head.audio.in_features == 16
    assert json.dumps(head.prompts)  # as info.json has them


def test_explain_asks_for_each_prompt(clap, tmp_path, capsys):
    write_sound(tmp_path / "street.wav", 1.0)
    explain.main(
        ["hparams/explain.yaml", "--classifier_yaml=hparams/classifiers/clap.yaml",
         f"--classifier_source={clap}", "--prompts=a dog barking, rain falling", "--device=cpu",
         f"--audio={tmp_path / 'street.wav'}", "--methods=[Saliency]", "--window_s=1.5",
         "--overlap_s=0.5",
         f"--output_folder={tmp_path / 'out'}"]
    )  # fmt: skip
    found = {}
    for path in (tmp_path / "out").rglob("explanation.json"):
        content = json.loads(path.read_text())
        found[content["explained_class"]] = content["p"]
    assert set(found) == {"a dog barking", "rain falling"}
    assert sum(found.values()) == pytest.approx(1)
    printed = capsys.readouterr().out
    for prompt, p in found.items():
        assert f"{p:.3f}  {prompt}\n" in printed


def test_explain_says_what_is_wrong_with_prompts(clap, tmp_path):
    write_sound(tmp_path / "street.wav", 1.0)
    words = ["hparams/explain.yaml", "--classifier_yaml=hparams/classifiers/clap.yaml",
             f"--classifier_source={clap}", f"--audio={tmp_path / 'street.wav'}"]  # fmt: skip
    for prompts, message in {
        "--prompts=": "--prompts=.*: expected prompts separated by commas",
        "--prompts=a dog": "is the only one",
        "--prompts=a dog, a dog": "is there twice",
    }.items():
        with pytest.raises(ValueError, match=message):
            explain.main([*words, prompts])
