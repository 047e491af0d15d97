"""Classifiers, against SpeechBrain's networks with the same state dict."""

import pytest
import torch
from conftest import make_explained
from speechbrain.dataio.encoder import CategoricalEncoder
from speechbrain.lobes.models import PIQ
from speechbrain.lobes.models import Cnn14 as sb_cnn14
from speechbrain.lobes.models.ECAPA_TDNN import Classifier
from torch import nn

from lmac.checkpoints import (
    class_names,
    classifier_domain,
    explained_classifier,
    load_classifier,
)
from lmac.classifiers import (
    AudioClassifier,
    Cnn14,
    Conv2dEncoder,
    CosineHead,
    EmbeddingModel,
    LinearHead,
    Wave1d,
)
from lmac.classifiers.aisfx import Aisfx
from lmac.core.domain import FrontEnd
from lmac.io.weights import load_weights
from lmac.settings.load import load

DEFAULTS = {
    "reads": None,
    "min_frames": 1,
    "sample_rate": None,
    "input_length": None,
    "pad": True,
    "complete": False,
    "labels": None,
    "frequency_axis": None,
}


def randomise_statistics(module):
    """BatchNorm statistics other than 0 and 1, so that a mix-up would show."""
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.running_mean, -0.5, 0.5)
            nn.init.uniform_(layer.running_var, 0.5, 1.5)
            nn.init.uniform_(layer.weight, 0.5, 1.5)
    return module.eval()


def test_published_cnn14_loads_unchanged_and_agrees(tmp_path):
    torch.manual_seed(0)
    theirs = randomise_statistics(sb_cnn14.Cnn14(mel_bins=80, emb_dim=2048, return_reps=True))
    torch.save(theirs.state_dict(), tmp_path / "embedding_model.ckpt")
    ours = load_weights(Cnn14(), tmp_path / "embedding_model.ckpt", "embedding model").eval()
    features = torch.rand(2, 101, 80)
    with torch.no_grad():
        embedding, (h6, h5, h4, h3) = theirs(features)
        our_embedding, representations = ours(features)
    torch.testing.assert_close(our_embedding, embedding, rtol=1e-3, atol=1e-4)
    for our, their in zip(representations[:1:-1], (h6, h5, h4, h3), strict=True):
        torch.testing.assert_close(our, their, rtol=1e-3, atol=1e-4)
    assert [r.shape[1] for r in representations] == [64, 128, 256, 512, 1024, 2048]


def test_published_conv2d_loads_unchanged_and_agrees():
    torch.manual_seed(0)
    theirs = randomise_statistics(PIQ.Conv2dEncoder_v2(dim=16))
    ours = Conv2dEncoder(dim=16).eval()
    ours.load_state_dict(theirs.state_dict())
    features = torch.rand(2, 101, 513)
    with torch.no_grad():
        maps = theirs(features)
        embedding, representations = ours(features)
    torch.testing.assert_close(representations[-1], maps)
    torch.testing.assert_close(embedding, maps.mean((2, 3)).unsqueeze(1))


def theirs(name, n_classes=50):
    """The published networks' own modules: embedding model and head (SpeechBrain's YAMLs)."""
    torch.manual_seed(0)
    if name == "cnn14":
        model = sb_cnn14.Cnn14(mel_bins=80, emb_dim=2048, return_reps=True)
        return randomise_statistics(model), nn.Linear(2048, n_classes).eval()
    model = randomise_statistics(PIQ.Conv2dEncoder_v2(dim=256))
    return model, Classifier(256, lin_blocks=1, out_neurons=n_classes).eval()


