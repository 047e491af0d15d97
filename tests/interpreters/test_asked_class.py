"""L-MAC's mask for a class that was asked for: how much is kept of what is hardly there."""

import json

import pytest
import torch
from conftest import make_explained

from interpreters.lmac import LMAC
from lmac.core.decoder import TopDownDecoder

AUDIBLE = 0.3  # the random classifier gives every class about a fifth


def small(channels, n_classes):
    return TopDownDecoder(channels, n_classes, hidden=8, detail=4, conditioned=True)


@pytest.fixture
def case(tmp_path, wav):
    explained = make_explained()
    torch.manual_seed(3)
    torch.save(small(*explained.output_sizes()).state_dict(), tmp_path / "decoder.ckpt")
    X, _ = explained.domain.analyse(wav)
    return explained, X, tmp_path


def test_the_mask_of_a_class_shrinks_with_its_probability(case):
    explained, X, folder = case
    plain = LMAC(explained, small, folder)
    (folder / "info.json").write_text(json.dumps({"presence_threshold": AUDIBLE}))
    gated = LMAC(explained, small, folder)
    assert plain.description != gated.description and "presence_threshold=0.3" in gated.description
    more = LMAC(explained, small, folder, presence_threshold=0.9)
    assert "presence_threshold=0.9" in more.description
    probs = explained.probabilities(X)
    silent = int(explained.logits(torch.zeros_like(X[:1])).argmax())
    assert explained.silent_classes.nonzero().flatten().tolist() == [silent]
    seen = set()
    for c in range(probs.shape[1]):
        target = torch.full((len(X),), c)
        whole, less = plain.explain(X, target), gated.explain(X, target)
        for i in range(len(X)):
            p = float(probs[i, c])
            kind = (
                "decision" if c == int(probs[i].argmax()) else "silence" if c == silent else "other"
            )
            seen.add(kind)
            factor = 1.0 if kind != "other" else min(1.0, p / AUDIBLE)
            torch.testing.assert_close(less[i], whole[i] * factor)
            factor = 1.0 if kind != "other" else min(1.0, p / 0.9)
            torch.testing.assert_close(more.explain(X, target)[i], whole[i] * factor)
    assert seen >= {"decision", "other"} and 0.05 < float(probs.min()) < AUDIBLE


def test_presence_by_hand():
    explained = make_explained(n_classes=4)
    explained.silent_classes = torch.arange(5) == 3
    logits = torch.tensor([[0.9, 0.04, 0.05, 0.01]]).log().repeat(4, 1)
    found = explained.presence(torch.arange(4), logits, presence_threshold=0.08)
    assert found.tolist() == pytest.approx([1.0, 0.5, 0.625, 1.0])
