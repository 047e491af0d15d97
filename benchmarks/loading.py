"""Does loading keep up with training? Clips per second of the loader and of an L-MAC step.

    python -m benchmarks.loading --data_folder=/path/to/ESC-10 [--noise_folder=/path/to/wham/tr]

Reads the training folds of ESC-10 through the very data set, loader and training step of
recipes/ESC10/recipe.yaml:lmac: without a cache (every clip is decoded and resampled at each turn),
while the cache is filled, and from the full cache; with 0 and 2 workers. Medians over the turns,
all in one run. Writes benchmarks/results/loading.md.
"""

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

import speechbrain as sb
from speechbrain.dataio.dataloader import make_dataloader
from tqdm import tqdm

from data_prep.audio import AudioCache
from data_prep.dataset import fold_datasets, prepare
from lmac.checkpoints import build_decoder
from lmac.classifiers import AudioClassifier
from lmac.core.domain import get_domain
from lmac.core.explained import ExplainedClassifier
from lmac.io.files import write_text
from lmac.io.provenance import commit, hardware
from lmac.settings.load import load
from lmac.training.lmac import DecoderBrain

RECIPE = "recipes/ESC10/recipe.yaml:lmac"


def clock(function, n_clips, turns):
    """Median clips per second over ``turns`` calls of ``function``, which handles ``n_clips``."""
    rates = []
    for _ in range(turns):
        start = time.perf_counter()
        function()
        rates.append(n_clips / (time.perf_counter() - start))
    return statistics.median(rates)


def trainer(hparams, device):
    """The Brain of the recipe, ready for ``fit_batch``, with random weights: only time counts."""
    classifier = AudioClassifier(hparams["embedding_model"], hparams["classifier"])
    domain = get_domain(hparams["domain"], hparams["front_end"], reads=classifier.reads)
    explained = ExplainedClassifier(domain, classifier)
    brain = DecoderBrain(
        explained,
        modules={"decoder": build_decoder(hparams["decoder"], explained)},
        opt_class=hparams["opt_class"],
        hparams={**hparams, "steps_per_epoch": 15},
        run_opts={"device": device},
    )
    brain.on_fit_start()
    brain.on_stage_start(sb.Stage.TRAIN, 1)
    brain.modules.train()
    brain.hparams.epoch_counter.current = 1
    return brain


def measure(args, cache):
    """Names to clips per second; the last one is the need of the training step."""
    overrides = {
        "data_folder": args.data_folder,
        "classifier_checkpoint": "none",
        "classifier_width": args.width,
        "signal_length_s": args.seconds,
        "noise_folder": args.noise_folder,
        "results_folder": str(cache),
    }
    hparams, _ = load(RECIPE, overrides)
    manifest, labels = prepare(hparams)

    def train_set(**changes):
        return fold_datasets({**hparams, **changes}, manifest, labels, ("train",))["train"]

    def one_epoch(dataset, workers):
        for _ in make_dataloader(
            dataset, batch_size=hparams["batch_size"], shuffle=True, num_workers=workers
        ):
            pass

    rates = {}
    uncached = train_set(cache_folder=None)
    n = len(uncached)
    for workers in (0, 2):
        what = f"no cache, {workers} workers"
        rates[what] = clock(lambda w=workers: one_epoch(uncached, w), n, args.turns)
    paths = [Path(args.data_folder) / item["wav"] for item in uncached.data.values()]

    def fill():
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            AudioCache(folder, hparams["sample_rate"]).fill(paths)

    rates["filling the cache, once"] = clock(fill, n, args.turns)
    cached = train_set()
    for workers in (0, 2):
        what = f"full cache, {workers} workers"
        rates[what] = clock(lambda w=workers: one_epoch(cached, w), n, 2 * args.turns)

    batch = next(iter(make_dataloader(cached, batch_size=hparams["batch_size"])))
    brain, size = trainer(hparams, args.device), len(batch)
    wav = batch.sig.data.to(brain.device)
    mix = "mixing and augmentation, in the step"
    rates[mix] = clock(lambda: hparams["augment"](wav), size, 5 * args.turns)
    brain.fit_batch(batch)  # the first one warms up

    def step():
        float(brain.fit_batch(batch))  # waits for a GPU

    steps = [clock(step, size, 1) for _ in tqdm(range(3 * args.turns), desc="steps")]
    rates["needed by the training step"] = statistics.median(steps)
    return n, rates


def report(args, n_clips, rates, load_before):
    """The Markdown text of the results."""
    *_, needed = rates.values()
    cores = os.cpu_count()
    busy = load_before > 0.25 * cores
    lines = [
        "# Does loading keep up with training?",
        "",
        f"Training folds of ESC-10 ({n_clips} clips, Ogg at 44.1 kHz, to {args.seconds:g} s at "
        f"16 kHz); L-MAC step at batch 16, CNN14 of width {args.width}, domain stft; medians of "
        f"one run; every epoch starts its workers anew, as training does; commit "
        f"{commit()}, {hardware(args.device)}.",
        "",
    ]
    if busy:
        lines += [
            f"**Taken while the machine was busy** (load average {load_before:.1f} on {cores} "
            "cores): ratios count more than numbers, and both should be taken again.",
            "",
        ]
    lines += ["| | clips/s | times the need |", "| --- | ---: | ---: |"]
    lines += [f"| {what} | {rate:.1f} | {rate / needed:.1f} |" for what, rate in rates.items()]
    share = 100 * needed / rates["full cache, 0 workers"]
    lines += [
        "",
        f"From the full cache and without workers, loading a batch takes {share:.1f} % of the time "
        "of the training step that waits for it.",
    ]
    return "\n".join(lines) + "\n"


def parse(argv=None):
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data_folder", required=True)
    parser.add_argument(
        "--noise_folder", help="WHAM!'s tr; by default clips of the batch are mixed"
    )
    parser.add_argument("--width", type=int, default=16, help="of CNN14")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--output", default="benchmarks/results/loading.md")
    return parser.parse_args(argv)


def main():
    args = parse()
    load_before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as cache:
        n_clips, rates = measure(args, Path(cache))
    text = report(args, n_clips, rates, load_before)
    write_text(text, args.output)
    print(text)


if __name__ == "__main__":
    main()
