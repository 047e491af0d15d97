"""Decoded audio: any file soundfile reads, mono, at one rate, decoded once and cached."""

import hashlib
import logging
import math
import os
import struct
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soundfile
from tqdm import tqdm

from lmac.io.files import is_sealed, seal, whole
from lmac.io.names import safe_name

logger = logging.getLogger(__name__)

# A chunk of this size or more was written to a pipe, by a writer that did not know better.
_UNKNOWN_SIZE = 0x7FFFFF00
# A mix to mono this far below its channels is what their cancelling left of them.
CANCELLED = 1e-4  # -80 dB
SILENT_PEAK = 1e-7  # -140 dB of full scale: below it there is nothing to hear, nor to normalise
MOST_SAMPLES = 2**30  # of a file, all channels: 4 GB, or six hours of mono at 48 kHz
# Beyond this factor between two rates a header is damaged, and a minute would become hours.
MOST_RATIO = 100
# Largest product of two rates without their common divisor that torchaudio resamples: its filters
# take so many numbers (44.1 to 16 kHz: 441 x 160), for 44 099 Hz 6 GB.
_SMALL_RATIO = 2**20
_VERSION = 3  # of what the cache holds; 1 was resampled by torchaudio, 2 had no checksums


class AudioError(ValueError):
    """An audio file that cannot be used; the message names it."""


def cut_short(path):
    """Whether the end of a WAV, AIFF or Ogg file is missing, which decoders pass over in silence.

    True when more than a hundredth of the announced samples is not there, or when an Ogg stream
    lacks its last page. Raises OSError when ``path`` cannot be read.
    """
    with open(path, "rb") as file:
        head, size = file.read(12), os.fstat(file.fileno()).st_size
        if head[:4] == b"OggS":
            file.seek(max(0, size - 70_000))  # a page has at most 65 307 bytes
            tail = file.read()
            last = tail.rfind(b"OggS")
            return last < 0 or len(tail) < last + 6 or not tail[last + 5] & 4
        if head[:4] not in (b"RIFF", b"FORM"):
            return False
        order, wanted = ("<", b"data") if head[:4] == b"RIFF" else (">", b"SSND")
        while len(chunk := file.read(8)) == 8:
            announced = struct.unpack(order + "I", chunk[4:])[0]
            if chunk[:4] == wanted:
                missing = announced - (size - file.tell())
                return announced < _UNKNOWN_SIZE and missing > 0.01 * announced
            file.seek(announced + announced % 2, os.SEEK_CUR)
    return False


@contextmanager
def open_audio(path):
    """The file at ``path`` as a ``soundfile.SoundFile``.

    Raises AudioError for a missing or unreadable one, and for what fails while it is read.
    """
    if not os.path.isfile(path):  # Path.is_file raises for a name that is too long
        raise AudioError(f"Audio file {path} does not exist.")
    try:
        # As bytes, since a name need not be valid UTF-8.
        with soundfile.SoundFile(os.fsencode(path)) as file:
            if file.samplerate < 1:
                raise AudioError(
                    f"Audio file {path} has a sampling rate of {file.samplerate} Hz: is it damaged?"
                )
            yield file
    # TypeError: a file called .raw has no header.
    except (soundfile.LibsndfileError, RuntimeError, TypeError, MemoryError) as error:
        raise AudioError(
            f"Audio file {path} cannot be decoded ({error}): is it damaged or no audio?"
        ) from error


def decode(path):
    """The samples of ``path`` as they are, float32 [n, channels], and its rate in Hz.

    Raises AudioError for a missing, unreadable, empty or truncated file, for one of more than
    MOST_SAMPLES and for samples that are not finite.
    """
    path = Path(path)
    with open_audio(path) as file:
        announced, rate = file.frames, file.samplerate
        if announced * file.channels > MOST_SAMPLES:  # before memory is asked for
            raise AudioError(
                f"Audio file {path} announces more than {MOST_SAMPLES} samples: is its header "
                "damaged, or without the length? Cut a longer recording into parts."
            )
        samples = file.read(dtype="float32", always_2d=True)
    if len(samples) < 0.99 * announced or cut_short(path):
        raise AudioError(f"Audio file {path} is cut short: its end is missing.")
    if len(samples) == 0:
        raise AudioError(f"Audio file {path} holds no samples.")
    if not np.isfinite(samples).all():
        raise AudioError(f"Audio file {path} holds samples that are NaN or infinite.")
    return samples, rate


