"""Static pages from the templates: one file each, that needs no network and no build."""

import os
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from metrics.tables import write_text

TEMPLATES = Path(__file__).parent / "templates"


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
    write_text(text, path)
    return Path(path)


def relative_url(path, folder):
    """URL of the file ``path`` as seen from a page in ``folder``.

    By name, as a browser resolves "..", not through symbolic links.
    """
    relative = os.path.relpath(os.path.abspath(path), os.path.abspath(folder))
    return "/".join(quote(part) for part in Path(relative).parts)