@pytest.mark.parametrize("name,shape", [("cnn14", (2, 101, 80)), ("conv2d", (2, 101, 513))])
def test_published_state_dicts_load_into_their_yaml_unchanged(tmp_path, name, shape):
    """Weights of exactly the published classes, through the YAML, give the published logits."""
    model, head = theirs(name)
    torch.save(model.state_dict(), tmp_path / "embedding_model.ckpt")
    torch.save(head.state_dict(), tmp_path / "classifier.ckpt")
    (tmp_path / "label_encoder.txt").write_text(
        "".join(f"'c{i}' => {i}\n" for i in range(50)) + "================\n'starting_index' => 0\n"
    )
    given = {"classifier_yaml": f"hparams/classifiers/{name}_published.yaml"}
    given |= {"data_folder": "x", "classifier_checkpoint": str(tmp_path)}
    explained = explained_classifier(load("hparams/evaluation.yaml", given)[0])
    features = torch.rand(shape)
    with torch.no_grad():
        found = model(features)
        embedding = found[0] if name == "cnn14" else found.mean((2, 3)).unsqueeze(1)
        logits, _ = explained.classifier(features)
    torch.testing.assert_close(logits, head(embedding).squeeze(1), rtol=1e-3, atol=1e-4)


def test_a_cosine_head_is_hardly_confident_until_it_is_scaled():
    torch.manual_seed(0)
    head, x = CosineHead(128, 50).eval(), torch.rand(3, 1, 128)
    assert head(x).abs().max() <= 1 + 1e-5
    assert head(x).softmax(-1).max() < 0.14  # e / (e + 49 / e)
    scaled = CosineHead(128, 50, scale=30.0).eval()
    scaled.load_state_dict(head.state_dict())
    torch.testing.assert_close(scaled(x), 30 * head(x))


@pytest.mark.parametrize("network,shape", [(Cnn14(width=4), (1, 64, 80)),
                                           (Conv2dEncoder(8), (1, 64, 513))])  # fmt: skip
def test_every_relu_is_a_module_used_once(network, shape):
    uses = {}
    for name, layer in network.named_modules():
        if isinstance(layer, nn.ReLU):
            assert not layer.inplace
            uses[name] = 0
            layer.register_forward_hook(lambda *_, name=name: uses.update({name: uses[name] + 1}))
    network.eval()(torch.rand(shape))
    assert len(uses) == {Cnn14: 12, Conv2dEncoder: 5}[type(network)]
    assert set(uses.values()) == {1}


def test_no_hidden_relu_in_cnn14():
    """With every ReLU module made the identity, the network is linear in its features."""
    network = Cnn14(width=4).double().eval()
    for block in (getattr(network, f"conv_block{i}") for i in range(1, 7)):
        block.relu1, block.relu2 = nn.Identity(), nn.Identity()
    x = torch.randn(1, 64, 80, dtype=torch.float64)
    one, two = (network(v)[1][-1] for v in (x, 2 * x))
    zero = network(torch.zeros_like(x))[1][-1]
    torch.testing.assert_close(two - zero, 2 * (one - zero))


@pytest.mark.parametrize("n_frames", [32, 33, 87, 431])
def test_any_clip_length(n_frames):
    _, representations = Cnn14(width=4).eval()(torch.rand(1, n_frames, 80))
    sizes = [r.shape[2] for r in representations]
    assert sizes == sorted(sizes, reverse=True)


def test_too_short_a_clip_is_named():
    with pytest.raises(ValueError, match="at least 32 frames, got 31"):
        Cnn14(width=4)(torch.rand(1, 31, 80))
    with pytest.raises(ValueError, match="at least 16 frames, got 3"):
        Conv2dEncoder(4)(torch.rand(1, 3, 513))


