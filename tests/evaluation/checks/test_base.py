"""What every check has from its base: the lock of the folder, rows that are never mixed."""

import pytest
from conftest import at_work_in, make_explained
from tones import SCENARIO, Deaf, Tones, check_of

from lmac.evaluation.checks import base
from lmac.evaluation.checks.base import MaskCheck
from lmac.io.lock import LOCK


class Toy(MaskCheck):
    name, n_clips = "toy", "audit_clips"
    columns = ("method", "ID", "mean")

    def measure(self, interpreter, batch, variants):
        mask = self.mask(interpreter, batch.clips, batch.clips.decision, self.seed)
        return {
            None: [
                {"ID": row["ID"], "mean": float(m.mean())}
                for row, m in zip(batch.rows, mask, strict=True)
            ]
        }

    def report(self, summary, rows):
        return f"{len(rows)} rows\n"


def test_rows_of_other_clips_or_another_precision_are_not_mixed(tmp_path):
    explained = Tones(make_explained(kind="conv2d"))
    clips = SCENARIO.assign(ID=["a", "b", "c"], gain_target=1.0, gain_contaminant=0.1)
    methods = {"one": Deaf(explained), "two": Deaf(explained)}

    def rows(names, **more):
        chosen = {name: methods[name] for name in names}
        check = check_of(Toy, explained, tmp_path, chosen, clips, **more)
        assert check.run() == f"{len(check.rows())} rows\n"
        return check.rows()

    assert len(rows(["one", "two"])) == 6
    assert rows(["one"], audit_clips=2)["ID"].tolist() == ["a", "c"]
    found = rows(["two"], audit_clips=2, eval_precision="bf16")
    assert found["method"].unique().tolist() == ["two"] and (found["mean"] == 1).all()


def test_a_second_one_at_work_in_the_folder_gets_one_sentence(tmp_path, monkeypatch):
    hparams = {"output_folder": tmp_path}
    monkeypatch.setattr(base, "load", lambda path, overrides: (hparams, ""))
    with at_work_in(tmp_path) as other:
        with pytest.raises(ValueError, match=f"at work in .*process {other.pid}"):
            Toy.main(["evaluation.yaml"])
    assert {p.name for p in tmp_path.iterdir()} == {LOCK}
