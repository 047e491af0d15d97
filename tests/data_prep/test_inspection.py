"""The check finds every planted fault, names all of them at once, and finds none in sound data."""

import numpy as np
import pandas as pd
import pytest
import soundfile

from data_prep.inspection import examine, scan
from data_prep.manifest import DataError
from lmac.evaluation.runs import inspect_data

RATE = 16000


def noise(seed, level=0.1, n=RATE):
    return level * np.random.default_rng(seed).standard_normal(n)


def square(n=RATE):
    """Half of its samples stand at full scale."""
    wave = np.sin(2 * np.pi * 50 * np.arange(n) / RATE) * 2
    return np.clip(wave, -1, 1)


@pytest.fixture
def folder(tmp_path):
    """ESC-50's layout with ten clips, of which three are as they should be."""
    audio = tmp_path / "data" / "audio"
    audio.mkdir(parents=True)
    (tmp_path / "data" / "meta").mkdir()
    nan = noise(9)
    nan[5] = np.nan
    waves = {
        "good1": noise(1), "good2": noise(2, n=2 * RATE), "twin": noise(1), "sibling": noise(3),
        "other": noise(3), "silent": 0 * noise(1), "dc": noise(4) + 0.2,
        "constant": 0 * noise(1) + 0.3, "clipped": square(), "nan": nan, "cut": noise(5),
    }  # fmt: skip
    for name, wave in waves.items():
        soundfile.write(audio / f"{name}.wav", wave, RATE, subtype="FLOAT")
    content = (audio / "cut.wav").read_bytes()
    (audio / "cut.wav").write_bytes(content[: len(content) // 2])
    (audio / "zero.wav").write_bytes(b"")
    fold = {"twin": 2}
    lines = ["filename,fold,target,category,esc10,src_file,take"]
    for i, name in enumerate([*waves, "zero", "none"]):
        target = i % 2
        source = {"twin": 0, "good1": 0}.get(name, i + 1)
        lines.append(f"{name}.wav,{fold.get(name, 1)},{target},{'ab'[target]},True,{source},A")
    (tmp_path / "data" / "meta" / "esc50.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


def inspect(folder, *overrides):
    inspect_data.main(
        ["hparams/inspect.yaml", f"--data_folder={folder}/data", f"--results_folder={folder}/out"]
        + ["--out_n_neurons=2", f"--output_folder={folder}/inspection", *overrides]
    )


@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_file_of_a_few_samples_has_numbers(tmp_path, n):
    soundfile.write(tmp_path / "a.wav", np.ones(n), RATE, subtype="FLOAT")
    found = examine(tmp_path / "a.wav")
    assert (found["peak"], found["dc"], found["clipped"]) == (1, 1, float(n == 3))


def test_every_planted_fault_is_named_at_once(folder, capsys):
    with pytest.raises(
        DataError, match=r"4 of 13 clips cannot be used; .*inspection.md names them"
    ):
        inspect(folder)
    table = pd.read_csv(
        folder / "inspection" / "inspection.csv", keep_default_na=False, index_col="ID"
    )
    errors = {
        "nan": "nan.wav holds samples that are NaN",
        "cut": "cut.wav is cut short",
        "zero": "zero.wav cannot be decoded",
        "none": "none.wav does not exist",
    }
    assert set(table.index[table["error"] != ""]) == set(errors)
    text = (folder / "inspection" / "inspection.md").read_text()
    for name, message in errors.items():
        assert message in table["error"][name]
        line = next(x for x in text.splitlines() if x.startswith(f"| {name} |"))
        assert message in line and f"| {list(table.index).index(name) + 2} |" in line
    assert text in capsys.readouterr().out
    assert table["notes"][table["notes"] != ""].to_dict() == {
        "good1": "duplicate of twin in another fold",
        "twin": "duplicate of good1 in another fold",
        "sibling": "duplicate of other",
        "other": "duplicate of sibling",
        "silent": "silent",
        "dc": "DC offset",
        "constant": "constant",
        "clipped": "clipped",
    }
    assert "| duplicate in another fold | 2 | good1 (row 2), twin (row 4) |" in text
    assert "| duplicate | 2 | sibling (row 5), other (row 6) |" in text
    assert "**1 in more than one fold** (0)" in text
    assert "9 clips are shorter than 5 s" in text
    assert "| a | 6 | 1 | 7 |" in text and "| b | 6 | 0 | 6 |" in text
    assert (folder / "inspection" / "inspection.png").stat().st_size > 10_000


def test_measures_of_a_file(tmp_path):
    path = tmp_path / "a.wav"
    left = 0.5 * np.sin(2 * np.pi * 100 * np.arange(44100) / 44100)
    soundfile.write(path, np.stack([left, 0 * left + 0.01], 1), 44100, subtype="PCM_24")
    found = examine(path)
    assert found["seconds"] == 1 and found["sample_rate"] == 44100 and found["channels"] == 2
    assert found["encoding"] == "WAV PCM_24" and found["error"] == found["notes"] == ""
    assert found["peak"] == pytest.approx(0.5, abs=1e-5)
    # Mean power of both channels: (0.5^2 / 2 + 0.01^2) / 2.
    assert found["rms_db"] == pytest.approx(10 * np.log10((0.125 + 1e-4) / 2), abs=0.01)
    assert found["dc"] == pytest.approx(0.01, abs=1e-5) and found["clipped"] == 0
    soundfile.write(path, square(), RATE)
    expected = np.mean(np.abs(square()) >= 0.999)  # runs are long: their ends hardly count
    assert examine(path)["clipped"] == pytest.approx(expected, abs=0.02)


def test_the_same_sound_in_another_encoding_is_a_duplicate(tmp_path):
    wave = np.round(noise(1) * 2**14) / 2**15
    for name in ("a.wav", "b.flac"):
        soundfile.write(tmp_path / name, wave, RATE, subtype="PCM_16")
    soundfile.write(tmp_path / "c.wav", wave, RATE + 1, subtype="PCM_16")
    names = ["a.wav", "b.flac", "c.wav"]
    table = scan(({"ID": n, "wav": n, "fold": 1, "label": "x"} for n in names), tmp_path)
    assert table["notes"].tolist() == ["duplicate of b.flac", "duplicate of a.wav", ""]


def test_sound_data_passes_and_damaged_metadata_gets_one_sentence(folder):
    meta = folder / "data" / "meta" / "esc50.csv"
    lines = meta.read_text().splitlines()
    meta.write_text("\n".join([lines[0], lines[1], lines[2]]) + "\n")
    inspect(folder)
    text = (folder / "inspection" / "inspection.md").read_text()
    assert "All can be used." in text and "No silent, constant, clipped or duplicate" in text
    meta.write_text(f"{lines[0]}\n{lines[1]}\nx.wav,1,zero,a,True,1,A\n")
    with pytest.raises(DataError, match="esc50.csv, row 3: column target holds 'zero'"):
        inspect(folder)


def test_silence_where_training_looks_is_a_note(tmp_path):
    wave = np.concatenate([np.zeros(3 * RATE), noise(1)])
    soundfile.write(tmp_path / "late.wav", wave, RATE, subtype="FLOAT")
    assert examine(tmp_path / "late.wav")["notes"] == ""
    assert examine(tmp_path / "late.wav", 2.0)["notes"] == "silent in its first 2 s"
    assert examine(tmp_path / "late.wav", 2.0, "loudest")["notes"] == ""
    x = noise(2)
    soundfile.write(tmp_path / "wide.wav", np.stack([x, -x], 1), RATE, subtype="FLOAT")
    assert "channels cancel one another" in examine(tmp_path / "wide.wav")["error"]
