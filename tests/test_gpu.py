"""What is otherwise on a GPU, tested without one: how clips get there, and who waits for it."""

import traceback
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
import speechbrain as sb
import torch
from conftest import REPOSITORY, make_explained
from speechbrain.dataio.batch import PaddedBatch
from speechbrain.dataio.dataset import DynamicItemDataset
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from interpreters.saliency import Saliency
from lmac.core.decoder import TopDownDecoder
from lmac.core.losses import lmac_loss
from lmac.core.scoring import analyse_clips, explain
from lmac.evaluation.brain import EvaluationBrain
from lmac.io.processes import loading
from lmac.training.augment import ClipMixer, WaveformAugment
from lmac.training.lmac import DecoderBrain

TRAIN, VALID, TEST = sb.Stage.TRAIN, sb.Stage.VALID, sb.Stage.TEST
LABELS = list("vwxyz")
DEVICE = "cpu:0"  # the device that is computed on, told apart from "cpu" in the code


def trained(explained):
    """A brain that trains a decoder, as train_lmac.py has it."""
    augment = WaveformAugment(mixer=ClipMixer(probability=1.0))
    hparams = {"augment": augment, "out_share": 0.5, "seed": 1, "lmac_loss": lmac_loss}
    hparams |= {"lr_schedule": lambda done: 1e-3, "steps_per_epoch": 1, "number_of_epochs": 1}
    hparams["epoch_counter"] = SimpleNamespace(current=1)
    channels, n_classes = explained.output_sizes()
    return DecoderBrain(
        explained,
        modules={"decoder": TopDownDecoder(channels, n_classes)},
        opt_class=torch.optim.Adam,
        hparams=hparams,
        run_opts={"device": "cpu"},
    )


def evaluated(explained, rows):
    return EvaluationBrain(
        explained, {"Saliency": Saliency(explained)},
        SimpleNamespace(missing=lambda *_: True, append=rows.extend),
        LABELS, "plain", set(), 0, run_opts={"device": "cpu"},
    )  # fmt: skip


def clips(n=6):
    return DynamicItemDataset(
        {str(i): {"sig": torch.full((8,), float(i)), "class": 0} for i in range(n)},
        output_keys=["id", "sig", "class"],
    )


@pytest.fixture
def batch(wav):
    items = [{"id": i, "target": i, "sig": w, "clean": w / 2, "class": 0}
             for i, w in zip("abc", wav, strict=True)]  # fmt: skip
    return PaddedBatch(items)


# How clips get there


@pytest.mark.parametrize("stage", [TRAIN, VALID, TEST])
@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("device", ["cpu", "cuda", "cuda:1"])
def test_loaders_of_a_gpu_pin_and_load_ahead(device, workers, stage):
    explained = make_explained()
    for brain in (trained(explained), evaluated(explained, [])):
        if isinstance(brain, EvaluationBrain) and stage != TEST:
            continue
        brain.device = device
        shuffle = {"shuffle": True} if stage == TRAIN else {}
        loader = brain.make_dataloader(clips(), stage, batch_size=2, num_workers=workers, **shuffle)
        gpu = device != "cpu"
        assert loader.pin_memory == gpu and len(loader) == 3
        assert loader.prefetch_factor == ((4 if gpu else 2) if workers else None)
        assert loader.persistent_workers == bool(gpu and workers and stage != TEST)


def test_what_is_asked_for_wins_and_nothing_is_changed():
    given = {"num_workers": 1, "prefetch_factor": 9}
    assert loading("cuda", given) == {**given, "pin_memory": True}
    assert loading("cpu", given) is given == {"num_workers": 1, "prefetch_factor": 9}


def test_workers_that_stay_leave_the_random_numbers_of_the_run_alone():
    """A run that goes on has new workers, and must draw what the other one drew."""
    brain = trained(make_explained())
    brain.device = "cuda"
    loader = brain.make_dataloader(clips(), TRAIN, batch_size=2, num_workers=1, shuffle=True)
    loader.pin_memory = False  # there is no GPU to pin for
    before = torch.get_rng_state()
    epochs = [torch.cat([b.sig.data[:, 0] for b in loader]) for _ in range(2)]
    assert torch.equal(torch.get_rng_state(), before)
    for epoch in epochs:
        assert sorted(epoch.tolist()) == [0, 1, 2, 3, 4, 5]