def read_audio(path, sample_rate):
    """Decode ``path`` to float32 mono samples at ``sample_rate`` Hz, shape [n].

    Raises AudioError as ``decode`` and ``mono_at`` do.
    """
    samples, rate = decode(path)
    return mono_at(samples, rate, sample_rate, f"Audio file {path}")


def mono_at(samples, rate, sample_rate, what, quality=None):
    """Mean of the channels of ``samples`` [n, channels] at another rate, float32 [n'].

    Arguments
    ---------
    samples : array [n, channels]
    rate, sample_rate : int
        Hz, of the samples and of the answer.
    what : str
        What they are, for messages.
    quality : str, optional
        Of soxr, such as "VHQ"; by default as :func:`resample` chooses.

    Raises AudioError for rates that are more than a factor of MOST_RATIO apart, for samples so
    large that their sums are not finite, and for channels that cancel one another.
    """
    if max(rate, sample_rate) > MOST_RATIO * min(rate, sample_rate):
        raise AudioError(
            f"{what} has a sampling rate of {rate} Hz, more than {MOST_RATIO} times "
            f"{'above' if rate > sample_rate else 'below'} the {sample_rate} Hz that are needed: "
            "is its header damaged?"
        )
    peak = np.abs(samples).max()
    with np.errstate(over="ignore", invalid="ignore"):
        mono = samples.mean(1)
        if samples.shape[1] > 1 and np.abs(mono).max() < CANCELLED * peak:
            raise AudioError(
                f"{what}: its {samples.shape[1]} channels cancel one another when they are mixed "
                "to mono: keep one of them."
            )
        mono = (
            resample(mono, rate, sample_rate)
            if quality is None
            else _resample_by_soxr(mono, rate, sample_rate, quality)
        )
    if not np.isfinite(mono).all():
        raise AudioError(
            f"{what} overflows when it is mixed to mono and resampled: its samples "
            f"reach {peak:.2g}, where full scale is 1. Scale it."
        )
    return mono


def resamples_simply(rate, sample_rate):
    """Whether two rates in Hz have a ratio small enough for torchaudio's polyphase filters."""
    return rate * sample_rate <= _SMALL_RATIO * math.gcd(rate, sample_rate) ** 2


def resample(samples, rate, sample_rate):
    """Samples [n] at ``rate`` Hz to float32 [ceil(n sample_rate / rate)] at ``sample_rate`` Hz.

    At the usual rates torchaudio, as in the published implementation; at others, such as
    44 099 Hz, where its filters take gigabytes, soxr (HQ). The two differ by 40 dB below the
    signal in white noise up to 0.8 of the lower Nyquist frequency. soxr is the sharper one: of
    44.1 kHz, 5 % above the Nyquist frequency of 16 kHz is lowered by 137 dB, by torchaudio by
    10 dB. Its use at all rates would move results: on ESC-10 the samples by 32 dB below the
    signal (median), and 5 of 200 decisions of a CNN14 early in its training.
    """
    if rate == sample_rate:
        return samples
    # Here, for those who read metadata, or samples at their own rate, should not wait for torch.
    if resamples_simply(rate, sample_rate):
        import torch
        import torchaudio

        return torchaudio.functional.resample(torch.from_numpy(samples), rate, sample_rate).numpy()
    return _resample_by_soxr(samples, rate, sample_rate, "HQ")


def _resample_by_soxr(samples, rate, sample_rate, quality):
    if rate == sample_rate:
        return samples
    import soxr

    length = math.ceil(len(samples) * sample_rate / rate)
    # soxr rounds the length down, to nothing for a file of one sample.
    padded = np.pad(samples, (0, math.ceil(rate / sample_rate) + 1))
    return soxr.resample(padded, rate, sample_rate, quality)[:length]


