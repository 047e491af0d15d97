"""Our decoder beside the published one: size, speed, and what each learns in the same time.

    python -m benchmarks.decoders                                   # size and speed
    python -m benchmarks.decoders --data_folder=/path/to/ESC-10 \
        --classifier_checkpoint=results/ESC10/classifier/best --minutes=5

Both decoders read the same classifier and clips of the same length, in one process, taking
turns; times are medians, and their ratio is what to quote. With --data_folder, each is then
trained with recipes/ESC10/recipe.yaml:lmac for as many epochs as fit into the given minutes, and
scored on the same mixtures. Writes benchmarks/results/decoders.md.
"""

import argparse
import shutil
import statistics
import time
from pathlib import Path

import pandas as pd
import torch
from tqdm import tqdm

import eval_explanations
import train_lmac
from lmac.classifiers import AudioClassifier, Cnn14, LinearHead
from lmac.core.decoder import PSIDecoder, TopDownDecoder
from lmac.core.domain import FrontEnd, get_domain
from lmac.core.explained import ExplainedClassifier
from lmac.core.losses import Step, clips_out, lmac_loss
from lmac.io.provenance import commit, hardware
from lmac.settings.load import settings

DECODERS = {"ours": ("topdown", TopDownDecoder), "published": ("psi", PSIDecoder)}
RECIPE = "recipes/ESC10/recipe.yaml:lmac"
METRIC_NAMES = ["AI", "AD", "AG", "FF", "Fid-In", "SPS", "MM"]


def parameters(module):
    """Number of parameters."""
    return sum(p.numel() for p in module.parameters())


def speed(width, seconds, batch_size, repeats, out_share):
    """Medians of forward and training-step times in seconds, by decoder, taking turns.

    A step looks at the masked-out part of ``out_share`` of the batch, as the recipe's do.
    """
    torch.manual_seed(0)
    embedding_model = Cnn14(width=width)
    classifier = AudioClassifier(embedding_model, LinearHead(embedding_model.emb_dim, 10))
    explained = ExplainedClassifier(get_domain("stft", FrontEnd()), classifier)
    X, _ = explained.domain.analyse(0.1 * torch.randn(batch_size, round(16000 * seconds)))
    with torch.no_grad():
        logits, representations = explained(X)
    target = logits.argmax(1)
    decoders = {k: make(*explained.output_sizes()) for k, (_, make) in DECODERS.items()}
    optimisers = {k: torch.optim.Adam(d.parameters()) for k, d in decoders.items()}

    def forward(name):
        with torch.no_grad():
            decoders[name](representations, X, target, explained.domain)

    def step(name):
        with torch.no_grad():
            explained(X)
        mask = decoders[name](representations, X, target, explained.domain).sigmoid()
        both = explained.logits_of_parts(mask, X, n_out=clips_out(len(X), out_share))
        optimisers[name].zero_grad()
        lmac_loss(Step(*both, target, mask))["loss"].backward()
        optimisers[name].step()

    times = {(what, name): [] for what in ("forward", "training step") for name in decoders}
    for turn in tqdm(range(repeats + 1), desc="speed"):
        for what, function in (("forward", forward), ("training step", step)):
            for name in decoders:
                start = time.perf_counter()
                function(name)
                if turn:  # the first turn warms up
                    times[what, name].append(time.perf_counter() - start)
    start = time.perf_counter()
    explained.probabilities(X)
    classifier_time = time.perf_counter() - start
    sizes = {name: parameters(d) for name, d in decoders.items()}
    return sizes, {k: statistics.median(v) for k, v in times.items()}, classifier_time


def train_and_score(name, epochs, width, args):
    """Train one decoder with the ESC-10 recipe; its summary row and its wall time in seconds."""
    yaml = DECODERS[name][0]
    folder = Path("results/benchmark") / name
    shutil.rmtree(folder, ignore_errors=True)  # a benchmark does not go on from an earlier one
    shared = [
        f"--data_folder={args.data_folder}",
        f"--classifier_checkpoint={args.classifier_checkpoint}",
        f"--classifier_width={width}",
        f"--decoder_yaml=hparams/decoders/{yaml}.yaml",
        *args.overrides,
    ]
    start = time.perf_counter()
    train_lmac.main(
        [RECIPE, *shared, f"--output_folder={folder}/lmac"] + [f"--number_of_epochs={epochs}"]
    )
    seconds = time.perf_counter() - start
    eval_explanations.main(
        ["recipes/ESC10/recipe.yaml:evaluation", *shared, f"--output_folder={folder}/evaluation"]
        + [f"--lmac_checkpoint={folder}/lmac/best", "--methods=[L-MAC]", "--listen=0"]
    )
    return pd.read_csv(folder / "evaluation" / "summary.csv").iloc[0], seconds


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--width", type=int, default=16, help="of CNN14; 64 is the published")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--batch_size", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--data_folder")
    parser.add_argument("--classifier_checkpoint", default="results/ESC10/classifier/best")
    parser.add_argument("--minutes", type=float, default=5.0)
    args, args.overrides = parser.parse_known_args()

    out_share = settings(RECIPE)["out_share"]
    measured = (args.width, args.seconds, args.batch_size, args.repeats, out_share)
    sizes, times, classifier = speed(*measured)
    lines = [
        "# Our decoder and the published one",
        "",
        f"CNN14 width {args.width}, batches of {args.batch_size} clips of {args.seconds:g} s, "
        f"domain stft; medians of {args.repeats} turns in one process; commit {commit()}, "
        f"{hardware('cpu')}. The classifier's own forward pass takes {classifier:.2f} s. A "
        "training step includes the classifier's passes and their gradients, which are the same "
        f"for both; the masked-out part is that of {out_share:g} of the batch.",
        "",
        "| | ours | published | published / ours |",
        "| --- | ---: | ---: | ---: |",
        f"| parameters | {sizes['ours']:,} | {sizes['published']:,} | "
        f"{sizes['published'] / sizes['ours']:.0f} |",
    ]
    for what in ("forward", "training step"):
        ours, published = times[what, "ours"], times[what, "published"]
        lines.append(f"| {what} (s) | {ours:.3f} | {published:.3f} | {published / ours:.1f} |")
    if args.data_folder:
        lines += ["", f"## ESC-10 mixtures after {args.minutes:g} minutes of training each", ""]
        lines += ["| | epochs | minutes | " + " | ".join(METRIC_NAMES) + " |"]
        lines += ["| --- |" + " ---: |" * (len(METRIC_NAMES) + 2)]
        for name in DECODERS:
            # 15 steps and 5 validation batches an epoch, the latter about a third of a step.
            per_epoch = 17 * times["training step", name]
            epochs = max(1, round(60 * args.minutes / per_epoch))
            row, seconds = train_and_score(name, epochs, args.width, args)
            cells = [f"{row[m]:.3f}" for m in METRIC_NAMES]
            lines.append(f"| {name} | {epochs} | {seconds / 60:.1f} | " + " | ".join(cells) + " |")
    text = "\n".join(lines) + "\n"
    target = Path("benchmarks/results/decoders.md")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
