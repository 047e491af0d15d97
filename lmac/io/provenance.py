"""Where numbers come from: the code, the settings, the data, and the machine they came of.

Each results folder of a training or an evaluation has a ``provenance.json``: a record for every
run that added to it, begun at its start and completed at its end.
"""

import datetime
import hashlib
import json
import os
import platform
import re
import subprocess
from importlib import metadata
from pathlib import Path

from lmac.io.files import SUMS, damage, digest_of, whole, write_text

PROVENANCE = "provenance.json"
# At the top of an output folder.
WRITTEN = (PROVENANCE, SUMS, "hyperparams.yaml", "log.txt", "train_log.txt", "manifest.csv",
           "scenario.csv", "metrics.csv", "evaluation.json", "summary.csv", "table.md",
           "controls.csv", "dictionary.npz")  # fmt: skip
WRITTEN_FOLDERS = ("best", "save", "samples", "gallery")
ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = ROOT / "requirements.txt"  # of a checkout
# What may differ between two runs of one record: when they were.
_TIMES = ("started", "ended")


def _git(*words):
    if not REQUIREMENTS.is_file():  # an installed package may lie in somebody else's repository
        raise FileNotFoundError(REQUIREMENTS)
    return subprocess.run(
        ["git", *words], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout.strip()  # fmt: skip


def commit():
    """Short hash of the checkout, with ``+`` when it has changes; "unknown" outside git."""
    try:
        return _git("rev-parse", "--short", "HEAD") + (
            "+" if _git("status", "--porcelain", "-uno") else ""
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def hardware(device):
    """What it ran on, in a few words."""
    if str(device).startswith("cuda"):
        import torch

        return torch.cuda.get_device_name(device)
    return f"{os.cpu_count()} CPU cores ({platform.machine()})"


def packages():
    """Name to version of what requirements.txt (or the package) asks for, as it is installed."""
    asked = REQUIREMENTS.read_text() if REQUIREMENTS.is_file() else "\n".join(_asked())
    names = re.findall(r"^[A-Za-z][\w.-]*", asked, re.MULTILINE)
    found = {}
    for name in dict.fromkeys(names):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


def _asked():
    try:
        return metadata.requires("lmac") or []
    except metadata.PackageNotFoundError:
        return []


def _code():
    try:
        return {"commit": _git("rev-parse", "HEAD"), "dirty": bool(_git("status", "--porcelain"))}
    except (OSError, subprocess.CalledProcessError):
        return {"commit": None, "dirty": None}


def require_own(folder):
    """Make ``folder``, or take it where it is empty or of a run of ours.

    ValueError where files of others would be written over: of names that runs write, in a folder
    that no run made; and for one of these that is a link or no file.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    ours = is_own(folder)
    for name in WRITTEN:
        path = folder / name
        there = path.is_symlink() or path.exists()
        if there and (not ours or path.is_symlink() or not path.is_file()):
            raise ValueError(
                f"{path} is in the way: no run of this project wrote it there. Move it away, or "
                "give another --output_folder."
            )
    for name in WRITTEN_FOLDERS:
        if not ours and (folder / name).is_dir() and any((folder / name).iterdir()):
            raise ValueError(
                f"{folder / name} is in the way: no run of this project made it. Give another "
                "--output_folder."
            )


def mark_own(folder):
    """Say in ``folder`` that it is of a run, before anything else is written there."""
    if not is_own(folder):
        with whole(Path(folder) / PROVENANCE, "w") as file:
            file.write(json.dumps({"runs": []}) + "\n")


def is_own(folder):
    """Whether ``folder`` has the record of a run."""
    path = Path(folder) / PROVENANCE
    if not path.is_file():
        return False
    try:
        return isinstance(json.loads(path.read_bytes())["runs"], list)
    except (ValueError, KeyError, TypeError):
        return damage(path) is not None  # ours, as the list beside it says


def begin(folder, yaml, overrides, resolved, check=None):
    """Note in ``folder`` that a run begins.

    Arguments
    ---------
    folder : path
    yaml : path
        The experiment.
    overrides : dict
        Of the command line.
    resolved : str
        The resolved YAML, which ``hyperparams.yaml`` has; its digest is noted.
    check : str, optional
        Which check of an evaluation it is.

    A run that is killed and started again with the same command, code and machine stays one
    record; one that is complete is left as it is.
    """
    import torch  # here, as above: a command that only asks for the commit can do without

    record = {
        "yaml": str(yaml),
        "overrides": {key: str(value) for key, value in overrides.items()},
        "check": check,
        "settings": hashlib.sha256(resolved.encode()).hexdigest(),
        **_code(),
        "python": platform.python_version(),
        "packages": packages(),
        "platform": platform.platform(),
        "threads": torch.get_num_threads(),
        "processes": int(os.environ.get("WORLD_SIZE", 1)),
        "started": _now(),
        "ended": None,
    }
    runs = _runs(folder)
    if not (runs and _same(runs[-1], record)):
        _write(folder, [*runs, record])


def complete(hparams, device, data=None):
    """Note in ``output_folder`` that the run has ended, and what it used.

    Arguments
    ---------
    hparams : dict
        With ``output_folder``, ``manifest`` and the checkpoints that were given (``…_checkpoint``,
        ``finetune_from``).
    device : str
    data : path, optional
        The manifest of a scenario, which is noted besides that of the data set.
    """
    runs = _runs(hparams["output_folder"])
    if not runs or runs[-1]["ended"] is not None:
        return
    given = [k for k in hparams if k.endswith("_checkpoint") or k == "finetune_from"]
    clips = {} if data is None else {"scenario": digest_of(data)}
    runs[-1] |= {
        "device": str(device),
        "hardware": hardware(device),
        "data": data_digest(hparams["manifest"]) | clips,
        "checkpoints": {k: checkpoint_digests(hparams[k]) for k in sorted(given) if hparams[k]},
        "ended": _now(),
    }
    _write(hparams["output_folder"], runs)


def data_digest(manifest):
    """The number of clips of a data set, and a digest of their names, folds, labels and sizes."""
    import pandas as pd

    table = pd.read_csv(manifest, dtype=str, keep_default_na=False)
    columns = [c for c in ("ID", "fold", "label", "duration", "bytes") if c in table]
    text = table[columns].to_csv(index=False, lineterminator="\n")
    return {"number": len(table), "manifest": hashlib.sha256(text.encode()).hexdigest()}


def checkpoint_digests(checkpoint):
    """Name to SHA-256 of the weights of a checkpoint, a file or a folder of them."""
    path = Path(checkpoint)
    files = sorted(path.glob("*.ckpt")) if path.is_dir() else [path]
    return {file.name: digest_of(file) for file in files if file.is_file()}


def _same(one, two):
    return all(one.get(key) == two[key] for key in two if key not in _TIMES)


def _runs(folder):
    path = Path(folder) / PROVENANCE
    if not path.is_file() or damage(path):
        return []
    return json.loads(path.read_text(encoding="utf-8"))["runs"]


def _write(folder, runs):
    text = json.dumps({"runs": runs}, indent=2, ensure_ascii=False) + "\n"
    write_text(text, Path(folder) / PROVENANCE, checked=True)


def _now():
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
