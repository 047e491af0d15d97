"""Whether a run may go on in a folder: with the same settings, and with the same inputs.

Weights and recordings are compared by what they are, not by how their place is written: another
spelling of a path, or a copy that was moved, goes on.
"""

import hashlib
import io
import json
import os
from pathlib import Path

import ruamel.yaml

from lmac.io.files import require_undamaged
from lmac.io.provenance import checkpoint_digests
from lmac.settings.compose import ConfigError
from lmac.settings.declared import declared

# What may differ when a run goes on: how long it trains, where things are, how it is computed.
_MAY_CHANGE = {
    *("number_of_epochs", "data_folder", "results_folder", "cache_folder", "num_workers"),
    *("precision", "manifest", "save_folder", "output_folder"),
    *("download", "download_url", "download_checksum"),
}
_HEAD = "# inputs: "


def dump(node):
    """A YAML tree as text."""
    text = io.StringIO()
    ruamel.yaml.YAML().dump(node, text)
    return text.getvalue().replace("...\n", "")


def inputs_line(resolved):
    """A line of comment for ``hyperparams.yaml``: digests of what lies at the paths of settings."""
    tree = ruamel.yaml.YAML().load(resolved)
    # What the run itself writes, such as its manifest, is none.
    own = f"{tree.get('output_folder')}{os.sep}"
    found = {key: _there(value) for key, value in tree.items()
             if _is_input(key) and not str(value).startswith(own)}  # fmt: skip
    return f"{_HEAD}{json.dumps({key: what for key, what in found.items() if what})}\n"


def check_same_run(folder, resolved):
    """ConfigError when ``folder`` holds a run with other settings or inputs than ``resolved``.

    Otherwise a finished run would pass for one with the new settings.
    """
    path = Path(folder) / "hyperparams.yaml"
    require_undamaged(path, "restore it, or delete it, and settings are not compared.")
    if not path.exists():
        return
    earlier = path.read_text(encoding="utf-8")
    inputs = [line for line in earlier.splitlines() if line.startswith(_HEAD)]
    inputs = json.loads(inputs[0].removeprefix(_HEAD)) if inputs else {}
    one, two = (ruamel.yaml.YAML().load(text) for text in (earlier, resolved))
    for key in (key for key in two if key in one and key not in _MAY_CHANGE):
        was, now = dump(one[key]).strip(), dump(two[key]).strip()
        if _is_input(key) and (known := inputs.get(key) or _there(one[key])):
            same, what = known == _there(two[key]), " with other files" * (was == now)
        else:
            # Only plain settings: objects and paths made of them follow.
            same, what = was == now or "\n" in now, ""
        if not same:
            raise ConfigError(
                f"{folder} holds a run with {key} {was}, now it is {now}{what}: give another "
                "--output_folder, or delete the folder to start anew."
            )


def _is_input(key):
    return key in declared() and declared()[key].kind.place and key not in _MAY_CHANGE


def _there(value):
    """What lies at a path, or at each of a list: digests of weights, else names and sizes."""
    places = [Path(place) for place in (value if isinstance(value, list) else [value]) if place]
    if not places or not all(map(os.path.exists, places)):
        return None
    return [_digest(place) for place in places]


def _digest(place):
    weights = checkpoint_digests(place)
    if not weights:
        files = sorted(path for path in place.rglob("*") if path.is_file())
        weights = {str(path.relative_to(place)): path.stat().st_size for path in files}
    return hashlib.sha256(json.dumps(weights).encode()).hexdigest()
