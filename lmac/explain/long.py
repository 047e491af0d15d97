"""Long recordings in parts, so that memory does not grow with their length.

Parts overlap, and what is kept of them is cross-faded there, as the masks of windows are within a
part. Every part is at the level that it has in the whole recording.
"""

import csv
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import soundfile

from data_prep.audio import SILENT_PEAK, AudioError, open_audio
from lmac.io.files import whole

BLOCK = 2**20  # samples that are read at a time
GAIN = 0.5  # of all sounds; a mask seldom raises a peak, and never so far
WINDOWS = "windows.csv"
COLUMNS = ("method", "asked_class", "start_s", "end_s", "level_db", "votes", "decision",
           "p_decision", "explained_class", "p", "p_in", "p_out")  # fmt: skip


def duration_of(path):
    """Seconds of an audio file, as its header says; AudioError as ``decode``."""
    with open_audio(path) as file:
        return file.frames / file.samplerate


def peak_of(path):
    """The largest sample of an audio file's mean over channels; AudioError as ``decode``."""
    with open_audio(path) as file:
        blocks = file.blocks(BLOCK, dtype="float32", always_2d=True)
        return max(float(np.abs(block.mean(1)).max()) for block in blocks)


def parts_of(path, part_s, overlap_s):
    """Yield (start in seconds, samples [n, channels], rate in Hz, whether it is the last)."""
    with open_audio(path) as file:
        rate = file.samplerate
        step, overlap = round(part_s * rate), round(overlap_s * rate)
        samples, start = file.read(step + overlap, dtype="float32", always_2d=True), 0
        while True:
            more = file.read(step, dtype="float32", always_2d=True)
            # What is hardly longer than the overlap is no part of its own.
            last = len(more) <= overlap
            if last:
                samples = np.concatenate([samples, more])
            yield start / rate, samples, rate, last
            if last:
                return
            samples = np.concatenate([samples[step:], more])
            start += step


class Joined:
    """One WAV of sounds of which each overlaps the next by ``overlap`` samples."""

    def __init__(self, file, sample_rate, overlap, silence=0):
        self.file = soundfile.SoundFile(
            file, "w", sample_rate, channels=1, subtype="PCM_24", format="WAV"
        )
        self.overlap, self.tail = overlap, None
        self.file.write(np.zeros(silence))

    def add(self, wav, last):
        """``wav`` [n] of the next part; its end waits for the part after it."""
        wav = GAIN * np.asarray(wav, dtype=np.float64)
        if self.tail is not None:
            n = min(len(self.tail), len(wav))
            rise = (np.arange(n) + 1) / (n + 1)
            wav[:n] = (1 - rise) * self.tail[:n] + rise * wav[:n]
        end = len(wav) if last else len(wav) - self.overlap
        self.file.write(np.clip(wav[:end], -1, 1))
        self.tail = wav[end:]
        if last:
            self.file.close()


def explain_parts(explainer, path, seconds, explain_one, folder):
    """Explain a recording part by part; returns the mean p of every class [K], by windows.

    Arguments
    ---------
    explainer : lmac.explain.explainer.Explainer
    path : path
        Audio file.
    seconds : float
        Of a part.
    explain_one : callable
        Of a Recording, the folder for it, and a function that is to be called with every
        Explanation.
    folder : path
        Gets a folder for each part, ``windows.csv``, and for each method the sounds of the whole.
    """
    peak, sr = peak_of(path), explainer.sample_rate
    if peak < SILENT_PEAK:
        raise AudioError(f"{path} is silent: there is nothing to explain.")
    total, votes = 0, 0
    with ExitStack() as stack:
        out = _Whole(Path(folder), sr, explainer.overlap, stack)
        for start, samples, rate, last in parts_of(path, seconds, explainer.overlap / sr):
            out.begin(start, last)
            if np.abs(samples).max() >= SILENT_PEAK:
                name = f"{start:06.0f}-{start + len(samples) / rate:06.0f} s"
                recording = explainer.read((samples.T, rate), name=f"{path} {name}", peak=peak)
                total = total + recording.clips.probs.cpu()[recording.votes].sum(0)
                votes += int(recording.votes.sum())
                explain_one(recording, out.folder / name, out.add)
            out.fill(-(-len(samples) * sr // rate))
    return total / max(votes, 1)


class _Whole:
    """What is written of the whole recording, part by part."""

    def __init__(self, folder, sample_rate, overlap, stack):
        self.folder, self.sample_rate, self.overlap = folder, sample_rate, overlap
        self.stack, self.joined = stack, {}
        file = stack.enter_context(whole(folder / WINDOWS, "w"))
        self.rows = csv.writer(file, lineterminator="\n")
        self.rows.writerow(COLUMNS)

    def begin(self, start, last):
        self.start, self.last, self.done = start, last, set()

    def add(self, result):
        """An Explanation of the part."""
        if result.explanation is not None:
            if self.folder / "input.wav" not in self.done:  # that of every method
                self._join(self.folder / "input.wav", result.wav)
            self._join(self.folder / result.folder / "explanation.wav", result.explanation)
            self._join(self.folder / result.folder / "removed.wav", result.removed)
        self.rows.writerows(_rows(result, self.start))

    def fill(self, n):
        """``n`` zeros for every sound that this part does not have."""
        for path in set(self.joined) - self.done:
            self._join(path, np.zeros(n))

    def _join(self, path, wav):
        if path not in self.joined:  # what came before it is silent
            file, before = (
                self.stack.enter_context(whole(path)),
                round(self.start * self.sample_rate),
            )
            self.joined[path] = Joined(file, self.sample_rate, self.overlap, before)
        self.joined[path].add(wav, self.last)
        self.done.add(path)


def _rows(result, start):
    for w in result.windows:
        yield (
            result.method, result.asked_class or "", f"{start + w.start_s:.3f}",
            f"{start + w.end_s:.3f}", f"{w.level_db:.1f}", int(w.votes), w.decision,
            f"{w.p_decision:.6g}", w.explained_class, *(f"{v:.6g}" for v in (w.p, w.p_in, w.p_out)),
        )  # fmt: skip