class AudioCache:
    """Reads audio through ``.npy`` files, so that each file is decoded and resampled once.

    Arguments
    ---------
    folder : path or None
        Where the decoded samples are kept; None decodes at every call.
    sample_rate : int
        Hz.
    """

    def __init__(self, folder, sample_rate=16000):
        self.folder = Path(folder) if folder else None
        self.sample_rate = sample_rate
        self._found_whole = set()

    def __call__(self, path):
        """Samples of ``path``: float32 [n], read-only when they come from the cache."""
        if self.folder is None:
            return read_audio(path, self.sample_rate)
        cached = self._entry(path)
        if not self._is_whole(cached):
            self._decode(path, cached)
        return np.load(cached, mmap_mode="r", allow_pickle=False)

    def has(self, path):
        """Whether ``path`` need not be decoded any more."""
        try:
            return self._entry(path).exists()
        except AudioError:
            return False

    def fill(self, paths):
        """Decode now what is not in the cache yet, with a progress bar.

        What is in it is compared with its checksum, once; what is damaged is decoded again.

        Returns
        -------
        dict
            Path to the AudioError of every file that cannot be used.
        """
        damaged, entries = {}, []
        for path in dict.fromkeys(map(Path, paths)):
            try:
                entries.append((path, self._entry(path)))
            except AudioError as error:
                damaged[path] = error

        def attempt(task):
            try:
                self._decode(*task)
            except AudioError as error:
                damaged[task[0]] = error

        # Threads do: libsndfile, torch and hashlib leave Python's lock while they work.
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            there = pool.map(self._is_whole, [cached for _, cached in entries])
            missing = [entry for entry, found in zip(entries, there, strict=True) if not found]
            if missing:
                done = pool.map(attempt, missing)
                list(tqdm(done, total=len(missing), desc="decoding audio", unit="file"))
        return damaged

    def _is_whole(self, cached):
        """Whether an entry is there and as it was written; it is read once to tell."""
        if cached in self._found_whole and cached.exists() or is_sealed(cached):
            self._found_whole.add(cached)
            return True
        if cached.exists():
            logger.warning("%s is damaged: it is decoded again.", cached)
        return False

    def _entry(self, path):
        """Where the samples of ``path`` are kept."""
        path = Path(path)
        try:
            stat = path.stat()
        except OSError:
            raise AudioError(f"Audio file {path} does not exist.") from None
        # A changed file gets a new key, so a stale entry is never used.
        key = f"{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}|{self.sample_rate}|{_VERSION}"
        digest = hashlib.sha1(os.fsencode(key)).hexdigest()[:12]
        return self.folder / f"{safe_name(path.stem)}-{digest}.npy"

    def _decode(self, path, cached):
        samples = read_audio(path, self.sample_rate)
        with whole(cached, "w+b", sync=False) as file:
            np.save(file, samples, allow_pickle=False)
            seal(file)


def fit_length(samples, n_samples, start=0):
    """Crop from ``start`` or zero-pad at the end to ``n_samples``; returns a new array [n]."""
    out = np.zeros(n_samples, dtype=np.float32)
    piece = samples[start : start + n_samples]
    out[: len(piece)] = piece
    return out


def is_silent(samples):
    """Whether all ``samples`` [n] are zero, or so near that nothing could be heard."""
    middle = len(samples) // 2
    # Looking at the middle first spares reading the rest of nearly every cached file.
    parts = (samples[middle : middle + 500], samples)
    return all(np.abs(part).max(initial=0.0) < SILENT_PEAK for part in parts)


def loudest(samples, n_samples):
    """Where in ``samples`` [n] the ``n_samples`` of the largest energy begin."""
    if len(samples) <= n_samples:
        return 0
    total = np.concatenate([[0.0], np.cumsum(np.square(samples, dtype=float))])
    return int(np.argmax(total[n_samples:] - total[:-n_samples]))


def cropped(samples, n_samples, crop="start"):
    """What of a clip [n] is looked at, [n_samples]: its start, or its part of the largest energy.

    Shorter clips are zero-padded at the end.
    """
    return fit_length(samples, n_samples, loudest(samples, n_samples) if crop == "loudest" else 0)


def peak_normalise(wav, eps=1e-8):
    """Waveform [..., L] with its largest absolute sample at 1; silence stays silence."""
    peak = wav.abs().amax(-1, keepdim=True)
    return wav / peak.clamp_min(eps)
