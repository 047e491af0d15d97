"""The benchmark of loading runs on a small data set and reports what it measured."""

import numpy as np
import soundfile

from benchmarks.loading import measure, parse, report


def test_it_measures_and_reports(tmp_path):
    (tmp_path / "audio").mkdir()
    (tmp_path / "meta").mkdir()
    lines = ["filename,fold,target,category,esc10,src_file,take"]
    for k in range(50):
        soundfile.write(tmp_path / f"audio/{k}.ogg", 0.1 * np.ones(8000), 16000)
        lines.append(f"{k}.ogg,{k // 10 + 1},{k % 10},c{k % 10},True,{k},A")
    (tmp_path / "meta" / "esc50.csv").write_text("\n".join(lines) + "\n")
    args = parse([f"--data_folder={tmp_path}", "--width=2", "--turns=1", "--seconds=0.5"])
    n_clips, rates = measure(args, tmp_path)
    assert n_clips == 30 and len(rates) == 7 and min(rates.values()) > 0
    *_, needed = rates.values()
    text = report(args, n_clips, rates, load_before=0.0)
    assert "(30 clips" in text and "busy" not in text
    for what, rate in rates.items():
        assert f"| {what} | {rate:.1f} | {rate / needed:.1f} |" in text
    assert "machine was busy** (load average 99.0" in report(args, n_clips, rates, 99.0)
