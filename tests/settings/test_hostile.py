"""YAML files as nobody should write them, and devices that are not there: a sentence, at once."""

import os
import time

import pytest
import torch

import train_classifier
from lmac.settings.cli import dispatch
from lmac.settings.compose import MOST_BYTES, ConfigError, merge
from lmac.settings.load import load, parse, run_opts_of, settings

DEMO = "recipes/demo/recipe.yaml"


def bomb():
    """Nine levels of ten aliases each: a billion values."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    return "\n".join(lines) + "\n"


HOSTILE = {
    "not UTF-8": (b"seed: 1\nname: caf\xe9\n", r"own.yaml is not UTF-8 text \(byte 17\)"),
    "key of a number": (b"1: x\n", "own.yaml: the key 1 is no text"),
    "key of a truth": (b"true: x\n", "own.yaml: the key True is no text"),
    "key of a list": (b"? [a, b]\n: x\n", "own.yaml: the key .* is no text"),
    "key that is null": (b"null: x\n", "own.yaml: the key None is no text"),
    "deep nesting": (b"a: " + b"[" * 5000 + b"]" * 5000 + b"\n", "own.yaml is nested too deeply"),
    "5000 digits": (b"seed: " + b"7" * 5000 + b"\n", "own.yaml is not valid YAML"),
    "NUL": (b"seed: a\0b\n", "own.yaml is not valid YAML"),
    "include": (b"a: !include:other.yaml\n", "own.yaml: a: !include is not read: .*extends"),
    "deep blocks": (b"".join(b" " * i + b"a:\n" for i in range(400)), "own.yaml is nested too"),
    "alias bomb": (bomb().encode(), "own.yaml has more than 20000 values, its aliases"),
    "5 MB of comments": (b"# nothing\n" * 500_000 + b"seed: 1\n", "own.yaml has 5000008 bytes"),
    "20 000 keys": (b"".join(b"key_%d: 1\n" % i for i in range(20_000)), "expected at most 100000"),
    "stages of text": (b"stages: x\n", "own.yaml: stages must hold"),
    "a stage of text": (b"stages: {lmac: x}\n", "own.yaml: stages must hold"),
    "empty": (b"", "own.yaml must hold key: value pairs"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_yaml_is_refused_within_a_second(tmp_path, kind):
    text, message = HOSTILE[kind]
    path = tmp_path / "own.yaml"
    path.write_bytes(text)
    start = time.process_time()
    with pytest.raises(ConfigError, match=message) as error:
        load(path)
    assert time.process_time() - start < 1
    assert "\n" not in str(error.value) and len(str(error.value)) < 600
    (tmp_path / "mine.yaml").write_text("extends: own.yaml\n")
    with pytest.raises(ConfigError, match=message):
        load(tmp_path / "mine.yaml")


def test_what_is_large_but_sensible_is_taken(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text("prompts:\n" + "".join(f"    class {i}: a sound of {i}\n" for i in range(600)))
    assert MOST_BYTES > path.stat().st_size > 10_000
    assert len(settings(path)["prompts"]) == 600
    path.write_text("a: &a {x: 1}\nb: *a\n")
    assert settings(path) == {"a": {"x": 1}, "b": {"x": 1}}


def test_many_files_are_refused_within_a_second(tmp_path):
    for i in range(1500):
        (tmp_path / f"{i}.yaml").write_text(f"extends: {i + 1}.yaml\n" if i < 1499 else "a: 1\n")
    (tmp_path / "list.yaml").write_text(
        f"extends: [{', '.join(f'{i}.yaml' for i in range(1499, 0, -1))}]\n"
    )
    for name in ("0", "list"):
        start = time.process_time()
        with pytest.raises(ConfigError, match=f"{name}.yaml builds on more than 100 files"):
            merge(tmp_path / f"{name}.yaml")
        assert time.process_time() - start < 1


def test_links_in_a_loop_are_no_file(tmp_path):
    os.symlink(tmp_path / "b.yaml", tmp_path / "a.yaml")
    os.symlink(tmp_path / "a.yaml", tmp_path / "b.yaml")
    with pytest.raises(ConfigError, match="There is no YAML file .*a.yaml"):
        merge(tmp_path / "a.yaml")
    (tmp_path / "c.yaml").write_text("extends: a.yaml\n")
    with pytest.raises(ConfigError, match="no YAML file .*a.yaml, named by .*c.yaml"):
        merge(tmp_path / "c.yaml")


@pytest.mark.parametrize("typed", ["7" * 5000, "[" * 5000, "a\0b"])
def test_hostile_words_are_one_sentence(typed):
    with pytest.raises(ConfigError, match="^--batch_size=") as error:
        parse(["hparams/lmac.yaml", f"--batch_size={typed}"])
    assert "\n" not in str(error.value) and len(str(error.value)) < 300


# ---- What cannot be computed -------------------------------------------------------------------
@pytest.mark.parametrize("device", ["cuda", "cuda:0", "cuda:7", "mps", "npu", "xpu", "xpu:1"])
def test_a_device_that_there_is_not_is_one_sentence(device, monkeypatch):
    for kind in ("cuda", "mps", "xpu"):
        monkeypatch.setattr(getattr(torch, kind), "device_count", lambda: 0)
    with pytest.raises(ConfigError, match=f"^--device={device}: there is no such device here"):
        run_opts_of({"device": device})
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert run_opts_of({"device": "cuda:1"}).device == "cuda:1"


def test_half_precision_is_for_gpus(tmp_path):
    for key in ("precision", "eval_precision"):
        with pytest.raises(ConfigError, match="^precision fp16 is for GPUs: give --precision=bf16"):
            run_opts_of({"device": "cpu", key: "fp16"})
        assert run_opts_of({"device": "cpu", key: "bf16"})
    (tmp_path / "own.yaml").write_text(
        f"extends: {os.path.relpath('hparams/classifier.yaml', tmp_path)}\nprecision: fp16\n"
        f"data_folder: x\nresults_folder: {tmp_path}/results\n"
    )
    with pytest.raises(ConfigError, match="^precision fp16 is for GPUs"):
        train_classifier.main([str(tmp_path / "own.yaml"), "--device=cpu"])


@pytest.mark.parametrize(
    "words,message",
    [
        (["--jit"], "--jit=True: jit is on: TorchScript .* --jit_module_keys=.decoder"),
        (["--classifier_yaml=null"], "--classifier_yaml is null: give the file of the classifier"),
    ],
)
def test_what_nothing_can_run_is_refused_before_it_starts(words, message, tmp_path):
    place = f"--results_folder={tmp_path}/results"
    for name in ("train-lmac", "evaluate", "explain", "l2i", "audit"):
        with pytest.raises(SystemExit, match=f"^error: {message}"):
            dispatch(name, [DEMO, place, *words, *["--audio=x"] * (name == "explain")])
    assert not (tmp_path / "results").exists()


def test_too_few_bands_for_the_network_are_named(tmp_path):
    for bands in (1, 31):
        with pytest.raises(ValueError, match=f"n_mels is {bands}: CNN14 .* at least 32"):
            load(f"{DEMO}:classifier", {"n_mels": bands})
    assert load(f"{DEMO}:classifier", {"n_mels": 32})


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    found = settings(f"{DEMO}:lmac", {"output_folder": "~/x", "transfer_classifiers": ["~/a", "b"]})
    assert (
        found["output_folder"] == f"{tmp_path}/x" and found["save_folder"] == f"{tmp_path}/x/save"
    )
    assert found["transfer_classifiers"] == [f"{tmp_path}/a", "b"]
    found = settings(f"{DEMO}:classifier", {"results_folder": "~", "seed": 1})
    assert found["output_folder"] == f"{tmp_path}/classifier"
    (tmp_path / "own.yaml").write_text("results_folder: ~/r\nwhere: !ref <results_folder>/y\n")
    assert settings(tmp_path / "own.yaml")["where"] == f"{tmp_path}/r/y"
