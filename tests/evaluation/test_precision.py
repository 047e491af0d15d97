"""--eval_precision reaches the classifier, and rows know what they were computed with."""

from types import SimpleNamespace

import pytest
import torch
from conftest import make_explained

from interpreters.saliency import Saliency
from lmac.evaluation.brain import EvaluationBrain
from lmac.evaluation.setup import EvaluationSetup


class Batch(dict):
    """Three clips, as the data loader gives them."""

    def __init__(self, wav):
        super().__init__({"class": torch.zeros(len(wav), dtype=torch.long)})
        self.id = self.target = list("abc")
        self.sig = self.clean = SimpleNamespace(data=wav)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_classifier_computes_in_it(precision, wav):
    explained, rows, seen = make_explained(), [], []
    explained.classifier.register_forward_hook(
        lambda *_: seen.append(torch.is_autocast_enabled("cpu"))
    )
    brain = EvaluationBrain(
        explained,
        {"Saliency": Saliency(explained)},
        SimpleNamespace(missing=lambda *_: True, append=rows.extend),
        list("vwxyz"), "plain", set(), 0,
        run_opts={"device": "cpu", "eval_precision": precision},
    )  # fmt: skip
    brain.step = 1
    brain.evaluate_batch(Batch(wav), None)
    # f(X), the gradient, what is kept, what is removed, and the sound of it.
    assert seen == [precision == "bf16"] * 5
    assert [row["ID"] for row in rows] == list("abc")
    assert all(0 < float(row["p"]) <= 1 and 0 < float(row["SPS"]) < 1 for row in rows)


@pytest.mark.parametrize("precision, noted", [("fp32", {}), ("bf16", {"precision": "bf16"})])
def test_rows_of_another_precision_are_others(precision, noted, tmp_path):
    (tmp_path / "manifest.csv").write_text("ID\n")
    setting = EvaluationSetup.__new__(EvaluationSetup)
    setting.run_opts = SimpleNamespace(eval_precision=precision)
    setting.explained = make_explained()
    setting.hparams = {
        "scenario_manifest": tmp_path / "manifest.csv", "scenario": "plain",
        "signal_length_s": 1.0,
    }  # fmt: skip
    shared = setting.shared
    assert {k: v for k, v in shared.items() if k == "precision"} == noted
    assert len(shared) == 5 + len(noted)
