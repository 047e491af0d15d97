"""Damaged and odd audio files, through all that reads audio here, some through explain.py.

A file survived when every reader either says in one line what is wrong with it, naming it, or
gives finite samples, the same everywhere, and of a whole file its own; and when that took neither
long nor much memory. Of explain.py the files it writes are read back.
"""

import json
import os
import random
import resource
import time
from pathlib import Path

import numpy as np
import soundfile
import torch
from speechbrain.dataio.encoder import CategoricalEncoder

import explain
from data_prep.audio import AudioCache, AudioError, read_audio
from data_prep.inspection import examine
from lmac.classifiers import Cnn14, LinearHead
from lmac.io.names import shown
from lmac.settings.cli import run

WHAT = "damaged and odd audio files, each a sentence or a sane answer"
COUNT = 500
SHORT = 36
RATE = 16000
LONGEST_S, MOST_BYTES = 20.0, 1.5e9  # of one trial
EXPLAINED = 10  # every so many files go through explain.py
ROOT = Path(__file__).resolve().parents[2]

FORMATS = [
    *((".wav", "PCM_16"), (".wav", "FLOAT"), (".wav", "PCM_24"), (".wav", "PCM_U8")),
    *((".wav", "DOUBLE"), (".wav", "ULAW"), (".flac", "PCM_16"), (".ogg", "VORBIS")),
    *((".mp3", "MPEG_LAYER_III"), (".aiff", "PCM_16")),
]
RATES = [
    *(1, 2, 100, 159, 160, 161, 999, 8000, 11025, 12345, 15999, 16001, 22050, 32001, 44099),
    *(44100, 44101, 48000, 65537, 96000, 191999, 192000, 384000, 767999, 768000),
]
NAMES = [
    *("[x] y", "a: b", "@a", "'q", "007", "a$x{", "take #2", "..", "-x", "ä狗", "a\nb", "x" * 240),
    *("null", "!ref <seed>", "{a: b}", "a\\b", "~", "%d %s", "\udcff", " a "),
]


def tone(n, rate=RATE, channels=1, level=0.3):
    """A tone with some noise, float64 [n, channels]."""
    t = np.arange(n)[:, None] / rate
    noise = 0.02 * np.random.default_rng(n).standard_normal((n, channels))
    return level * np.sin(2 * np.pi * min(440, rate / 8) * t) + noise


def write(path, wave, rate=RATE, subtype="FLOAT"):
    kind = path.suffix[1:].upper()
    kind = kind if kind in ("FLAC", "OGG", "MP3", "AIFF") else "WAV"
    soundfile.write(os.fsencode(path), wave, rate, subtype=subtype, format=kind)


# Each makes one file in ``folder`` and returns (its path, what it is, its whole content or None).


def whole(folder, name, chance):
    """Any format, rate and number of channels, undamaged."""
    suffix, subtype = chance.choice(FORMATS)
    rate = 44100 if suffix in (".mp3", ".ogg") else chance.choice(RATES)
    rate = min(rate, 655350) if suffix == ".flac" else rate
    channels = chance.choice([1, 2, 2 if suffix == ".mp3" else 8])
    n = chance.choice([1, 2, 3, 100, 4001, min(3 * rate, 200_000)])
    path = folder / (name + suffix)
    wave = tone(n, rate, channels)
    write(path, wave, rate, subtype)
    lossless = subtype in ("FLOAT", "DOUBLE") and rate == RATE
    return path, f"{n} samples, {rate} Hz, {channels} channels", wave if lossless else None


