"""Audio whose end is missing is an error, whatever its format; whole files of all kinds are not."""

import struct

import numpy as np
import pytest
import soundfile
import torch
import torchaudio

import data_prep.audio
from data_prep.audio import AudioCache, AudioError, cut_short, decode, loudest, read_audio, resample
from lmac.core.domain import FrontEnd, get_domain
from lmac.io.files import seal, whole

FORMATS = [
    *(("wav", s) for s in ("PCM_U8", "PCM_16", "PCM_24", "FLOAT", "IMA_ADPCM", "ULAW")),
    *(("aiff", "PCM_16"), ("flac", "PCM_16"), ("ogg", "VORBIS"), ("mp3", "MPEG_LAYER_III")),
]


def noise(seconds=1.0, channels=1):
    return 0.1 * np.random.default_rng(0).standard_normal((int(44100 * seconds), channels))


@pytest.mark.parametrize("suffix,subtype", FORMATS)
@pytest.mark.parametrize("channels", [1, 2])
def test_a_file_cut_in_half_is_an_error(tmp_path, suffix, subtype, channels):
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, noise(3.0, channels), 44100, subtype=subtype)
    samples, rate = decode(path)
    assert rate == 44100 and samples.shape[1] == channels
    assert len(samples) == pytest.approx(3 * 44100, rel=0.02)
    whole = path.read_bytes()
    for share in (0.5, 0.9):
        path.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(AudioError, match=f"a.{suffix} (is cut short|cannot be decoded)"):
            decode(path)


def test_a_wav_written_to_a_pipe_is_whole(tmp_path):
    """Such a writer does not know the size and announces the largest one."""
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(), 44100)
    content = bytearray(path.read_bytes())
    at = content.index(b"data") + 4
    content[at : at + 4] = struct.pack("<I", 0xFFFFFFFF)
    path.write_bytes(content)
    assert not cut_short(path) and len(decode(path)[0]) == 44100


def test_a_chunk_before_the_samples_is_stepped_over(tmp_path):
    """An odd chunk is followed by a byte of padding."""
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(), 44100)
    content = path.read_bytes()
    at = content.index(b"data")
    content = content[:at] + b"LIST" + struct.pack("<I", 5) + b"abcde\0" + content[at:]
    path.write_bytes(content)
    assert not cut_short(path) and len(decode(path)[0]) == 44100
    path.write_bytes(content[:-20000])
    assert cut_short(path)


def test_the_real_clips_are_whole(esc10):
    assert not any(cut_short(p) for p in (esc10 / "audio").iterdir())


def test_the_cache_is_filled_once_and_names_all_damage(tmp_path):
    paths = [tmp_path / f"{name}.wav" for name in ("one", "two", "zero", "none")]
    for path in paths[:2]:
        soundfile.write(path, noise(), 44100)
    paths[2].write_bytes(b"")
    cache = AudioCache(tmp_path / "cache")
    damaged = cache.fill(paths)
    assert set(damaged) == set(paths[2:])
    assert "zero.wav cannot be decoded" in str(damaged[paths[2]])
    assert "none.wav does not exist" in str(damaged[paths[3]])
    entries = {p: p.stat().st_mtime_ns for p in (tmp_path / "cache").iterdir()}
    assert len(entries) == 2
    assert not cache.fill(paths[:2])
    assert entries == {p: p.stat().st_mtime_ns for p in (tmp_path / "cache").iterdir()}
    assert np.array_equal(cache(paths[0]), read_audio(paths[0], 16000))


