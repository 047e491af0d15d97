"""Several processes under ``torchrun``, through SpeechBrain's set-up.

Training clips are spread over them by SpeechBrain's distributed sampler. Clips that are only
looked at (validation, evaluation) are dealt out in whole batches, formed as by one process: a
network's numbers depend in their last digits on what else is in a batch.
"""

import dataclasses
import logging
import os
from itertools import zip_longest

import torch
from speechbrain.utils.distributed import (
    ddp_init_group,
    infer_device,
    is_distributed_initialized,
)


def count():
    """How many processes work together; 1 without ``torchrun``."""
    return torch.distributed.get_world_size() if is_distributed_initialized() else 1


def rank():
    """The number of this process, from 0, which is the main one."""
    return torch.distributed.get_rank() if is_distributed_initialized() else 0


def device_of(run_opts):
    """The device of SpeechBrain's run options; by default this process's GPU, if there is one."""
    return run_opts.device or infer_device()


def start(run_opts):
    """Join the processes that ``torchrun`` started; SpeechBrain's run options for this one.

    Each gets a GPU of its own, or all work on the CPU, with gloo. Raises ValueError when there
    are more processes than GPUs, and where ``srun`` started several without ``torchrun``.
    """
    if "RANK" not in os.environ or "LOCAL_RANK" not in os.environ:
        copies = int(os.environ.get("SLURM_STEP_NUM_TASKS", 1))
        if copies > 1:
            raise ValueError(
                f"srun started this command {copies} times, and each would do the same: let it "
                "start torchrun once a node (docs/cluster.md)."
            )
        return run_opts
    chosen = {}
    gpu = torch.cuda.is_available() and str(run_opts.device or "cuda").startswith("cuda")
    if not gpu:
        chosen["distributed_backend"] = "gloo"
    elif run_opts.device in (None, "cuda"):
        number, gpus = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if number >= gpus:
            raise ValueError(
                f"torchrun started {os.environ.get('LOCAL_WORLD_SIZE', number + 1)} processes on "
                f"this machine, which has {gpus} GPU{'s' * (gpus > 1)}: start one a GPU, or add "
                "--device=cpu."
            )
        chosen["device"] = f"cuda:{number}"
    elif int(os.environ.get("LOCAL_WORLD_SIZE", 1)) > 1:
        raise ValueError(
            f"--device={run_opts.device} is one GPU for all processes: leave it out, or give "
            "--device=cuda, and each gets its own."
        )
    if "distributed_backend" in run_opts.overridden_args:
        chosen.pop("distributed_backend", None)
    known = {*run_opts.overridden_args, *chosen}
    run_opts = dataclasses.replace(run_opts, **chosen, overridden_args=known)
    if not is_distributed_initialized():
        ddp_init_group(run_opts)
    if rank() > 0:
        logging.disable(logging.WARNING)  # the main process says it
    return run_opts


def loading(device, kwargs, stay=False):
    """Arguments of a data loader whose batches go to ``device``: ``kwargs``, and what helps there.

    For a GPU batches are pinned, so that it fetches them while it computes, and workers load four
    batches ahead each. Those that ``stay`` from epoch to epoch draw from numbers of their own: else
    a run that goes on, whose workers are new, would draw others. On a CPU nothing is added.
    """
    if torch.device(device).type != "cuda":
        return kwargs
    more = {"pin_memory": True}
    if kwargs.get("num_workers"):
        more["prefetch_factor"] = 4
        if stay:
            more["persistent_workers"] = True
            more["generator"] = torch.Generator().manual_seed(torch.initial_seed())
    return {**more, **kwargs}


def leave():
    """Part from the other processes, when all is done (after a failure it might wait for them)."""
    if is_distributed_initialized():
        torch.distributed.destroy_process_group()


def dealt_batches(n, batch_size):
    """The batches of this process: lists of at most ``batch_size`` of the numbers below ``n``.

    They are those of a single process, dealt out in turn.
    """
    batches = [list(range(i, min(i + batch_size, n))) for i in range(0, n, batch_size)]
    return batches[rank() :: count()]


def batch_number(step):
    """Of what ``dealt_batches`` gives, the number of the batch among all; both count from 1."""
    return (step - 1) * count() + rank() + 1


def gather(own):
    """The lists of all processes, a thing for each of their batches, in the order of the batches.

    What is in them goes through pickle: no tensors on a GPU.
    """
    if count() == 1:
        return own
    lists = [None] * count()
    torch.distributed.all_gather_object(lists, own)
    nothing = object()
    dealt = (thing for turn in zip_longest(*lists, fillvalue=nothing) for thing in turn)
    return [thing for thing in dealt if thing is not nothing]
