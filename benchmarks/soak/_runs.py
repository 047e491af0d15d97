"""Tiny runs of every stage on built-in sounds, each in a process of its own.

They are forked from one that has imported everything, so that a run takes seconds.
"""

import multiprocessing
import os
import signal
import sys
from pathlib import Path

import speechbrain as sb
import torch._dynamo  # noqa: F401  which optimisers import, in seconds

import eval_explanations
import lmac.training.l2i
import train_classifier
import train_lmac
from lmac.evaluation.checks import randomisation
from lmac.settings.cli import run as guarded

# From a process of its own, for one that has used autograd must not be forked.
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload([__name__])

TINY = (
    "--dataset_yaml=hparams/datasets/builtin.yaml",
    *("--clips_per_class=5", "--signal_length_s=0.5", "--classifier_width=2", "--device=cpu"),
    *("--noprogressbar", "--batch_size=8"),
)
TRAINING = ("--number_of_epochs=3",)
CLASSIFIER = "--classifier_checkpoint={root}/classifier/best"
METHODS = "--methods=[L-MAC,L-MAC FT,L2I,SmoothGrad]"
SCORED = (
    CLASSIFIER,
    "--decoder_hidden=4",
    "--lmac_checkpoint={root}/lmac/best",
    "--lmac_ft_checkpoint={root}/lmac_ft/best",
    "--l2i_checkpoint={root}/l2i/best",
    "--output_folder={root}/evaluation",
    *("--smoothgrad_samples=2", "--n_boot=20", "--listen=1", "--randomisation_clips=4"),
)
# Stage to (module, YAML, words of the command line, output folder); in the order of the method.
STAGES = {
    "classifier": (train_classifier, "classifier", TRAINING, "classifier"),
    "classifier, checkpoints within epochs": (
        *(train_classifier, "classifier", (*TRAINING, "--ckpt_interval_steps=1"), "within"),
    ),
    "head on frozen embeddings": (
        *(train_classifier, "classifier"),
        (*TRAINING, "--freeze_embedding=True", CLASSIFIER),
        "head",
    ),
    "L-MAC": (train_lmac, "lmac", (*TRAINING, CLASSIFIER, "--decoder_hidden=4"), "lmac"),
    "L-MAC, fine-tuning": (
        *(train_lmac, "lmac_finetune"),
        (*TRAINING, CLASSIFIER, "--decoder_hidden=4", "--finetune_from={root}/lmac/best"),
        "lmac_ft",
    ),
    "L2I": (
        *(lmac.training.l2i, "l2i"),
        (*TRAINING, CLASSIFIER, "--n_components=6", "--l2i_hidden=8", "--nmf_max_epochs=3"),
        "l2i",
    ),
    "evaluation": (eval_explanations, "evaluation", (*SCORED, METHODS), "evaluation"),
    "randomisation": (
        *(randomisation, "evaluation"),
        (*SCORED, "--methods=[L-MAC,Saliency,Random]"),
        "evaluation",
    ),
}


def command(stage, root):
    """The ``main`` of a stage and its words, with everything below the folder ``root``."""
    module, yaml, words, folder = STAGES[stage]
    words = [f"--results_folder={root}", f"--data_folder={root}/sounds", *words]
    words += ["--cache_folder={root}/" + folder + "/cache"]  # so that every run fills it
    if not any(word.startswith("--output_folder") for word in words):
        words.append(f"--output_folder={root}/{folder}")
    words = [word.format(root=root) for word in words]
    return module.main, [f"hparams/{yaml}.yaml", *TINY, *words]


def output(stage, root):
    """Where a stage writes its results."""
    return Path(root) / STAGES[stage][3]


class Moments:
    """Lists what a run does that a kill may come between, and kills it at one of them.

    Listed are files that are opened for writing, renamed or removed, folders that are made, and
    batches.
    """

    def __init__(self, kill_at=None):
        self.passed, self.kill_at, self.process = [], kill_at, os.getpid()

    def watch(self):
        sys.addaudithook(self._event)
        for name in ("fit_batch", "evaluate_batch"):
            self._count_calls(sb.Brain, name)
        for brain in _all_subclasses(sb.Brain):
            for name in ("fit_batch", "evaluate_batch"):
                if name in vars(brain):
                    self._count_calls(brain, name)

    def _count_calls(self, owner, name):
        original = getattr(owner, name)

        def counted(*args, **kwargs):
            self.pass_one(name)
            return original(*args, **kwargs)

        setattr(owner, name, counted)

    def _event(self, event, args):
        if event == "open":
            mode, flags = args[1], args[2]
            if isinstance(mode, str) and not set(mode) & set("wax+"):
                return
            if mode is None and not flags & (os.O_WRONLY | os.O_RDWR):
                return
            if str(args[0]).startswith("/dev/"):
                return
        if event in ("open", "os.rename", "os.remove", "os.mkdir"):
            self.pass_one(f"{event} {args[0]}")

    def pass_one(self, what):
        if os.getpid() == self.process:
            self.passed.append(what)
            if len(self.passed) == self.kill_at:
                os.kill(os.getpid(), signal.SIGKILL)


def _all_subclasses(cls):
    for one in cls.__subclasses__():
        yield one
        yield from _all_subclasses(one)


def _child(stage, root, log, kill_at, list_to):
    with open(log, "a", encoding="utf-8") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    moments = Moments(kill_at)
    moments.watch()
    main, words = command(stage, root)
    guarded(main, words)
    if list_to is not None:
        Path(list_to).write_text("\n".join(moments.passed))


def start(stage, root, log, kill_at=None, list_to=None):
    """Run a stage in a process of its own; returns the process.

    Arguments
    ---------
    stage, root
        Of ``command``.
    log : path
        Takes what it prints.
    kill_at : int, optional
        It kills itself at this moment; see :class:`Moments`.
    list_to : path, optional
        Where its moments are written at the end, a line each.
    """
    process = _PROCESSES.Process(target=_child, args=(stage, root, log, kill_at, list_to))
    process.start()
    return process


def complete(stage, root, log, **kwargs):
    """Run a stage to its end; RuntimeError, with the end of its log, when it fails."""
    process = start(stage, root, log, **kwargs)
    process.join()
    if process.exitcode:
        raise RuntimeError(f"{stage} ended with {process.exitcode}: {said(log)[-300:]}")


def said(log):
    """The last line of what a run printed."""
    return Path(log).read_text(encoding="utf-8", errors="replace").rstrip().rpartition("\n")[2]
