"""Files of others run no code: weights, caches and checkpoints are data."""

import ast
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from speechbrain.dataio.encoder import CategoricalEncoder
from speechbrain.utils.checkpoints import Checkpointer

from data_prep.audio import AudioCache
from lmac.checkpoints import read_labels
from lmac.classifiers import Conv2dEncoder
from lmac.classifiers.aisfx import pretrained_weights
from lmac.core.domain import FrontEnd, get_domain
from lmac.io.weights import read_weights
from lmac.training import embeddings
from lmac.training.nmf import load_dictionary

ROOT = Path(__file__).resolve().parents[1]
CODE = [p for d in ("metrics", "data_prep", "lmac", "interpreters", "benchmarks")
        for p in sorted((ROOT / d).rglob("*.py"))] + sorted(ROOT.glob("*.py"))  # fmt: skip


class Bomb:
    """Pickled, it makes a folder when it is read."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


@pytest.fixture
def mark(tmp_path):
    """What a bomb makes; it must not be there afterwards."""
    mark = tmp_path / "the bomb went off"
    yield mark
    assert not mark.exists()


def test_the_bomb_is_one(tmp_path):
    torch.save(Bomb(tmp_path / "mark"), tmp_path / "a.ckpt")
    torch.load(tmp_path / "a.ckpt", weights_only=False)
    assert (tmp_path / "mark").exists()


@pytest.mark.parametrize("read", [lambda p: read_weights(p, "decoder"), pretrained_weights])
def test_weights(tmp_path, mark, read):
    torch.save({"weight": Bomb(mark)}, tmp_path / "a.ckpt")
    with pytest.raises(ValueError, match="a.ckpt is not"):
        read(tmp_path / "a.ckpt")


def test_the_checkpoint_that_a_training_goes_on_from(tmp_path, mark):
    checkpointer = Checkpointer(tmp_path, {"model": torch.nn.Linear(1, 1)})
    folder = checkpointer.save_checkpoint().path
    torch.save({"weight": Bomb(mark), "bias": torch.zeros(1)}, folder / "model.ckpt")
    with pytest.raises(Exception, match="[Ww]eights.only"):
        checkpointer.recover_if_possible()
    (folder / "CKPT.yaml").write_text(f"!!python/object/apply:os.mkdir ['{mark}']\n")
    with pytest.raises(Exception, match="could not determine a constructor"):
        checkpointer.recover_if_possible()


def test_the_dictionary(tmp_path, mark):
    bomb = np.array([Bomb(mark)], dtype=object)
    np.savez(tmp_path / "a.npz", W=bomb, relative_error=0.1, made_of=["a"], made_with=["b"])
    with pytest.raises(ValueError, match="is not a dictionary"):
        load_dictionary(tmp_path / "a.npz", {"a": "b"})


def test_the_cache_of_sounds(tmp_path, mark):
    soundfile.write(tmp_path / "a.wav", 0.1 * np.ones(100), 16000)
    cache = AudioCache(tmp_path / "cache")
    cache(tmp_path / "a.wav")
    (entry,) = (tmp_path / "cache").glob("*.npy")
    np.save(entry, np.array([Bomb(mark)], dtype=object), allow_pickle=True)
    try:
        assert len(cache(tmp_path / "a.wav")) == 100  # decoded anew
    except ValueError:
        pass  # or refused


def test_the_cache_of_embeddings(tmp_path, mark):
    domain = get_domain("mel", FrontEnd())

    def embed():
        data = embeddings.DynamicItemDataset(
            {str(k): {"sig": torch.ones(8000) * k, "class": k} for k in (1, 2)},
            output_keys=["id", "sig", "class"],
        )
        torch.manual_seed(0)
        return embeddings.embedded(
            {"train": data}, Conv2dEncoder(dim=4), domain, tmp_path / "cache", 2, "cpu"
        )

    embed()
    (entry,) = (e for e in (tmp_path / "cache").iterdir() if e.suffix == ".pt")
    torch.save((Bomb(mark), torch.zeros(2)), entry)
    try:
        embed()
    except Exception as error:
        assert "weights" in str(error).lower()


def test_the_names_of_classes(tmp_path, mark):
    encoder = CategoricalEncoder()
    encoder.update_from_iterable(["dog", "rain"], sequence_input=False)
    encoder.save(tmp_path / "label_encoder.txt")
    text = (tmp_path / "label_encoder.txt").read_text()
    code = f"__import__('os').mkdir({str(mark)!r})"
    (tmp_path / "label_encoder.txt").write_text(text.replace("'dog'", code))
    with pytest.raises(ValueError, match="is not a SpeechBrain label encoder"):
        read_labels(tmp_path)


def calls(path):
    """(name such as "np.load", keywords, line) of every call in a file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            keywords = {k.arg: ast.unparse(k.value) for k in node.keywords}
            yield ast.unparse(node.func), keywords, node.lineno


def test_no_line_of_ours_reads_a_pickle_or_runs_text():
    loads = 0
    for path in CODE:
        for name, keywords, line in calls(path):
            where = f"{path.relative_to(ROOT)}, line {line}: {name}"
            if name == "torch.load":
                assert keywords.get("weights_only") == "True", where
            if name in ("np.load", "numpy.load"):
                assert keywords.get("allow_pickle") == "False", where
            loads += name.endswith(".load")
            last = name.rpartition(".")[2]
            assert name not in ("eval", "exec", "os.system", "os.popen"), where
            assert last not in ("read_pickle", "unsafe_load", "full_load"), where
            assert "pickle" not in name and "shell" not in keywords, where
            assert keywords.get("trust_remote_code", "False") == "False", where
        text = path.read_text(encoding="utf-8")
        assert "import pickle" not in text and "from pickle" not in text, path
    assert loads > 5
