"""What the folders of given checkpoints know, so that it need not be said again.

A training records in ``info.json`` which classifier and decoder it was of. Their settings are taken
from there; one that is said otherwise is refused by name. Only numbers, switches and the names of
files in hparams/ are taken, for a folder of weights is nothing that runs code.
"""

import re
from pathlib import Path

from lmac.io.weights import training_info
from lmac.settings.kinds import tag_of

# Of these settings, the first that names a folder tells the decoder.
DECODERS = ("lmac_checkpoint", "lmac_ft_checkpoint", "lmac_zs_checkpoint", "finetune_from")
DECODER_FILES = {"TopDownDecoder": "topdown", "EncoderDecoder": "encoder", "PSIDecoder": "psi"}
_NOT_OF_THE_NETWORK = {"freeze_embedding", "out_n_neurons"}


def record(tree, keys, slot):
    """What ``info.json`` keeps of a classifier's settings.

    Arguments
    ---------
    tree : dict
        Resolved settings.
    keys : iterable of str
        Those of the classifier.
    slot : str or None
        Its YAML: of one in hparams/ from there, of another its name.

    Returns
    -------
    dict
        ``classifier_yaml``, ``embedding_model`` and ``classifier`` (names of classes), and plain
        numbers and switches.
    """
    classes = {key: tag_of(tree.get(key)) for key in ("embedding_model", "classifier")}
    plain = {
        key: tree[key] for key in sorted(keys) if key in tree and key not in _NOT_OF_THE_NETWORK
    }
    return {
        "classifier_yaml": slot,
        **{key: tag.partition(":")[2] for key, tag in classes.items() if tag},
        **{key: _plain(value) for key, value in plain.items() if _is_plain(value)},
    }


def known_from(tree):
    """What the checkpoints that ``tree`` (merged settings) names know.

    Returns
    -------
    list of (path, dict)
        Folder, and its settings by name: slots (a file below hparams/), classes of what is built
        (``embedding_model``, ``classifier``), numbers and switches, and the decoder's ``domain``.

    Raises ValueError for an ``info.json`` that is damaged.
    """
    found = []
    place = _place(tree, "classifier_checkpoint")
    settings = training_info(place).get("settings")
    for key in DECODERS:
        folder = _place(tree, key)
        info = training_info(folder)
        if isinstance(info.get("decoder"), dict):
            found.append((folder, _of_decoder(info)))
            if settings is None:  # the classifier came with its weights
                place, settings = folder, info.get("settings")
            break
    if isinstance(settings, dict):
        found.append((place, _of_classifier(settings)))
    return found


def _of_classifier(settings):
    names = {key: settings[key] for key in ("embedding_model", "classifier") if key in settings}
    known = {key: value for key, value in settings.items() if _is_plain(value)} | names
    slot = settings.get("classifier_yaml")
    if isinstance(slot, str):
        known["classifier_yaml"] = slot
    return known


def _of_decoder(info):
    renamed = {"gain": "logit_gain"}
    known = {
        f"decoder_{renamed.get(key, key)}": value
        for key, value in info["decoder"].items()
        if _is_plain(value)
    }
    if (name := info["decoder"].get("class")) in DECODER_FILES:
        known["decoder_yaml"] = f"decoders/{DECODER_FILES[name]}.yaml"
    if info.get("domain") in ("stft", "mel"):
        known["domain"] = info["domain"]
    return known


def _place(tree, key):
    """The folder that ``key`` names, where it is text, references filled in; else None."""
    value = tree.get(key)
    if tag_of(value) == "!ref":
        value = value.value
    for _ in range(5):
        if not isinstance(value, str) or "<" not in value:
            break
        value = re.sub("<([^<>]*)>", lambda name: _text(tree.get(name[1]), name[0]), value)
    return value if isinstance(value, str) and Path(value).exists() else None


def _text(value, otherwise):
    if tag_of(value) == "!ref":
        return str(value.value)
    return str(value) if isinstance(value, str | int | float) else otherwise


def _is_plain(value):
    return tag_of(value) is None and (
        isinstance(value, bool | int | float)
        or isinstance(value, list)
        and all(_is_plain(v) for v in value)
    )


def _plain(value):
    """Python's own types in the place of ruamel's."""
    if isinstance(value, list):
        return [_plain(v) for v in value]
    return next(kind(value) for kind in (bool, int, float) if isinstance(value, kind))
