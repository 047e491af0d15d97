"""Shared fixtures: small networks with seeded weights, and the real clips where they are."""

import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from lmac.classifiers import AudioClassifier, Cnn14, Conv2dEncoder, LinearHead, Wave1d
from lmac.core.domain import FrontEnd, get_domain
from lmac.core.explained import ExplainedClassifier
from lmac.io.files import read_sums, write_sums

REPOSITORY = Path(__file__).resolve().parents[1]
# Overrides for the scripts: a few short built-in sounds and a narrow network.
TINY = [
    "--dataset_yaml=hparams/datasets/builtin.yaml",
    "--clips_per_class=5",
    "--signal_length_s=1.0",
    "--classifier_width=4",
    "--device=cpu",
]
ESC10 = REPOSITORY.parent / "shared" / "data" / "ESC-10"


_HOLDS = """
import sys
from lmac.io.lock import claim
claim(sys.argv[1])
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def at_work_in(folder):
    """Another process, which is at work in ``folder``."""
    with subprocess.Popen(
        [sys.executable, "-c", _HOLDS, str(folder)],
        cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as other:  # fmt: skip
        assert other.stdout.readline() == "held\n"
        yield other
        other.stdin.close()


def forget_sum(path):
    """Delete the line of the file at ``path`` in SHA256SUMS: it is to be used as it is now."""
    sums = read_sums(path.parent)
    del sums[path.name]
    write_sums(path.parent, sums)


@pytest.fixture(scope="session")
def front_end():
    return FrontEnd()


@pytest.fixture(scope="session")
def esc50():
    """The folder of ESC-50 where it is; elsewhere what needs it is skipped."""
    folder = REPOSITORY.parent / "shared" / "data" / "ESC-50"
    if not folder.is_dir():
        pytest.skip("needs ESC-50 in ../shared/data")
    return folder


@pytest.fixture(scope="session")
def esc10():
    """The folder of the real ESC-10 clips, which are not part of the repository."""
    if not ESC10.is_dir():
        pytest.skip(f"the real ESC-10 clips are not at {ESC10}")
    return ESC10


def make_explained(kind="cnn14", domain="stft", n_classes=5, seed=0, signal_path="direct"):
    """A small classifier with random weights and lively BatchNorm statistics, in a domain."""
    torch.manual_seed(seed)
    if kind == "wave1d":
        embedding_model = Wave1d(width=4)
    else:
        embedding_model = Cnn14(width=4) if kind == "cnn14" else Conv2dEncoder(dim=8)
    classifier = AudioClassifier(embedding_model, LinearHead(embedding_model.emb_dim, n_classes))
    front_end = FrontEnd()
    domain = get_domain(domain, front_end, reads=classifier.reads, signal_path=signal_path)
    classifier.train()
    for _ in range(3):
        wav = 0.3 * torch.randn(4, 8000)
        classifier(domain.to_features(*domain.analyse(wav)))
    return ExplainedClassifier(domain, classifier)


@pytest.fixture
def explained():
    return make_explained()


@pytest.fixture
def wav():
    """Two seconds of noise bursts, [3, 16000]."""
    generator = torch.Generator().manual_seed(1)
    envelope = torch.linspace(0, 6.28, 16000).sin().abs()
    return 0.3 * torch.randn(3, 16000, generator=generator) * envelope
