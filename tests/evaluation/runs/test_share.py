"""Weights for others: smaller, theirs to use as they are, and still a pair."""

import json
import shutil

import pytest
import torch
from conftest import make_explained

from interpreters.lmac import LMAC
from lmac.checkpoints import explained_facts, load_classifier, training_info, weights_digest
from lmac.core.decoder import TopDownDecoder
from lmac.evaluation.runs.rounded import share

NAMES = ("dog", "cat", "bee", "owl", "fox")
LABELS = "".join(f"{name!r} => {i}\n" for i, name in enumerate(NAMES))
LABELS += "=" * 16 + "\n'starting_index' => 0\n"


def decoder_of(explained):
    torch.manual_seed(3)
    return TopDownDecoder(*explained.output_sizes())


@pytest.fixture
def trained(tmp_path):
    """(explained classifier, results folder with it and its decoder)."""
    explained, folder = make_explained(), tmp_path / "results"
    classifier, decoder = folder / "classifier" / "best", folder / "lmac_stft" / "best"
    for best in (classifier, decoder):
        best.mkdir(parents=True)
    for part in ("embedding_model", "classifier"):
        torch.save(getattr(explained.classifier, part).state_dict(), classifier / f"{part}.ckpt")
    (classifier / "label_encoder.txt").write_text(LABELS)
    noise = {"noise_folder": "wham/tr", "noise_path": "/a/machine/wham/tr"}
    (classifier / "info.json").write_text(json.dumps({"seed": 7, "augmentation": noise}))
    torch.save(decoder_of(explained).state_dict(), decoder / "decoder.ckpt")
    facts = explained_facts(explained)
    info = {**facts, "decoder": {"class": "TopDownDecoder"}, "finetune_from": "/a/machine/x"}
    (decoder / "info.json").write_text(json.dumps(info))
    return explained, folder


def test_what_is_shared_explains_as_the_original_does(trained, tmp_path, wav):
    explained, folder = trained
    to = tmp_path / "weights"
    written = share(folder, to, ["classifier", "lmac_stft"])
    assert written == [to / "classifier" / "best", to / "lmac_stft" / "best"]
    theirs = make_explained(seed=1)
    load_classifier(theirs.classifier, written[0])
    noted = training_info(written[1])["classifier_weights"]
    assert noted == weights_digest(theirs.classifier) != weights_digest(explained.classifier)
    masks, answers = [], []
    for who, checkpoint in ((explained, folder / "lmac_stft/best"), (theirs, written[1])):
        X, phase = who.domain.analyse(wav)
        answers.append(who(X, phase)[0])
        masks.append(LMAC(who, TopDownDecoder, checkpoint).explain(X, answers[-1].argmax(1)))
    torch.testing.assert_close(*answers, rtol=0.01, atol=0.01)
    torch.testing.assert_close(*masks, rtol=0, atol=0.01)
    with pytest.raises(ValueError, match="lmac_checkpoint: .*was trained for classifier_weights"):
        LMAC(explained, TopDownDecoder, written[1])
    assert (written[0] / "label_encoder.txt").read_text() == LABELS
    for name in ("classifier/best/embedding_model.ckpt", "lmac_stft/best/decoder.ckpt"):
        before, after = ((f / name).stat().st_size for f in (folder, to))
        assert after < before and all(
            value.dtype != torch.float32 for value in torch.load(to / name).values()
        )
    everything = "".join(p.read_text() for p in to.rglob("*.json"))
    assert "/a/machine" not in everything and '"seed": 7' in everything


def test_files_of_before_are_replaced_and_checksums_hold(trained, tmp_path):
    _, folder = trained
    for _ in range(2):
        share(folder, tmp_path / "weights", ["classifier"])
    best = tmp_path / "weights" / "classifier" / "best"
    assert {p.name for p in best.iterdir()} == {
        *("SHA256SUMS", "classifier.ckpt", "embedding_model.ckpt", "info.json"),
        "label_encoder.txt",
    }
    (best / "info.json").write_text("{}")
    with pytest.raises(ValueError, match="is damaged or was changed"):
        training_info(best)


def test_mistakes_are_named(trained, tmp_path):
    _, folder = trained
    to = tmp_path / "weights"
    with pytest.raises(
        ValueError, match="was trained for the classifier .*, which is none of lmac"
    ):
        share(folder, to, ["lmac_stft"])
    with pytest.raises(FileNotFoundError, match="parts: there are no weights in .*lmac_mel/best"):
        share(folder, to, ["classifier", "lmac_mel"])
    torch.save({"w": torch.tensor([1.0, 1e6])}, folder / "lmac_stft" / "best" / "decoder.ckpt")
    with pytest.raises(ValueError, match=r"decoder.ckpt: w is too large for 16 bits\."):
        share(folder, to, ["classifier", "lmac_stft"])
    assert not to.exists()


def contents(folder):
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_what_is_shared_is_never_written_over(trained, tmp_path):
    """In place, through a link, by an absolute part, or another training."""
    _, folder = trained
    (tmp_path / "link").symlink_to(folder)
    (tmp_path / "other" / "classifier").mkdir(parents=True)
    (tmp_path / "other" / "classifier" / "best").symlink_to(folder / "classifier" / "best")
    before = contents(folder)
    for to in (folder, tmp_path / "link", tmp_path / "other"):
        with pytest.raises(ValueError, match="is what is to be copied"):
            share(folder, to, ["classifier"])
    for part in (str(folder / "classifier"), "../results/classifier"):
        with pytest.raises(ValueError, match="parts: .* is no name of a folder below"):
            share(folder, tmp_path / "weights", [part])
    shutil.copytree(folder, tmp_path / "another")
    with pytest.raises(ValueError, match="holds a training that was not shared"):
        share(folder, tmp_path / "another", ["classifier"])
    assert contents(folder) == before
    (tmp_path / "weights" / "classifier" / "best").mkdir(parents=True)
    (tmp_path / "weights" / "classifier" / "best" / "classifier.ckpt").write_text("mine")
    with pytest.raises(ValueError, match="classifier.ckpt is in the way"):
        share(folder, tmp_path / "weights", ["classifier"])
