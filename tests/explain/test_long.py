"""Long recordings in parts: the same sounds and decisions as in one piece, in bounded memory."""

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import REPOSITORY

from data_prep.audio import AudioError
from lmac.explain.long import GAIN, Joined, parts_of, peak_of


def noise(seconds, rate=8000, channels=1):
    generator = np.random.default_rng(1)
    return generator.uniform(-0.4, 0.4, (round(seconds * rate), channels)).astype(np.float32)


@pytest.mark.parametrize("seconds", [1.0, 4.05, 5.0, 5.2, 10.0, 13.3])
def test_parts_cover_all_and_are_joined_to_what_they_were(tmp_path, seconds):
    wav = noise(seconds)
    soundfile.write(tmp_path / "a.wav", wav, 8000, "FLOAT")
    joined = Joined(tmp_path / "b.wav", 8000, overlap=1600)
    starts = []
    for start, samples, rate, last in parts_of(tmp_path / "a.wav", 4.0, 0.2):
        assert rate == 8000 and len(samples) <= 4.4 * 8000
        assert np.array_equal(samples, wav[round(start * rate) :][: len(samples)])
        joined.add(samples[:, 0], last)
        starts.append(start)
    assert starts == [4.0 * i for i in range(len(starts))] and last
    found, _ = soundfile.read(tmp_path / "b.wav")
    assert len(found) == len(wav)
    assert found == pytest.approx(GAIN * wav[:, 0], abs=1e-6)


def test_the_peak_is_that_of_the_mean_over_channels(tmp_path):
    wav = noise(2, channels=2)
    soundfile.write(tmp_path / "a.flac", wav, 8000)
    assert peak_of(tmp_path / "a.flac") == pytest.approx(np.abs(wav.mean(1)).max(), abs=1e-4)
    (tmp_path / "no.wav").write_text("text")
    with pytest.raises(AudioError, match="no.wav cannot be decoded"):
        peak_of(tmp_path / "no.wav")


# Not ru_maxrss, which is that of the process that started this one, where it was larger.
RUN = """
import sys
import explain
explain.main(sys.argv[1:])
status = open("/proc/self/status").read()
print("peak", status.partition("VmHWM:")[2].split()[0])
"""


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="needs Linux")
def test_memory_does_not_grow_with_the_length(tmp_path):
    """Half a minute and two, in parts of 15 s; the longer one begins with silence."""
    peaks = {}
    for seconds in (30, 120):
        wav = noise(seconds)[:, 0]
        if seconds == 120:
            wav[: 20 * 8000] = 0
        soundfile.write(tmp_path / f"{seconds}.wav", wav, 8000)
        done = subprocess.run(
            [sys.executable, "-c", RUN, "recipes/ESC50/pretrained.yaml", "--methods=[GradCAM]",
             f"--audio={tmp_path / f'{seconds}.wav'}", f"--output_folder={tmp_path / 'out'}",
             "--part_s=15"],
            cwd=REPOSITORY, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        peaks[seconds] = int(done.stdout.rpartition("peak ")[2])
    assert peaks[120] < 1.1 * peaks[30] and peaks[120] < 1.5e6
    out = tmp_path / "out" / "120.wav"
    assert len(list(out.glob("*/index.html"))) == 7  # the silent one has none
    sounds = [
        out / "input.wav",
        *(out / "GradCAM" / f"{n}.wav" for n in ("explanation", "removed")),
    ]
    whole, kept, removed = (soundfile.read(path)[0] for path in sounds)
    assert len(whole) == len(kept) == len(removed) == 120 * 16000
    assert not whole[: 15 * 16000].any() and whole[20 * 16000 :].std() > 0.01
    with (out / "windows.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert float(rows[0]["start_s"]) == 15 and float(rows[-1]["end_s"]) == pytest.approx(120)