def damaged(folder, name, chance):
    """Flipped bits, at the beginning or anywhere; bytes that are missing, repeated or all ones."""
    suffix, subtype = chance.choice(FORMATS)
    path = folder / (name + suffix)
    write(path, tone(chance.choice([100, 8000, 40000]), 44100, chance.choice([1, 2])), 44100,
          subtype)  # fmt: skip
    content = bytearray(path.read_bytes())
    head = min(len(content), chance.choice([16, 48, 200]))
    how = chance.choice(["flipped head", "flipped", "cut", "cut head", "ones", "repeated", "lost"])
    at = chance.randrange(len(content))
    if how.startswith("flipped"):
        for _ in range(chance.choice([1, 3, 30])):
            bit = chance.randrange(8 * (head if "head" in how else len(content)))
            content[bit // 8] ^= 1 << bit % 8
    elif how == "cut":
        del content[at:]
    elif how == "cut head":
        del content[chance.randrange(head) :]
    elif how == "ones":
        at = chance.randrange(head)
        content[at : at + 4] = b"\xff" * 4
    elif how == "repeated":
        content[at:at] = content[at : at + 1000]
    else:
        del content[at : at + chance.choice([1, 2, 1000])]
    path.write_bytes(content)
    return path, f"{subtype}, {how}", None


def odd(folder, name, chance):
    """Samples that are no sound."""
    kinds = {
        "NaN": np.nan, "infinite": np.inf, "minus infinite": -np.inf, "3e38": 3e38,
        "8 channels at 3e38": 3e38, "1e-42": 1e-42, "silence": 0.0, "constant": 0.5,
        "far above full scale": 1e6, "no samples": None, "one sample": 0.5, "one NaN": np.nan,
    }  # fmt: skip
    kind = chance.choice(list(kinds))
    value = kinds[kind]
    rate = chance.choice([RATE, 44100, 44099])
    wave = tone(4000, rate, 8 if "8" in kind else chance.choice([1, 2]))
    if kind == "no samples":
        wave = wave[:0]
    elif kind == "one sample":
        wave = wave[:1] * 0 + value
    elif kind == "far above full scale":
        wave = wave * value
    elif kind == "one NaN":
        wave[chance.randrange(len(wave))] = value
    else:
        wave[:] = value
    path = folder / f"{name}.wav"
    write(path, wave.astype(np.float32), rate)
    return path, kind, None


def foreign(folder, name, chance):
    """What is no audio, or not what its name says."""
    kind = chance.choice(["text", "empty", "random", "json", "png", "html", "folder", "link",
                          "pipe", "other suffix", "raw", "none", "list"])  # fmt: skip
    suffix = ".raw" if kind == "raw" else chance.choice([".wav", ".flac", ".ogg", ".mp3", ""])
    path = folder / (name + suffix)
    contents = {
        "text": b"This is no sound.\n" * 50, "empty": b"", "random": chance.randbytes(5000),
        "json": b'{"a": NaN}', "png": b"\x89PNG\r\n\x1a\n" + bytes(100), "raw": bytes(3200),
        "html": b"<html><script>alert(1)</script></html>", "list": b"#EXTM3U\n/etc/passwd\n",
    }  # fmt: skip
    if kind == "folder":
        path.mkdir()
    elif kind == "link":
        path.symlink_to(folder / "nowhere")
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "other suffix":
        wrong = folder / "right.wav"
        write(wrong, tone(4000))
        wrong.rename(path)
    elif kind != "none":
        path.write_bytes(contents[kind])
    return path, kind, None


def bomb(folder, name, chance):
    """Headers that announce what is not there."""
    kind = chance.choice(["FLAC", "WAV data", "WAV channels", "WAV rate", "WAV block"])
    path = folder / (name + (".flac" if kind == "FLAC" else ".wav"))
    write(path, tone(8000, 44100), 44100, "PCM_16")
    content = bytearray(path.read_bytes())
    if kind == "FLAC":  # STREAMINFO: 36 bits
        total = chance.choice([2**36 - 1, 2**32, 2**30, 2**29, 0, 8001, 7999])
        content[21] = content[21] & 0xF0 | total >> 32
        content[22:26] = (total & 0xFFFFFFFF).to_bytes(4, "big")
    else:
        at, size = {"data": (40, 4), "channels": (22, 2), "rate": (24, 4), "block": (32, 2)}[
            kind.split()[1]
        ]
        value = chance.choice([0, 1, 2**15 - 1, 2**16 - 1, 2**31 - 1, 2**32 - 1])
        content[at : at + size] = (value % 256**size).to_bytes(size, "little")
    path.write_bytes(content)
    return path, kind, None


MAKERS = (whole, damaged, odd, damaged, foreign, bomb)


def sentence(error, path):
    """What is wrong with an error as a message to a user, None if nothing is."""
    text = str(error)
    if "\n" in text.replace(str(path), "").strip():
        return f"{len(text.splitlines())} lines: {text}"
    return None if path.name in text or shown(path.name) in text else f"names no file: {text}"


def through_readers(path, content, folder):
    """What is wrong with the answers of all readers, None if nothing is."""
    answers = []
    for read in (lambda p: read_audio(p, RATE), AudioCache(folder / "cache", RATE)):
        try:
            answers.append(np.array(read(path)))
        except AudioError as error:
            if wrong := sentence(error, path):
                return wrong
            answers.append(None)
    direct, cached = answers
    if (direct is None) != (cached is None):
        return "one reader takes it, the other does not"
    checked = examine(path)
    if direct is None:
        # The check reads samples as they are: mono and the rate are no matter to it.
        return None
    if checked.get("error"):
        return f"is read, but the check says {checked['error']}"
    if any(np.isnan(v) for v in checked.values() if isinstance(v, float)):
        return f"the check computes {checked}"
    if not np.array_equal(direct, cached):
        return "the cache gives other samples"
    if direct.dtype != np.float32 or direct.ndim != 1 or not len(direct):
        return f"gives {direct.dtype} {direct.shape}"
    if not np.isfinite(direct).all():
        return "gives samples that are not finite"
    if content is not None and np.abs(direct - content.mean(1)).max() > 1e-6:
        return "gives other samples than were written"
    return None


def classifier(folder):
    """The folder of a small classifier with random weights."""
    torch.manual_seed(0)
    model = Cnn14(width=4)
    folder.mkdir()
    torch.save(model.state_dict(), folder / "embedding_model.ckpt")
    torch.save(LinearHead(model.emb_dim, 3).state_dict(), folder / "classifier.ckpt")
    encoder = CategoricalEncoder()
    encoder.update_from_iterable(["dog", "rain", "$a{"], sequence_input=False)
    encoder.save(folder / "label_encoder.txt")
    return folder


def through_explain(path, weights, output):
    """What is wrong with what explain.py says or writes, None if nothing is."""
    argv = [ROOT / "hparams" / "explain.yaml", f"--audio={path.name}", "--methods=[GradCAM]",
            f"--classifier_checkpoint={weights}", "--classifier_width=4", "--device=cpu",
            f"--results_folder={output}", f"--output_folder={output / 'out'}"]  # fmt: skip
    before, here = set(output.parent.iterdir()), Path.cwd()
    os.chdir(path.parent)  # so that the name alone is what is typed
    try:
        run(explain.main, list(map(str, argv)))
    except SystemExit as end:
        text = str(end.code)
        return None if text.startswith("error: ") else f"ends with {text}"
    finally:
        os.chdir(here)
    if set(output.parent.iterdir()) != before | {output}:
        return "something was written outside the output folder"
    found = list((output / "out").glob("*/GradCAM/explanation.json"))
    if len(found) != 1:
        return f"{len(found)} explanations are in the output folder"

    def refuse(word):
        raise ValueError(f"the JSON holds {word}")

    try:
        said = json.loads(found[0].read_text(encoding="utf-8"), parse_constant=refuse)
    except ValueError as error:
        return str(error)
    for name in ("input", "explanation", "removed"):
        wave, rate = soundfile.read(os.fsencode(found[0].with_name(f"{name}.wav")))
        if rate != RATE or not np.isfinite(wave).all() or np.abs(wave).max() > 1:
            return f"{name}.wav is not sane"
    return None if 0 <= said["p"] <= 1 else f"p is {said['p']}"


def trials(count, seed, folder):
    weights = classifier(folder / "weights")
    for k in range(count):
        chance = random.Random(f"{seed} {k}")
        place = folder / f"trial{k}"
        place.mkdir()
        make = MAKERS[k % len(MAKERS)]
        explained = k % EXPLAINED == EXPLAINED // 2
        name = NAMES[k // EXPLAINED % len(NAMES)] if explained else "sound"
        path, what, content = make(place, name, chance)
        label = f"{k}: {make.__name__}, {what}" + f", {shown(path.name)}" * explained
        clock, memory = time.process_time(), _most_memory()
        try:
            problem = through_readers(path, content, place / "reading")
            if explained and problem is None:
                problem = through_explain(path, weights, place / "explained")
        except Exception as error:  # what no reader foresaw is what is looked for
            problem = f"{type(error).__name__}: {error}"
        clock, memory = time.process_time() - clock, _most_memory() - memory
        if problem is None and clock > LONGEST_S:
            problem = f"took {clock:.0f} s"
        if problem is None and memory > MOST_BYTES:
            problem = f"took {memory / 1e9:.1f} GB"
        yield label, problem


def _most_memory():
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
