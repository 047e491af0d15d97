"""Checkpoints: find, check, load and identify them, and what training left beside them.

A folder of trained weights, such as ``<output_folder>/best``, holds the weights, ``info.json``
(what they were trained with) and, for a classifier, ``label_encoder.txt``.
"""

import hashlib
import os
from pathlib import Path

from speechbrain.dataio.encoder import CategoricalEncoder

from lmac.classifiers.base import AudioClassifier, require_embedding_model
from lmac.core.decoder import Decoder
from lmac.core.domain import get_domain
from lmac.core.explained import ExplainedClassifier
from lmac.io.files import require_undamaged
from lmac.io.weights import EXPORTED, load_weights, training_info

# Names of the files in a SpeechBrain classifier folder, published ones included.
CHECKPOINT_FILES = {"embedding_model": "embedding_model.ckpt", "classifier": "classifier.ckpt"}
LABELS_FILE = "label_encoder.txt"
DECODER_FILE = "decoder.ckpt"


def explained_classifier(hparams):
    """The frozen classifier of an experiment, in its domain, with its weights loaded."""
    classifier = AudioClassifier(hparams["embedding_model"], hparams["classifier"])
    load_classifier(classifier, hparams["classifier_checkpoint"])
    return ExplainedClassifier(classifier_domain(hparams, hparams["domain"]), classifier)


def classifier_domain(hparams, name="stft"):
    """The domain called ``name`` of an experiment, for its classifier."""
    model = require_embedding_model(hparams["embedding_model"])
    return get_domain(
        name,
        hparams["front_end"],
        reads=model.reads,
        signal_path=hparams["signal_path"],
        input_rate=model.sample_rate,
        input_length=model.input_length,
        pad=model.pad,
        frequency_axis=model.frequency_axis,
    )


def build_decoder(factory, explained):
    """The decoder that ``factory`` makes for the representations the classifier really has.

    ValueError when that is no ``lmac.core.decoder.Decoder``.
    """
    vectors, more = explained.classifier.prompt_vectors, {}
    if vectors is not None:  # of any prompts, so that the decoder can be asked for others, too
        more["condition_size"] = vectors.shape[1]
    decoder = factory(*explained.output_sizes(), **more)
    if not isinstance(decoder, Decoder):
        raise ValueError(
            f"decoder makes a {type(decoder).__name__}: derive it from "
            "lmac.core.decoder.Decoder, whose file says how a decoder is built and called."
        )
    return decoder


def weights_file(checkpoint, name, key, script):
    """The file of trained weights: ``checkpoint`` itself, or ``name`` in that folder.

    ValueError when ``checkpoint`` is None, FileNotFoundError when it is not there; both name
    ``key``, the setting that it comes from, the latter also the ``script`` that trains it.
    """
    if checkpoint is None:
        raise ValueError(f"{key} is not set: give the folder <output_folder>/best of {script}.")
    path = Path(checkpoint)
    path = path / name if path.is_dir() else path
    if not path.is_file():
        raise FileNotFoundError(
            f"{key}: there is no {path}; train it with {script}, or give the folder "
            "<output_folder>/best of a finished run."
        )
    return path


def decoder_file(checkpoint, key):
    """The file of an L-MAC decoder's weights; see ``weights_file``."""
    return weights_file(checkpoint, DECODER_FILE, key, "train_lmac.py or lmac.Explainer.fit")


def load_decoder(decoder, explained, path, key):
    """Load the weights at ``path`` into ``decoder``; ValueError when they are not its own.

    Weights of another architecture are refused, and, where ``info.json`` lies beside them, those
    of another domain, signal path, classifier or kind of decoder: the shapes alone would not tell.
    """
    load_weights(decoder, path, "L-MAC decoder")
    require_same_training(path, key, explained_facts(explained) | decoder_facts(decoder))
    return decoder


def explained_facts(explained):
    """What weights that were trained on ``explained`` (an ExplainedClassifier) are good for."""
    return {
        "domain": explained.domain.name,
        "signal_path": signal_path(explained.domain),
        "front_end": front_end_facts(explained.domain.front_end),
        "classifier_weights": weights_digest(explained.classifier),
    }


def front_end_facts(front_end):
    """What tells spectrograms apart: Hz, and samples of FFT, window and hop; mel bands."""
    stft = front_end.stft
    return {
        "sample_rate": front_end.sample_rate,
        "n_fft": front_end.n_fft,
        "window": stft.win_length,
        "hop": stft.hop_length,
        "n_mels": front_end.n_mels,
    }


def decoder_facts(decoder):
    """What tells decoders apart: the class and its settings."""
    return {"decoder": {"class": type(decoder).__name__, **decoder.settings}}


def signal_path(domain):
    """``"waveform"`` where the classifier gets the masked spectrogram's sound, else ``"direct"``.

    As it is, whatever the setting: a classifier that reads waveforms has no direct path.
    """
    return "waveform" if domain.needs_phase else "direct"


def training_facts(hparams, domain, *keys, augmented=True):
    """What every training records of itself in ``info.json``.

    Arguments
    ---------
    hparams : dict
        Of ``hparams/training.yaml`` and a file that names it.
    domain : lmac.core.domain.Domain
        Of the training.
    *keys : str
        Settings that are recorded besides, under their own names.
    augmented : bool
        False when the clips were used as they are: a head trained on embeddings.

    Returns
    -------
    dict
        Data set, folds, seed, signal path, ``augmentation`` and ``settings``, those of the
        classifier (``lmac.settings.recorded``). Of the folder of noise the last
        two parts are ``noise_folder``; ``noise_path`` is where it lies here, for comparison, and
        is never published.
    """
    shared = ("dataset", "train_folds", "valid_folds", "seed")
    return {
        **{key: hparams[key] for key in (*shared, *keys)},
        "signal_path": signal_path(domain),
        "augmentation": _augmentation(hparams, augmented),
        "settings": hparams["classifier_settings"],
    }


