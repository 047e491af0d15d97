"""Several processes: who gets which batch, and what is put together again."""

import pytest
import torch
from speechbrain.utils.run_opts import RunOptions
from torch.utils.data import DataLoader

import lmac.io.processes
from lmac.io.once import once
from lmac.io.processes import batch_number, dealt_batches, gather, start
from lmac.settings.cli import dispatch
from lmac.settings.commands import COMMANDS


@pytest.fixture
def among(monkeypatch):
    """Makes this process the one of a number among several."""

    def be(rank, count):
        monkeypatch.setattr(lmac.io.processes, "rank", lambda: rank)
        monkeypatch.setattr(lmac.io.processes, "count", lambda: count)

    return be


@pytest.mark.parametrize("n,batch_size", [(20, 3), (20, 8), (1, 4), (12, 3), (7, 7)])
@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_batches_are_those_of_one_process_and_each_is_dealt_out_once(n, batch_size, count, among):
    whole = [batch.tolist() for batch in DataLoader(range(n), batch_size)]
    seen = {}
    for rank in range(count):
        among(rank, count)
        for step, batch in enumerate(dealt_batches(n, batch_size), start=1):
            assert batch_number(step) not in seen
            seen[batch_number(step)] = batch
    assert [seen[number] for number in sorted(seen)] == whole
    assert sorted(seen) == list(range(1, len(whole) + 1))


@pytest.mark.parametrize("n", [1, 2, 5, 8, 9])
def test_what_was_dealt_out_is_gathered_in_order(n, among, monkeypatch):
    def all_gather_object(lists, own):
        assert own == dealt[2]
        lists[:] = dealt

    dealt = [list(range(n))[rank::4] for rank in range(4)]
    monkeypatch.setattr(torch.distributed, "all_gather_object", all_gather_object)
    among(2, 4)
    assert gather(dealt[2]) == list(range(n))


def test_alone_nothing_changes(monkeypatch):
    options = RunOptions(device="cpu")
    for key in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "SLURM_STEP_NUM_TASKS"):
        monkeypatch.delenv(key, raising=False)
    assert start(options) is options
    assert gather([1, 2]) == [1, 2] and once(lambda x: x + 1, 3) == 4
    with pytest.raises(ZeroDivisionError):
        once(lambda: 1 / 0)


def test_copies_that_srun_started_are_refused(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "4")
    with pytest.raises(ValueError, match="srun started this command 4 times.*torchrun once a node"):
        start(RunOptions())


def test_more_processes_than_gpus_and_one_gpu_for_all_are_refused(monkeypatch):
    for key, value in {"RANK": 5, "LOCAL_RANK": 1, "LOCAL_WORLD_SIZE": 2}.items():
        monkeypatch.setenv(key, str(value))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ValueError, match="2 processes on this machine, which has 1 GPU: start one"):
        start(RunOptions())
    with pytest.raises(ValueError, match="--device=cuda:0 is one GPU for all processes"):
        start(RunOptions(device="cuda:0"))


def test_each_process_gets_a_gpu_and_without_one_gloo(monkeypatch):
    started = []
    monkeypatch.setattr(lmac.io.processes, "ddp_init_group", started.append)
    for key, value in {"RANK": 5, "LOCAL_RANK": 1, "LOCAL_WORLD_SIZE": 2}.items():
        monkeypatch.setenv(key, str(value))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for given in (RunOptions(), RunOptions(device="cuda")):
        options = start(given)
        assert (options.device, options.distributed_backend) == ("cuda:1", "nccl")
        assert "device" in options.overridden_args
    assert start(RunOptions(device="cpu")).distributed_backend == "gloo"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    options = start(RunOptions())
    assert (
        options.distributed_backend == "gloo" and "distributed_backend" in options.overridden_args
    )
    assert len(started) == 4


@pytest.mark.parametrize("name", [c.name for c in COMMANDS.values() if not c.parallel])
def test_commands_of_one_process_say_so_once(name, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    message = f"python -m lmac {name} is one process, torchrun started 2: leave out torchrun"
    with pytest.raises(SystemExit, match=message):
        dispatch(name, ["--help"])
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(SystemExit) as end:
        dispatch(name, [])
    assert end.value.code == 1