def test_batches_are_sent_without_waiting(batch, monkeypatch):
    brain, sent = trained(make_explained()), []
    brain.init_optimizers()
    monkeypatch.setattr(batch, "to", lambda *a, **k: sent.append((a, k)), raising=False)
    brain.step = 1
    brain.on_fit_batch_start(batch, True)
    assert not sent  # nowhere to go
    brain.device_type = "cuda"
    brain.on_fit_batch_start(batch, True)
    monkeypatch.setattr(sb.Brain, "evaluate_batch", lambda self, b, stage: sent.append(stage))
    brain.evaluate_batch(batch, VALID)
    assert sent == [(("cpu",), {"non_blocking": True})] * 2 + [VALID]


# Who waits for it


class Waits:
    """Counts what makes the CPU wait for a GPU, by where it is asked for: on a CPU, where each of
    these is as fast as anything else.

    Two ways: what Python calls on tensors, and what operations ask for themselves.
    """

    NAMES = {"cpu", "numpy", "tolist", "nonzero", "masked_select"}

    def __init__(self):
        self.found = Counter()

    def note(self):
        frames = [f for f in traceback.extract_stack() if "tests" not in Path(f.filename).parts]
        for frame in reversed(frames):
            path = Path(frame.filename)
            if path.is_relative_to(REPOSITORY) and "site-packages" not in path.parts:
                self.found[f"{path.relative_to(REPOSITORY)}: {frame.name}"] += 1
                return
            if "optim" in path.parts:
                return  # counts of steps, which are kept on the CPU
            if "speechbrain" in path.parts:
                self.found[f"{path.parent.name}/{path.name}: {frame.name}"] += 1
                return

    def __enter__(self):
        waits = self

        class Calls(TorchFunctionMode):
            def __torch_function__(self, function, types, args=(), kwargs=None):
                if getattr(function, "__name__", "") in waits.NAMES:
                    waits.note()
                elif function is torch.Tensor.to and "cpu" in [a for a in args if a is str(a)]:
                    waits.note()
                return function(*args, **(kwargs or {}))

        class Operations(TorchDispatchMode):
            def __torch_dispatch__(self, function, types, args=(), kwargs=None):
                name = function.overloadpacket.__name__
                chosen = name in ("index", "index_put_") and any(
                    i is not None and i.dtype == torch.bool for i in args[1]
                )
                if chosen or name in ("_local_scalar_dense", "equal", "_unique2", "is_nonzero"):
                    waits.note()
                return function(*args, **(kwargs or {}))

        self.modes = Calls(), Operations()
        for mode in self.modes:
            mode.__enter__()
        return self

    def __exit__(self, *error):
        for mode in reversed(self.modes):
            mode.__exit__(*error)


def test_waits_are_seen():
    x = torch.rand(4)
    asks = [x.sum().item, lambda: float(x[0]), lambda: bool(x.any()), lambda: x[x > 0.5],
            x.tolist, x.cpu, lambda: x.to("cpu"), lambda: torch.equal(x, x)]  # fmt: skip
    for ask in asks:
        with Waits() as waits:
            waits.note = lambda w=waits: w.found.update(["here"])
            ask()
        assert waits.found["here"] >= 1
    with Waits() as waits:
        waits.note = lambda: pytest.fail("nobody waits")
        (x * 2).softmax(0).where(x > 0, x).clamp_min(0.1).gather(0, x.argmax()[None])


def test_a_training_step_waits_for_its_loss_alone(batch):
    brain = trained(make_explained())
    brain.device = DEVICE
    brain.on_stage_start(TRAIN)
    brain.modules.train()
    brain.init_optimizers()
    brain.step = 1
    with Waits() as waits:
        loss = brain.fit_batch(batch)
    assert loss.isfinite()
    assert dict(waits.found) == {
        "lmac/training/augment.py: _others": 1,  # of a number that is drawn on the CPU
        "speechbrain/core.py: check_loss_isfinite": 1,
        "speechbrain/core.py: fit_batch": 1,
    }


def test_an_explanation_waits_for_nothing(wav):
    explained = make_explained()
    interpreter = Saliency(explained)
    with Waits() as waits:
        found = analyse_clips(explained, wav)
        explain(explained, interpreter, found, found.decision, 0)
    assert dict(waits.found) == {}


def test_an_evaluation_waits_a_few_times_a_batch(batch):
    rows = []
    brain = evaluated(make_explained(), rows)
    brain.device, brain.step = DEVICE, 1
    with Waits() as waits:
        brain.evaluate_batch(batch, TEST)
    assert len(rows) == 3
    assert dict(waits.found) == {
        "lmac/core/front_end.py: inverse": 1,  # torch.istft looks at its window
        "lmac/evaluation/brain.py: _write_rows": 3,
        "metrics/__init__.py: __post_init__": 2,
        "metrics/faithfulness.py: _probabilities": 9,  # one for each time that a metric reads them
        "metrics/masks.py: _ascending": 1,  # numpy's sort, on a CPU only
    }