def _augmentation(hparams, augmented):
    facts = {key: hparams[key] for key in ("mix_probability", "mix_snr_db", "gain_db")}
    facts |= {key: hparams[key] for key in ("noise_probability", "noise_snr_db")}
    noise = hparams["noise_folder"] or None
    if not augmented:
        facts |= {"mix_probability": 0.0, "gain_db": [0, 0]}
        noise = None
    elif hparams.get("speed_perturbation", [100]) != [100]:
        facts["speed_perturbation"] = hparams["speed_perturbation"]
    if noise is not None:
        noise = Path(os.path.abspath(noise))
    facts["noise_folder"] = noise and "/".join(noise.parts[-2:])
    facts["noise_path"] = noise and str(noise.resolve())
    return facts | ({"mixup": hparams["mixup"]} if "mixup" in hparams else {})


def require_same_training(path, key, here):
    """ValueError when ``info.json`` beside ``path`` tells something else than ``here`` (dict).

    ``key`` is the setting that ``path`` comes from. What is not recorded is not compared.
    """
    for what, then, now in _differences(training_info(path), here):
        raise ValueError(
            f"{key}: {path} was trained for {what} {then}, not for {now}: give one that belongs to "
            "--classifier_checkpoint, --domain and the other settings."
        )


def _differences(known, here):
    """(name, value in ``known``, value in ``here``) of what is in both and differs, in depth."""
    for what in here.keys() & known.keys():
        if isinstance(here[what], dict) and isinstance(known[what], dict):
            for part, then, now in _differences(known[what], here[what]):
                yield f"{what} {part}", then, now
        elif known[what] != here[what]:
            yield what, known[what], here[what]


def weights_digest(module):
    """Twelve hexadecimal digits that identify the weights of ``module``."""
    return digest_of_state(module.state_dict())


def digest_of_state(state):
    """The same of a state dict."""
    digest = hashlib.sha256()
    for name, value in sorted(state.items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]


def class_names(classifier_checkpoint, expected, classifier=None):
    """Class names in the order of the classifier's outputs.

    Arguments
    ---------
    classifier_checkpoint : path or None
        Its ``label_encoder.txt`` tells the order; without one it is that of ``expected``.
    expected : list of str
        Names of the data set; ValueError when the classifier's are others.
    classifier : AudioClassifier, optional
        One that knows its classes has them in ``labels``, and they come first.
    """
    names = None if classifier is None else classifier.labels
    source = "The classifier"
    if names is None:
        source = Path(classifier_checkpoint or "") / LABELS_FILE
        if classifier_checkpoint is None or not source.is_file():
            return expected
        names = read_labels(classifier_checkpoint)
    if set(names) != set(expected):
        odd = sorted(set(names) ^ set(expected))
        raise ValueError(
            f"{source} and the data set have different classes ({', '.join(odd[:5])}): is this "
            "the classifier of another data set?"
        )
    return names


def load_classifier(classifier, folder):
    """Load a folder with ``embedding_model.ckpt`` and ``classifier.ckpt`` (SpeechBrain's names).

    A classifier that came with its weights is left as it is.
    """
    if classifier.embedding_model.complete:
        return classifier
    if folder is None:
        raise ValueError(
            "classifier_checkpoint is not set: add --classifier_checkpoint=…, the folder "
            "<output_folder>/best of train_classifier.py, or one with "
            f"{' and '.join(CHECKPOINT_FILES.values())}."
        )
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(
            f"classifier_checkpoint: no folder {folder}; expected the folder that holds "
            f"{' and '.join(CHECKPOINT_FILES.values())}, such as <output_folder>/best."
        )
    for part, name in CHECKPOINT_FILES.items():
        load_weights(getattr(classifier, part), folder / name, part)
    return classifier


def read_labels(folder):
    """Class names, in the order of the classifier's outputs, from ``label_encoder.txt``.

    SpeechBrain's ``CategoricalEncoder`` wrote it into ``folder``, beside the weights. Raises
    FileNotFoundError when it is missing and ValueError when it does not number the names from 0.
    """
    path = Path(folder) / LABELS_FILE
    if not path.is_file():
        raise FileNotFoundError(
            f"classifier_checkpoint: there is no {path}, the file with the class names; give the "
            "folder <output_folder>/best of train_classifier.py, or a published one with it."
        )
    require_undamaged(path, EXPORTED)
    try:
        names = CategoricalEncoder.from_saved(path).ind2lab
    except (ValueError, SyntaxError, KeyError) as error:
        raise ValueError(
            f"{path} is not a SpeechBrain label encoder: expected lines like 'dog' => 0, then one "
            "of = signs and 'starting_index' => 0."
        ) from error
    if not names or sorted(names) != list(range(len(names))):
        raise ValueError(f"{path} must number its classes 0, 1, 2 …, got {sorted(names)}.")
    return [str(names[i]) for i in range(len(names))]


def labels_of(classifier, folder):
    """Class names that an AudioClassifier knows, else those of ``read_labels(folder)``.

    ValueError where neither has them.
    """
    if classifier.labels is None and folder is None:
        raise ValueError(
            "The names of the classes are not known: add them (labels: […]) to embedding_model in "
            "the classifier's YAML."
        )
    return classifier.labels or read_labels(folder)


def count_labels(folder):
    """Number of classes in ``label_encoder.txt``: ``out_n_neurons`` where there is no data set.

    0 without a folder, for classifiers that came with their weights.
    """
    return 0 if folder is None else len(read_labels(folder))
