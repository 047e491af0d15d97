"""PIQ: quantisation and loss by hand, training from the command line, and what is refused."""

import json

import numpy as np
import pytest
import torch
from conftest import make_explained
from speechbrain.dataio.encoder import CategoricalEncoder

import eval_explanations
from data_prep.builtin_events import CLASSES
from data_prep.builtin_sounds import generate
from interpreters.piq import PIQ, PIQNetwork
from lmac.training import piq as train
from lmac.training.piq import piq_loss


def analysed(explained, batch=3):
    generator = torch.Generator().manual_seed(5)
    return explained.domain.analyse(0.3 * torch.randn(batch, 16000, generator=generator))


def test_every_cell_gets_the_nearest_code_of_its_class():
    explained = make_explained(n_classes=5)
    torch.manual_seed(1)
    network = PIQNetwork(explained, hidden=6, codes=40, layer=-2).eval()
    torch.nn.init.normal_(network.psi.codebook.embedding.weight)
    X, _ = analysed(explained)
    representations = explained(X)[1]
    codebook = network.psi.codebook.embedding.weight.detach().numpy()
    # SpeechBrain rounds a line from -0.5 to 4.49: about eight codes for each class.
    owner = np.round(np.linspace(-0.5, 4.49, 40))
    assert sorted({*owner}) == [0, 1, 2, 3, 4]
    with torch.no_grad():
        for classes in ([0, 1, 4], [2, 2, 3]):
            target = torch.tensor(classes)
            logits, maps, codes = network(representations, target, explained.domain, X.shape[1])
            assert logits.shape == X.shape and maps.shape == codes.shape
            assert maps.shape == (3, 6, *representations[-2].shape[2:])
            for b, c in enumerate(classes):
                own = codebook[owner == c]
                for cell, code in zip(maps[b].flatten(1).t(), codes[b].flatten(1).t(), strict=True):
                    nearest = own[((own - cell.numpy()) ** 2).sum(1).argmin()]
                    np.testing.assert_allclose(code.numpy(), nearest, rtol=1e-6)
    assert not torch.equal(*(
        network(representations, torch.tensor(t), explained.domain, X.shape[1])[0]
        for t in ([0, 1, 4], [3, 0, 2])
    ))  # fmt: skip


def test_the_loss_by_hand_and_its_gradients():
    generator = np.random.default_rng(0)
    X, logits = generator.random((2, 4, 5)) * [[[1.0]], [[3.0]]], generator.normal(size=(2, 4, 5))
    maps, codes = generator.normal(size=(2, 2, 3, 2, 2))
    mask = 1 / (1 + np.exp(-logits))
    loud = np.stack([x > 0.35 * x.max() for x in X])
    assert 0 < loud.sum() < loud.size
    expected = {
        "reconstruction": -np.where(loud, np.log(mask), np.log(1 - mask)).mean(),
        "codebook": ((maps - codes) ** 2).mean(),
        "commitment": ((maps - codes) ** 2).mean(),
    }
    tensors = [torch.tensor(v, requires_grad=True) for v in (X, logits, maps, codes)]
    parts = piq_loss(*tensors, threshold=0.35)
    for name, value in expected.items():
        assert parts[name].item() == pytest.approx(value), name
    assert parts["loss"].item() == pytest.approx(sum(expected.values()))
    _, _, maps, codes = tensors
    assert torch.autograd.grad(parts["codebook"], [maps], allow_unused=True) == (None,)
    assert torch.autograd.grad(parts["commitment"], [codes], allow_unused=True) == (None,)


def test_gradients_pass_through_the_codes():
    """Straight through: what is before the quantisation learns from the mask."""
    explained = make_explained()
    network = PIQNetwork(explained, hidden=6, codes=40)
    X, _ = analysed(explained)
    logits, _, _ = network(explained(X)[1], torch.tensor([0, 1, 2]), explained.domain, X.shape[1])
    logits.square().mean().backward()
    assert network.project.weight.grad.abs().sum() > 0
    assert network.psi.codebook.embedding.weight.grad is None  # it learns from its own term


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A results folder with a classifier of random weights, the sounds and a trained PIQ."""
    folder = tmp_path_factory.mktemp("piq")
    best = folder / "classifier"
    best.mkdir()
    classifier = make_explained(n_classes=10).classifier
    for part in ("embedding_model", "classifier"):
        torch.save(getattr(classifier, part).state_dict(), best / f"{part}.ckpt")
    encoder = CategoricalEncoder()
    encoder.update_from_iterable(list(CLASSES), sequence_input=False)
    encoder.save(best / "label_encoder.txt")
    generate(folder / "builtin_sounds", clips_per_class=5, duration_s=1.0)
    train.main(["hparams/piq.yaml", *words(folder), f"--output_folder={folder}/piq",
                "--piq_hidden=16", "--piq_codes=40", "--number_of_epochs=8", "--batch_size=10",
                "--lr=0.01"])  # fmt: skip
    return folder


def words(folder):
    return ["--classifier_width=4", "--device=cpu", f"--results_folder={folder}",
            "--dataset_yaml=hparams/datasets/builtin.yaml", "--clips_per_class=5",
            "--signal_length_s=1.0", f"--classifier_checkpoint={folder}/classifier"]  # fmt: skip


def test_it_learns_and_says_what_it_knows(folder):
    info = json.loads((folder / "piq/best/info.json").read_text())
    assert info["piq_codes"] == 40 and info["domain"] == "stft" and info["epochs"] == 8
    assert 0 <= info["valid"]["fidelity"] <= 1 and 0 < info["valid"]["mean_mask"] < 1
    log = (folder / "piq/train_log.txt").read_text()
    losses = [float(line.split("train reconstruction: ")[1].split(",")[0])
              for line in log.splitlines() if "epoch" in line]  # fmt: skip
    assert len(losses) == 8 and losses[-1] < 0.5 * losses[0]


def test_it_is_scored_beside_the_others(folder):
    eval_explanations.main(["hparams/evaluation.yaml", *words(folder), "--n_boot=5", "--listen=0",
                            "--methods=[PIQ,All-ones]", f"--piq_checkpoint={folder}/piq/best",
                            f"--output_folder={folder}/evaluation"])  # fmt: skip
    rows = (folder / "evaluation/metrics.csv").read_text()
    assert "PIQ" in rows and "nan" not in rows.lower().split("si_sdr")[0]


def test_what_does_not_fit_is_named(folder, tmp_path):
    other = make_explained(n_classes=10, seed=1)
    with pytest.raises(ValueError, match="piq_checkpoint: .* was trained for classifier_weights"):
        PIQ(other, folder / "piq/best")
    with pytest.raises(ValueError, match="piq_checkpoint is not set"):
        PIQ(other, None)
    torch.save({"a": torch.zeros(1)}, tmp_path / "piq.ckpt")
    with pytest.raises(ValueError, match="no checkpoint of PIQ; give the folder"):
        PIQ(other, tmp_path)
    with pytest.raises(ValueError, match="piq_codes is 9: expected at least one for each of 10"):
        PIQNetwork(other, codes=9)
    with pytest.raises(ValueError, match="piq_layer is -7: this classifier gives"):
        PIQNetwork(other, layer=-7)