def test_a_foreign_checkpoint_is_refused_in_one_sentence(tmp_path):
    path = tmp_path / "embedding_model.ckpt"
    torch.save(Cnn14(width=8).state_dict(), path)
    with pytest.raises(ValueError, match="another architecture.*has shape .*instead of") as error:
        load_weights(Cnn14(width=4), path, "embedding model")
    assert str(path) in str(error.value) and "\n" not in str(error.value)
    with pytest.raises(ValueError, match="missing conv1.weight"):
        load_weights(Conv2dEncoder(4), path, "embedding model")
    path.write_bytes(b"no checkpoint")
    with pytest.raises(ValueError, match="not a readable PyTorch state dict"):
        load_weights(Cnn14(width=4), path, "embedding model")
    with pytest.raises(FileNotFoundError, match="No embedding model weights at"):
        load_weights(Cnn14(width=4), tmp_path / "none.ckpt", "embedding model")


def test_a_checkpoint_cannot_run_code(tmp_path):
    class Payload:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    torch.save({"conv1.weight": Payload()}, tmp_path / "bad.ckpt")
    with pytest.raises(ValueError, match="not a readable PyTorch state dict"):
        load_weights(LinearHead(4, 2), tmp_path / "bad.ckpt", "classifier")
    assert not (tmp_path / "ran").exists()


def test_a_missing_checkpoint_folder_says_what_belongs_there(tmp_path):
    classifier = AudioClassifier(Cnn14(width=4), LinearHead(128, 2))
    with pytest.raises(FileNotFoundError, match="embedding_model.ckpt and classifier.ckpt"):
        load_classifier(classifier, tmp_path / "nowhere")


def test_an_explained_classifier_stays_frozen(wav):
    explained = make_explained()
    before = {k: v.clone() for k, v in explained.state_dict().items()}
    explained.train()
    assert not any(m.training for m in explained.modules())
    assert not any(p.requires_grad for p in explained.parameters())
    X, _ = explained.domain.analyse(wav)
    X.requires_grad_()
    explained.logits(X).sum().backward()
    assert X.grad.abs().sum() > 0
    for name, value in explained.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_probabilities_do_not_saturate():
    explained = make_explained()
    with torch.no_grad():
        explained.classifier.classifier.weight.mul_(0)
        explained.classifier.classifier.bias.copy_(torch.tensor([30.0, 0, 0, 0, 0]))
    X, _ = explained.domain.analyse(torch.randn(1, 16000))
    p = explained.probabilities(X)
    assert p.dtype == torch.float64
    assert 0 < 1 - p[0, 0] < 1e-11


def test_class_names_in_the_order_of_the_outputs(tmp_path):
    data_set = ["cat", "dog"]
    assert class_names(tmp_path, data_set) == data_set
    encoder = CategoricalEncoder()
    encoder.update_from_iterable(["dog", "cat"], sequence_input=False)
    encoder.save(tmp_path / "label_encoder.txt")
    assert class_names(tmp_path, data_set) == ["dog", "cat"]
    with pytest.raises(ValueError, match="different classes .cow, dog.: is this the classifier"):
        class_names(tmp_path, ["cat", "cow"])


def test_what_a_classifier_says_of_itself_has_defaults():
    class Own(EmbeddingModel):
        reads = "stft"

    model = AudioClassifier(Own(), nn.Identity()).embedding_model
    said = {name: getattr(model, name) for name in DEFAULTS}
    assert said == {**DEFAULTS, "reads": "stft"}
    assert model.load_pretrained() is False
    documented = EmbeddingModel.__doc__
    assert all(f"\n    {name} : " in documented for name in DEFAULTS)
    for own in (Cnn14(width=2), Conv2dEncoder(dim=2), Wave1d(width=2), Aisfx(width=2)):
        assert isinstance(own, EmbeddingModel) and own.reads in ("mel", "stft", "waveform")


def test_a_module_that_says_nothing_of_itself_is_refused():
    class Plain(nn.Linear):
        reads = "mel"

    for make in (
        lambda model: AudioClassifier(model, nn.Identity()),
        lambda model: classifier_domain({"embedding_model": model, "front_end": FrontEnd()}),
    ):
        with pytest.raises(ValueError, match="is a Plain: derive it from lmac.classifiers.Embed"):
            make(Plain(2, 2))
