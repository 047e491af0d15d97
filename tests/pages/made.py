"""Results folders made of tones; no network is needed."""

import json
import struct
import zlib

import numpy as np
import pandas as pd
import soundfile

from lmac.evaluation.folder import EvaluationFolder
from lmac.pages.study.responses import QUESTIONS, RESPONSE_FORMAT

RATE = 16000
METHODS = ("L-MAC", "Saliency", "All-ones", "Random")
# Names that break careless pages: markup, quotes, umlauts, spaces, and what means something
# in an address.
NASTY = """<script>alert("x")<'script> & Käse 100% #1?"""
NASTY_CLASS = """</script><b>Gänse "schnattern"</b>"""

# Of listening tests; the decision on the last one is wrong.
RECORDINGS = [
    ("Secret-1", "dog", "dog"),
    (f"Secret-2 {NASTY}", NASTY_CLASS, NASTY_CLASS),
    ("Secret-3", "sea_waves", "sea_waves"),
    ("Secret-wrong", "cat", "dog"),
]


def write_png(path, size=8):
    """A grey PNG, written by hand so that no library is needed."""

    def chunk(kind, body):
        data = kind + body
        return struct.pack(">I", len(body)) + data + struct.pack(">I", zlib.crc32(data))

    header = struct.pack(">IIBBBBB", size, size, 8, 0, 0, 0, 0)
    pixels = zlib.compress((b"\0" + b"\x80" * size) * size)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


def tone(seconds, frequency=440.0, amplitude=0.5):
    return amplitude * np.sin(2 * np.pi * frequency * np.arange(round(seconds * RATE)) / RATE)


def write_note(folder):
    """evaluation.json of a complete evaluation."""
    statement = {
        "title": f"# Data {NASTY}", "data": "Data: 4 clips of 3 s.",
        "classifier": "Classifier: a network (accuracy 91.2 % on folds [4]).",
        "run": "Run: 2026-01-01, commit abc1234, 2 CPU cores.",
    }  # fmt: skip
    note = {"setting": {"signal_length_s": 3.0}, "methods": {}, "statement": statement}
    write_json(folder / "evaluation.json", note)


def make_results(
    folder, clips, methods=METHODS, scenario="mixtures", domain="stft", seconds=1.0, audio=True
):
    """A results folder as ``eval_explanations.py`` writes it.

    ``clips`` is a list of (ID, label, decision). Metrics are a function of clip and method that
    tests can compute: AI = 10 * clip number + method number, AD = 100 - AI, SPS is undefined
    for All-ones. The amplitude is 0.5 for inputs and 0.25, 0.125, ... for the methods.
    """
    rows = []
    for c, (ID, label, decision) in enumerate(clips):
        for m, method in enumerate(methods):
            sample = EvaluationFolder(folder).sample(ID, method)
            sample.mkdir(parents=True)
            if audio:
                levels = {"explanation": 0.5 / 2 ** (m + 1), "removed": 0.01}
                own = {f"{sample.name}/{name}": level for name, level in levels.items()}
                for name, amplitude in {"input": 0.5, **own}.items():
                    pitch = 300 + 50 * c + (0 if name == "input" else 20 * m)
                    path = sample.parent / f"{name}.wav"
                    soundfile.write(path, tone(seconds, pitch, amplitude), RATE, subtype="PCM_16")
            write_png(sample / "explanation.png")
            write_png(sample / "mask.png")
            write_png(sample.parent / "spectrogram.png")
            score = 10.0 * c + m
            rows.append(
                {"scenario": scenario, "domain": domain, "method": method, "ID": ID,
                 "target_id": ID, "label": label, "decision": decision,
                 "correct": int(label == decision), "p": 0.5 + c / 100, "p_in": 0.25,
                 "p_out": 0.125, "AI": score, "AD": 100 - score,
                 "SPS": "" if method == "All-ones" else score / 100}
            )  # fmt: skip
    pd.DataFrame(rows).to_csv(folder / "metrics.csv", index=False)
    write_note(folder)
    return folder


def answers(manifest, key, participant, rate):
    """A participant's file; ``rate(condition, question)`` gives each number."""
    ratings = []
    for trial in manifest["trials"]:
        for name in trial["stimuli"]:
            condition = key["stimuli"][name]["condition"]
            given = {q: rate(condition, q) for q in QUESTIONS}
            ratings.append({"stimulus": name, "plays": 1, "position": len(ratings), **given})
    return {
        "format": RESPONSE_FORMAT,
        "test": manifest["test"],
        "participant": participant,
        "consent": manifest["consent"] is not None,
        "device": "headphones" if manifest["headphones"] else "",
        "started": "2026-01-01T10:00:00Z",
        "finished": "2026-01-01T10:30:00Z",
        "comment": "",
        "ratings": ratings,
    }


def write_json(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def make_explainer(folder):
    """An explainer with random weights and windows of 1 s; its L-MAC can be asked for a class."""
    import torch
    from conftest import make_explained

    from interpreters.constant import AllOnes
    from interpreters.gradcam import GradCAM
    from interpreters.lmac import LMAC
    from lmac.core.decoder import TopDownDecoder
    from lmac.explain.explainer import Explainer

    def decoder(channels, n_classes):
        return TopDownDecoder(channels, n_classes, hidden=8, detail=4, conditioned=True)

    explained = make_explained()
    torch.manual_seed(3)
    made = decoder(*explained.output_sizes())
    made.head.weight.data.mul_(20)
    torch.save(made.state_dict(), folder / "decoder.ckpt")
    methods = {"L-MAC": lambda f: LMAC(f, decoder, folder), "GradCAM": GradCAM, "All-ones": AllOnes}
    labels = ["dog", NASTY_CLASS, "rain", "sea_waves", "clock_tick"]
    return Explainer(explained, labels=labels, interpreters=methods, window_s=1.0, overlap_s=0.25)


def write_noise(path, seconds, seed=0, quiet_from=None):
    """Bursts of noise; from ``quiet_from`` seconds on next to silent."""
    generator = np.random.default_rng(seed)
    n = round(seconds * RATE)
    wave = 0.3 * generator.standard_normal(n) * np.abs(np.sin(np.linspace(0, 7 * seconds, n)))
    if quiet_from is not None:
        wave[round(quiet_from * RATE) :] *= 1e-5
    soundfile.write(path, np.clip(wave, -1, 1), RATE, subtype="FLOAT")
    return path
