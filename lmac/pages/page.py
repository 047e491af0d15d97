"""Static pages from the templates: one file each, that needs no network and no build."""

import math
import os
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from lmac.explain.loudness import loudness, matching_gains
from lmac.io.files import write_text

TEMPLATES = Path(__file__).parent / "templates"


MARK = "\n<!-- Listenable maps for audio classifiers -->\n"  # ends every page
_DATA = b'<script id="data" type="application/json">'  # which pages of earlier versions have


def write_page(template, path, **values):
    """Render ``templates/<template>`` to ``path``; a reader never sees half a page.

    Everything is escaped; data go into the page through the filter ``tojson``, which leaves
    no "<" in them. Returns the path.
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined
    )
    # Names are shown as they are written, and NaN is no JSON.
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False, "allow_nan": False}
    text = environment.get_template(template).render(**values)
    path = Path(path)
    if path.is_symlink() or path.exists() and not _is_ours(path):
        raise ValueError(
            f"{path} is in the way: it is no page of this project. Move it away, or give another "
            "folder."
        )
    write_text(text + MARK, path)
    return path


def _is_ours(path):
    content = path.read_bytes() if path.is_file() else b""
    return content.rstrip().endswith(MARK.strip().encode()) or _DATA in content


def relative_url(path, folder):
    """URL of the file ``path`` as seen from a page in ``folder``.

    By name, as a browser resolves "..", not through symbolic links.
    """
    relative = os.path.relpath(os.path.abspath(path), os.path.abspath(folder))
    return "/".join(quote(part) for part in Path(relative).parts)


def sounds_data(files, reference, folder):
    """What the player needs to know of the sounds of a clip, for a page in ``folder``.

    Arguments
    ---------
    files : dict
        Name to the path of a WAV, or None for a sound that is missing.
    reference : object
        The name of the input, to which loudness is matched.
    folder : path

    Returns
    -------
    dict
        Name to its address, ``seconds``, ``level`` (RMS in dB, None for silence) and ``gain``
        (what matches its loudness); None for a sound that is missing.
    """
    measured = {key: loudness(path) for key, path in files.items() if path}
    rms = {key: value for key, (_, value) in measured.items()}
    # What is as good as silent has no loudness to match.
    gains = matching_gains({k: v for k, v in rms.items() if v > 1e-5}, rms.get(reference, 0.0))

    def sound(key, path):
        return {
            "url": relative_url(path, folder),
            "seconds": round(measured[key][0], 3),
            "level": round(20 * math.log10(rms[key]), 1) if rms[key] > 1e-5 else None,
            "gain": round(gains.get(key, 1.0), 5),
        }

    return {key: sound(key, path) if path else None for key, path in files.items()}
