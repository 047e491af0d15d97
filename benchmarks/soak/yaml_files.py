"""YAML files as editors, generators and attackers leave them.

A trial survived when the file is read as it says, or refused within two seconds in one sentence
that names it; nothing that it names is called on the way.
"""

import random
import time

from lmac.settings.compose import ConfigError
from lmac.settings.load import settings

WHAT = "YAML files: encodings, cut and shuffled text, depth, size, aliases, odd keys, loops"
COUNT = 400
SHORT = 40
SECONDS = 2.0  # the bound is one; machines that are busy take longer

GOOD = "extends: {base}\nnumber_of_epochs: 3\nlr: 0.001\n"
KEYS = ("? [1, 2]\n: 3\n", "1: 2\n", "null: 3\n", "true: 1\n", "'': 1\n", "é☃: 1\n", "a b: 1\n",
        "!!binary aGk=: 1\n", "<<: 1\n", "2026-01-01: 1\n")  # fmt: skip


def trials(count, seed, folder):
    """Kinds in turn."""
    generator = random.Random(seed)
    from lmac.settings.compose import HPARAMS

    good = GOOD.format(base=HPARAMS / "classifier.yaml")
    kinds = list(KINDS.items())
    for k in range(count):
        name, make = kinds[k % len(kinds)]
        path = folder / f"{k}.yaml"
        make(path, good, generator)
        yield f"{k}: {name}", _tried(path)
        path.unlink(missing_ok=True)


def _tried(path):
    began = time.process_time()
    try:
        found = settings(path, {"data_folder": "/data"})
    except (ConfigError, FileNotFoundError, ValueError) as error:
        text = str(error)
        if "\n" in text.strip() or path.name not in text:
            return f"no sentence that names the file: {text[:300]}"
    except Exception as error:  # whatever it is, it is no sentence
        return f"{type(error).__name__}: {str(error)[:200]}"
    else:
        if found.get("number_of_epochs") not in (3, 7):
            return f"read as {found.get('number_of_epochs')}"
    took = time.process_time() - began
    return f"took {took:.1f} s" if took > SECONDS else None


def _bytes(path, text, generator):
    data = bytearray(text.encode())
    for _ in range(generator.randrange(1, 4)):
        data[generator.randrange(len(data))] = generator.randrange(128, 256)
    path.write_bytes(data)


def _encoding(path, text, generator):
    code = generator.choice(["utf-16", "utf-32", "latin-1", "cp500"])
    path.write_bytes((text + "# é\n").encode(code))


def _null(path, text, generator):
    where = generator.randrange(len(text))
    path.write_text(text[:where] + generator.choice("\0\x07\x1b\x7f\ufffe") + text[where:])


def _cut(path, text, generator):
    # Within a line, so that what is left is no whole file that says less.
    path.write_text(text + "valid_folds: [" + "1, " * generator.randrange(3))


def _depth(path, text, generator):
    n = generator.choice([100, 1000, 20000])
    path.write_text(text + "x: " + "[" * n + "]" * n + "\n")


def _keys(path, text, generator):
    path.write_text(text + generator.choice(KEYS))


def _many(path, text, generator):
    path.write_text(text + "".join(f"k{i}: {i}\n" for i in range(20000)))


def _comments(path, text, generator):
    path.write_text(text + ("# " + "x" * 98 + "\n") * 50000)


def _aliases(path, text, generator):
    lines = ["a0: &a0 [x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 10)]
    path.write_text(text + "\n".join(lines) + "\n")


def _number(path, text, generator):
    path.write_text(text + "seed: " + "9" * generator.choice([400, 5000, 100000]) + "\n")


def _extends(path, text, generator):
    path.write_text("extends: [" + ", ".join([path.name] * generator.choice([1, 1500])) + "]\n")


def _link(path, text, generator):
    path.symlink_to(path.name)


def _include(path, text, generator):
    path.write_text(text + "x: !include:/etc/passwd\n")


def _whole(path, text, generator):
    path.write_text(text.replace("epochs: 3", "epochs: 7") if generator.random() < 0.5 else text)


KINDS = {
    "bytes that are no UTF-8": _bytes, "another encoding": _encoding, "control characters": _null,
    "a list that does not end": _cut, "deep nesting": _depth, "a key that is no name": _keys,
    "20000 keys": _many, "5 MB of comments": _comments, "aliases of aliases": _aliases,
    "a number of thousands of digits": _number, "a file that extends itself": _extends,
    "a link to itself": _link, "an include": _include, "as it should be": _whole,
}  # fmt: skip
