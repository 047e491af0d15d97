"""Two processes under torchrun: a training done by hand, and the scripts from end to end.

One start for all of it, for it takes most of the time. ``benchmarks/soak/processes.py`` compares
whole tables with those of one process and of four.
"""

import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import REPOSITORY, TINY
from speechbrain.dataio.sampler import ReproducibleRandomSampler
from together import BATCH, CLIPS, EPOCHS, RATE, SEED, data

import eval_explanations

METHODS = ["L-MAC", "All-ones", "Random"]


def shared(folder):
    return [*TINY, f"--results_folder={folder}", "--noprogressbar"]


def training(folder, yaml, *more):
    return [f"hparams/{yaml}.yaml", *shared(folder), "--number_of_epochs=1",
            f"--output_folder={folder}/{yaml}", *more]  # fmt: skip


def evaluation(folder, name):
    return ["hparams/evaluation.yaml", *shared(folder), f"--output_folder={folder}/{name}",
            f"--classifier_checkpoint={folder}/classifier/best", "--decoder_hidden=8",
            f"--lmac_checkpoint={folder}/lmac/best", f"--methods=[{','.join(METHODS)}]",
            "--batch_size=3", "--listen=2", "--n_boot=20"]  # fmt: skip


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """The folder in which two processes ran all, and what they printed."""
    folder = tmp_path_factory.mktemp("two")
    checkpoint = f"--classifier_checkpoint={folder}/classifier/best"
    decoder = (checkpoint, "--decoder_hidden=8", "--batch_size=4")
    runs = [
        ["train_classifier", *training(folder, "classifier", "--batch_size=5")],
        ["train_lmac", *training(folder, "lmac", *decoder)],
        ["train_lmac", *training(folder, "lmac_finetune", *decoder, "--cc_th=0.5",
                                 f"--finetune_from={folder}/lmac/best")],
        ["lmac.training.l2i", *training(folder, "l2i", checkpoint, "--n_components=5",
                                             "--nmf_max_epochs=1", "--batch_size=8")],
        ["eval_explanations", *evaluation(folder, "two")],
    ]  # fmt: skip
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2",
             "tests/together.py", str(folder), *map(json.dumps, runs)]  # fmt: skip
    path = {"PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'tests'}"}
    done = subprocess.run(
        words, cwd=REPOSITORY, env={**os.environ, **path, "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.partition("ChildFailedError")[0][-4000:]
    return folder, done.stdout, done.stderr


@pytest.fixture(scope="module")
def facts(ran):
    return [json.loads((ran[0] / f"facts{rank}.json").read_text()) for rank in (0, 1)]


def order(epoch):
    sampler = ReproducibleRandomSampler(range(CLIPS), seed=SEED)
    sampler.set_epoch(epoch)
    return list(sampler)


def test_two_processes_take_the_steps_of_one_with_twice_the_batch(ran, facts):
    """Weights by NumPy: gradients of the mean squared error, clips as one process has them."""
    items = data()
    x = np.stack([items[i]["sig"].numpy() for i in range(CLIPS)]).astype(float)
    w, b = np.full(3, 0.5), 0.0
    steps = -(-CLIPS // (2 * BATCH))
    done = 0
    for epoch in range(1, EPOCHS + 1):
        shuffled = order(epoch)
        for i in range(steps):
            ids = shuffled[2 * BATCH * i : 2 * BATCH * (i + 1)]
            residual = x[ids] @ w + b - np.array(ids)
            rate = RATE * (1 - done / (steps * EPOCHS))
            w, b = w - rate * 2 * (residual @ x[ids]) / len(ids), b - rate * 2 * residual.mean()
            done += 1
    for rank in (0, 1):
        state = torch.load(ran[0] / f"weights{rank}/line.ckpt", weights_only=True)
        assert state["weight"][0].numpy() == pytest.approx(w, rel=1e-4)
        assert state["bias"].numpy() == pytest.approx([b], rel=1e-4)
        assert facts[rank]["steps"] == steps == 3 and facts[rank]["processes"] == 2


def test_every_clip_is_trained_on_once_an_epoch_in_another_order(facts):
    epochs = [[own for stage, own, _ in f["log"] if stage == "TRAIN"] for f in facts]
    assert len(epochs[0]) == EPOCHS
    seen = []
    for number, parts in enumerate(zip(*epochs, strict=True), start=1):
        ids = [[int(i) for batch, _, _ in part for i in batch] for part in parts]
        assert sorted(ids[0] + ids[1]) == list(range(CLIPS))
        assert ids == [order(number)[0::2], order(number)[1::2]]
        rates = [[rate for _, rate, _ in part] for part in parts]
        assert rates[0] == rates[1] and len(set(rates[0])) == 3
        seen.append(ids)
    assert seen[0] != seen[1]


def test_validation_is_of_every_clip_once_and_its_mean_over_clips(ran, facts):
    """Seven clips in batches of 3, 3 and 1, of which the main process has two."""
    state = torch.load(ran[0] / "weights0/line.ckpt", weights_only=True)
    items = data(7)
    x = np.stack([items[i]["sig"].numpy() for i in range(7)])
    y = x @ state["weight"][0].numpy() + state["bias"].item()
    expected = ((y - np.arange(7)) ** 2).mean()
    for rank, f in enumerate(facts):
        _, own, together = f["log"][-1]
        assert [ids for ids, _, _ in own] == [[["0", "1", "2"], ["6"]], [["3", "4", "5"]]][rank]
        assert [ids for ids, _, _ in together] == [["0", "1", "2"], ["3", "4", "5"], ["6"]]
        assert f["loss"] == pytest.approx(expected, rel=1e-5)


def test_processes_agree_on_statistics_and_differ_in_random_numbers(facts):
    assert facts[0]["before"] != facts[1]["before"]
    mean = np.mean([f["before"] for f in facts], axis=0)
    for f in facts:
        assert f["after"] == pytest.approx(mean.tolist(), rel=1e-5)
    assert facts[0]["draw"] != facts[1]["draw"]


def test_evaluation_writes_the_rows_of_one_process_to_the_last_digit(ran):
    folder = ran[0]
    torch.set_num_threads(1)  # as each of the two had
    eval_explanations.main(evaluation(folder, "one"))
    # Seconds differ, and so do the checksums of rows, which are of all their cells.
    tables = [
        [
            pd.read_csv(folder / name / f"{f}.csv", dtype=str).drop(
                columns=["s/clip", "sha256"], errors="ignore"
            )
            for name in ("one", "two")
        ]
        for f in ("metrics", "summary")
    ]
    for one, two in tables:
        pd.testing.assert_frame_equal(one, two)
    rows, summary = (table[1] for table in tables)
    assert len(rows) == 20 * len(METHODS) and not rows.duplicated(["method", "ID"]).any()
    assert set(summary["n"]) == {"20"} and list(summary["method"]) == METHODS
    numbers = rows.astype({"FF": float}).groupby("method")["FF"].mean()
    for line in summary.itertuples():
        assert float(line.FF) == pytest.approx(numbers[line.method], rel=1e-8)
    assert (folder / "one/scenario.csv").read_bytes() == (folder / "two/scenario.csv").read_bytes()
    files = [
        {p.relative_to(folder / name): p.stat().st_size for p in (folder / name).rglob("*.wav")}
        for name in ("one", "two")
    ]
    assert files[0] == files[1] and len(files[0]) == 2 * len(METHODS) * 3
    assert not list((folder / "two").glob("metrics.process*"))


def test_trainings_count_all_clips_and_only_one_process_speaks(ran):
    folder, out, err = ran
    logs = {n: (folder / n / "train_log.txt").read_text() for n in ("classifier", "lmac_finetune")}
    assert logs["classifier"].count("epoch: 1,") == 1
    # 30 training clips, and 10 that select the checkpoint.
    assert "train of: 30 " in logs["lmac_finetune"] and "valid of: 10," in logs["lmac_finetune"]
    info = json.loads((folder / "classifier/best/info.json").read_text())
    for split in ("valid", "test"):  # 10 clips each: an accuracy in tenths
        assert info[split]["clips"] == 10
        assert 10 * info[split]["accuracy"] == pytest.approx(round(10 * info[split]["accuracy"]))
    for said in ("Accuracy: ", "L2I: relative", "Rows, table and manifest", "Dictionary: relative"):
        assert out.count(said) == 1, said
    assert out.count("Decoder: ") == 2 and "Traceback" not in err
    for name in ("lmac", "lmac_finetune", "l2i"):
        file = "l2i.ckpt" if name == "l2i" else "decoder.ckpt"
        state = torch.load(folder / name / "best" / file, weights_only=True)
        assert not any(key.startswith("module.") for key in state)
