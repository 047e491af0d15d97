"""Small data sets in the published folder layouts, written with soundfile; and the recipes."""

from pathlib import Path

import numpy as np
import soundfile

from lmac.settings.compose import stages_of

CLASSES = (
    *("air_conditioner", "car_horn", "children_playing", "dog_bark", "drilling"),
    *("engine_idling", "gun_shot", "jackhammer", "siren", "street_music"),
)
US8K_HEADER = "slice_file_name,fsID,start,end,salience,fold,classID,class\n"
ESC50_HEADER = "filename,fold,target,category,esc10,src_file,take\n"


def sound(seconds, rate, channels=1, pitch=440.0, seed=0):
    """A noisy tone [samples, channels] below full scale; channels differ."""
    n = round(seconds * rate)
    noise = 0.1 * np.random.default_rng(seed).uniform(-1, 1, (n, channels))
    tone = np.sin(2 * np.pi * pitch * np.arange(n) / rate)
    return noise + tone[:, None] * np.linspace(0.5, 0.3, channels)


def write_sound(path, seconds=1.0, rate=16000, channels=1, subtype="PCM_16", pitch=440.0, seed=0):
    """A file of ``sound``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, sound(seconds, rate, channels, pitch, seed), rate, subtype=subtype)


def us8k_row(name, fsid, seconds, fold, number):
    return f"{name},{fsid},0.0,{seconds},1,{fold},{number},{CLASSES[number]}\n"


def write_urbansound8k(folder, folds=range(1, 11), classes=range(3), seconds=1.0, rate=8000):
    """A clip for each of ``folds`` and ``classes``, each of a recording of its own."""
    lines = [US8K_HEADER]
    for fold in folds:
        for number in classes:
            fsid = 1000 + 10 * fold + number
            name = f"{fsid}-{number}-0-0.wav"
            write_sound(folder / "audio" / f"fold{fold}" / name, seconds, rate,
                        pitch=300.0 * (number + 1), seed=fsid)  # fmt: skip
            lines.append(us8k_row(name, fsid, seconds, fold, number))
    (folder / "metadata").mkdir()
    (folder / "metadata" / "UrbanSound8K.csv").write_text("".join(lines))
    return folder


def write_esc50(folder, folds=range(1, 6), targets=(0, 1, 10), seconds=1.0, rate=8000):
    """As above in ESC-50's layout; all classes are of ESC-10."""
    lines = [ESC50_HEADER]
    for fold in folds:
        for target in targets:
            name = f"{fold}-{100 * fold + target}-A-{target}.wav"
            write_sound(folder / "audio" / name, seconds, rate, pitch=200.0 * (target + 1),
                        seed=100 * fold + target)  # fmt: skip
            lines.append(f"{name},{fold},{target},class{target},True,{100 * fold + target},A\n")
    (folder / "meta").mkdir()
    (folder / "meta" / "esc50.csv").write_text("".join(lines))
    return folder


def write_both(folder, **options):
    """Both of them, as ``data_prep.esc10_urbansound8k`` reads them."""
    write_esc50(folder / "ESC-10", **options)
    write_urbansound8k(folder / "UrbanSound8K", **options)
    return folder


def recipe_stages():
    """Every YAML of a recipe, or stage of it, that a command runs: ``recipe.yaml:lmac``."""
    found = []
    for file in sorted(Path("recipes").glob("*/*.yaml")):
        found += [Path(f"{file}:{stage}") for stage in stages_of(file)] or [file]
    names = [str(path.name).rpartition(":")[2] for path in found]
    return [path for path, name in zip(found, names, strict=True) if not name.startswith("common")]