def tones(rate, seconds=0.5):
    """Tones below 0.9 of the Nyquist frequency of 12 345 Hz and more, float32 [n]."""
    t = np.arange(int(rate * seconds)) / rate
    return sum(0.2 * np.sin(2 * np.pi * f * t) for f in (220, 1500, 5400)).astype(np.float32)


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 32000, 44100, 48000, 96000, 192000])
def test_usual_rates_are_resampled_as_ever(rate):
    wave = np.random.default_rng(0).standard_normal(rate // 2).astype(np.float32)
    expected = torchaudio.functional.resample(torch.from_numpy(wave), rate, 16000)
    assert np.array_equal(resample(wave, rate, 16000), expected)


@pytest.mark.parametrize("rate", [44099, 32001, 15999, 767999, 12345])
def test_odd_rates_are_resampled_by_a_library_that_needs_little(rate, monkeypatch):
    monkeypatch.setattr(torchaudio.functional, "resample", None)  # gigabytes
    got, expected = resample(tones(rate), rate, 16000), tones(16000)
    assert len(got) in (8000, 7999) and got.dtype == np.float32
    inner = slice(400, 7600)
    error = np.abs(got[inner] - expected[inner]).max()
    assert error < 1e-3, 20 * np.log10(error)  # the sampled tones themselves


@pytest.mark.parametrize("rate,n", [(44099, 1), (44099, 2), (767999, 1), (161, 1), (15999, 5)])
def test_a_few_samples_are_no_fewer_than_one(rate, n):
    got = resample(np.ones(n, np.float32), rate, 16000)
    assert len(got) == -(-n * 16000 // rate) and got.any() and np.isfinite(got).all()


@pytest.mark.parametrize("rate,where", [(1, "below"), (159, "below"), (1_600_001, "above")])
def test_rates_that_are_no_sounds_are_refused(tmp_path, rate, where):
    soundfile.write(tmp_path / "a.wav", tones(16000), rate)
    with pytest.raises(AudioError, match=f"a.wav has a sampling rate of {rate} Hz, .* {where}"):
        read_audio(tmp_path / "a.wav", 16000)


@pytest.mark.parametrize("rate", [16000, 44100, 44099])
def test_sums_that_overflow_are_said(tmp_path, rate):
    loud = np.full((rate, 8), 3e38, dtype=np.float32)
    soundfile.write(tmp_path / "a.wav", loud, rate, subtype="FLOAT")
    with pytest.raises(AudioError, match="a.wav overflows .* reach 3e[+]38"):
        read_audio(tmp_path / "a.wav", 16000)


def test_a_header_that_announces_too_much_costs_nothing(tmp_path, monkeypatch):
    path = tmp_path / "a.flac"
    soundfile.write(path, noise(), 44100)
    monkeypatch.setattr(soundfile.SoundFile, "read", lambda *_, **__: pytest.fail("it was read"))
    content = bytearray(path.read_bytes())
    for total in (2**36 - 1, 2**30 + 1, 0):  # STREAMINFO: 36 bits from byte 21 on; 0 is unknown
        content[21] = content[21] & 0xF0 | total >> 32
        content[22:26] = (total & 0xFFFFFFFF).to_bytes(4, "big")
        path.write_bytes(content)
        with pytest.raises(AudioError, match="a.flac announces more than 1073741824 samples"):
            decode(path)


@pytest.mark.parametrize("name", ["a.raw", "x" * 300 + ".wav", "nul\0.wav", "folder"])
def test_names_that_are_no_audio(tmp_path, name):
    (tmp_path / "folder").mkdir()
    (tmp_path / "a.raw").write_bytes(bytes(100))
    with pytest.raises(AudioError, match="cannot be decoded|does not exist"):
        decode(tmp_path / name)


def test_a_name_that_is_no_utf8_is_read(tmp_path):
    soundfile.write(tmp_path / "a.wav", noise(), 44100)
    path = (tmp_path / "a.wav").rename(tmp_path / "\udcff.wav")
    assert len(decode(path)[0]) == 44100


def test_the_cache_knows_how_its_entries_were_made(tmp_path, monkeypatch):
    soundfile.write(tmp_path / "a.wav", noise(), 44099)
    cache = AudioCache(tmp_path / "cache")
    entry = cache._entry(tmp_path / "a.wav")
    monkeypatch.setattr(data_prep.audio, "_VERSION", 1)
    assert cache._entry(tmp_path / "a.wav") != entry


def test_a_cache_entry_runs_no_code(tmp_path):
    soundfile.write(tmp_path / "a.wav", noise(), 44100)
    cache = AudioCache(tmp_path / "cache")
    entry = cache._entry(tmp_path / "a.wav")
    with whole(entry, "w+b") as file:  # with a checksum, for anybody can compute it
        np.save(file, np.array([print], dtype=object), allow_pickle=True)
        seal(file)
    with pytest.raises(ValueError, match="Python objects"):
        cache(tmp_path / "a.wav")


def flip(path, where, bit=0):
    content = bytearray(path.read_bytes())
    content[where] ^= 1 << bit
    path.write_bytes(content)


@pytest.mark.parametrize("where", [0, 70, 200, 20_000, -1, -41])
@pytest.mark.parametrize("filled", [True, False])
def test_a_damaged_cache_entry_is_decoded_again(tmp_path, caplog, where, filled):
    soundfile.write(tmp_path / "a.wav", noise(), 44100)
    expected = np.array(AudioCache(tmp_path / "cache")(tmp_path / "a.wav"))
    (entry,) = (tmp_path / "cache").iterdir()
    flip(entry, where, 3)
    cache = AudioCache(tmp_path / "cache")
    if filled:
        assert cache.fill([tmp_path / "a.wav"]) == {}
    assert np.array_equal(cache(tmp_path / "a.wav"), expected)
    assert f"{entry} is damaged: it is decoded again." in caplog.text
    entry.write_bytes(entry.read_bytes()[:-50])
    assert np.array_equal(AudioCache(tmp_path / "cache")(tmp_path / "a.wav"), expected)


def test_a_classifier_is_not_resampled_for_at_a_rate_without_a_simple_ratio():
    with pytest.raises(ValueError, match="reads 44099 Hz .* Set --sample_rate=44099"):
        get_domain("stft", FrontEnd(), "waveform", input_rate=44099)


@pytest.mark.parametrize(
    "name", ["...wav", "\udcff.wav", "x" * 240 + ".wav", "a\nb.wav", "#$[.wav"]
)
def test_the_cache_keeps_any_name_in_its_folder(tmp_path, name):
    soundfile.write(tmp_path / "a.wav", noise(), 44100)
    path = (tmp_path / "a.wav").rename(tmp_path / name)
    cache = AudioCache(tmp_path / "in" / "cache")
    assert len(cache(path)) == 16000 and np.array_equal(cache(path), read_audio(path, 16000))
    assert len(list((tmp_path / "in" / "cache").iterdir())) == 1
    assert {p.name for p in tmp_path.iterdir()} == {name, "in"}


def test_channels_that_cancel_are_an_error(tmp_path):
    """[x, -x] is rounding noise in mono, which normalisation would amplify into a sound."""
    x = noise()[:, 0]
    path = tmp_path / "x.wav"
    soundfile.write(path, np.stack([x, -x + 1e-5 * x[::-1]], 1), 44100, subtype="FLOAT")
    with pytest.raises(AudioError, match="its 2 channels cancel one another"):
        read_audio(path, 16000)
    soundfile.write(path, np.stack([x, -0.99 * x], 1), 44100, subtype="FLOAT")
    np.testing.assert_allclose(read_audio(path, 44100), 0.005 * x, atol=1e-6)


def test_the_loudest_part_is_found():
    samples = np.zeros(1000, np.float32)
    samples[600:700], samples[100:130] = 0.5, 0.6
    assert loudest(samples, 100) == 600
    assert loudest(samples[:50], 100) == 0
    energy = [float(np.square(samples[i : i + 250], dtype=float).sum()) for i in range(751)]
    start = loudest(samples, 250)
    assert energy[start] == max(energy)
