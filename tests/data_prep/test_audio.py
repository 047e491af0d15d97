"""Audio whose end is missing is an error, whatever its format; whole files of all kinds are not."""

import struct

import numpy as np
import pytest
import soundfile

from data_prep.audio import AudioCache, AudioError, cut_short, decode, read_audio

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
