"""Every setting of every YAML, and SpeechBrain's run options: one line each, in groups.

A line has the name, what it takes (:mod:`lmac.settings.kinds`), what it means and [its unit]. That
is all there is to declaring one: it is then checked wherever it is set, and shown by ``--help``
and ``lmac settings``. How settings depend on one another is in :mod:`lmac.settings.rules`.
Defaults are in the YAML files.
"""

import re
from dataclasses import dataclass
from functools import cache

from data_prep.scenario_kinds import SCENARIOS
from lmac.settings.kinds import (
    ALL_BUILT,
    BUILT,
    COUNT,
    DECIBEL,
    DECIBEL_RANGE,
    FLAG,
    FOLD,
    FOLDS,
    NAMES,
    NOT_NEGATIVE,
    NULL,
    PLACE,
    SEED,
    SHARE,
    TEXT,
    WHOLE,
    WIDTH,
    Kind,
    list_of,
    mapping_of,
    number,
    one_of,
    text,
    whole,
)

PRECISION = one_of("fp32", "fp16", "bf16")
DOMAIN = one_of("stft", "mel")
SECONDS = number(above=0, high=3600)
ABOVE_0 = number(above=0, high=1)
DEVICE = text(
    "cpu, cuda, a GPU such as cuda:1, or mps",
    pattern=r"^(cpu|(cuda|mps|xpu|npu)(:\d{1,3})?)$",
)
CHECKSUM = text(
    "md5: and 32 or sha256: and 64 hexadecimal digits",
    pattern=r"^\s*((?i:md5):[0-9a-fA-F]{32}|(?i:sha256):[0-9a-fA-F]{64})\s*$",
)
CLASSES = list_of(TEXT, "a list of class names, which may be empty", empty=True)
PLACES = list_of(PLACE, "a list of folders, which may be empty", empty=True)
PROMPTS = (TEXT | list_of(TEXT) | mapping_of(TEXT, "")).saying(
    "prompts separated by commas, a list of them, or a mapping of class names to them"
)
PHRASES = mapping_of(list_of(TEXT), "a mapping of prompts to lists of other words")
SPEEDS = list_of(whole(50, 200))
LAYERS = (list_of(TEXT, empty=True) | mapping_of(TEXT | NULL, "")).saying(
    "a list of layers, or a mapping of each to its axes, such as {layers.0: BTC}"
)
BUILT_LIST = Kind(list[BUILT.type], "a list of what YAML builds", built=True)


class Run:
    """Run and folders"""

    seed: SEED = "of all random numbers: weights, order, augmentation, clips of a scenario"
    dry_run: FLAG = "try everything on a few clips, say what would be run, and leave nothing"
    results_folder: PLACE = "where everything is written, unless a folder of its own is given"
    output_folder: PLACE = "where this run writes"
    save_folder: PLACE = "checkpoints of a training, to go on from"
    cache_folder: PLACE | NULL = "decoded audio and embeddings; null decodes at every run"
    manifest: PLACE = "CSV of the data set's clips, written anew when they change"
    batch_size: whole(1, 65536) = "clips (explain.py: windows) at a time"
    num_workers: whole(0, 256) = "processes that load audio beside this one"
    precision: PRECISION = "of the networks' arithmetic"


class Data:
    """Data set (--dataset_yaml)"""

    dataset: TEXT = "its name in tables"
    data_folder: PLACE = "where the data set is"
    train_folds: FOLDS = "clips that are trained on"
    valid_folds: FOLDS = "clips that select the checkpoint"
    test_folds: FOLDS = "clips of the final test"
    signal_length_s: SECONDS = "length that every clip is cut or padded to [s]"
    crop: one_of("start", "loudest") = "what is used of a clip that is longer"
    out_n_neurons: whole(0, 100000) = "number of classes; 0 where the classifier knows its own"
    esc10_only: FLAG = "only the ten classes of ESC-10"
    esc50_subfolder: PLACE = "folder of ESC-10 or ESC-50 in data_folder"
    urbansound8k_subfolder: PLACE = "folder of UrbanSound8K in data_folder"
    split_fold: FOLD | NULL = "half of its recordings become fold 10 + k; null: none"
    without_classes: CLASSES = "classes whose clips are left out"
    labels_csv: PLACE | NULL = "CSV: file, label[, fold, source]; null: folders are classes"
    clips_per_class: whole(1, 10000) = "generated clips of each class"
    background_folder: PLACE | NULL = "data set that planted cues are mixed into"
    backgrounds: BUILT | NULL = "function that prepares it; null: built-in backgrounds"
    shortcut_class: TEXT | NULL = "its class that is given away by a cue; null: cues decide"
    planted_snr_db: DECIBEL_RANGE = "level of planted cues in training [dB]"
    tested_snr_db: list_of(DECIBEL) = "and in tests [dB]"
    distractor: SHARE = "share of clips with a further sound, which says nothing"
    download: FLAG = "fetch the data set where data_folder does not exist"
    download_url: TEXT = "its archive"
    download_checksum: CHECKSUM | NULL = "of the archive; null accepts any"
    prepare_data: BUILT = "function that writes the manifest"


class Classifier:
    """Classifier (--classifier_yaml)"""

    classifier_checkpoint: PLACE | NULL = "folder of its weights; null: it brings its own"
    classifier_name: TEXT = "its name in tables"
    classifier_weights: PLACE | NULL = "file of its published weights, to start from"
    classifier_labels: PLACE = "CSV of the names of its classes"
    head_scale: number(above=0, high=1000) = "factor of a cosine head's cosines"
    classifier_width: WIDTH = "channels of its first layers, which the others are multiples of"
    emb_dim: whole(1, 2**20) = "size of its embedding"
    head_scale: number(above=0, high=1000) = "factor of a cosine head's cosines"
    classifier_source: PLACE = "folder, or name on the Hugging Face hub, that it comes from"
    classifier_layers: LAYERS | NULL = "layers that decoders and GradCAM read, finest first"
    classifier_frequency_axis: one_of("mel", "linear") = "of those layers that have one"
    freeze_embedding: FLAG = "train only the head, on embeddings that are computed once"
    prompts: PROMPTS = "of a zero-shot classifier, its classes"
    prompt_phrases: PHRASES = "other words for each, in training"
    prompt_templates: NAMES = "sentences that a prompt is put into, at {}"
    text_model: PLACE | NULL = "sentence-transformers model; null: MiniLM's package"
    joint_size: whole(1, 65536) = "of the space of sounds and texts"
    train_text: FLAG = "train the projection of texts, too"
    embedding_model: BUILT = "network from features to embedding and representations"
    classifier: BUILT = "head from embedding to logits"


class FrontEnd:
    """Front end and domain"""

    domain: DOMAIN = "spectrogram that the mask acts on; mel has no sound"
    signal_path: one_of("direct", "waveform") = "explanations are read as spectrograms, or sounds"
    sample_rate: whole(1000, 384000) = "of all audio in the method [Hz]"
    n_fft: whole(16, 65536) = "size of the FFT [samples]"
    win_length: number(above=0, high=10000) = "window of the STFT [ms]"
    hop_length: number(above=0, high=10000) = "hop of the STFT [ms]"
    n_mels: whole(1, 4096) = "mel bands that the classifier reads"
    front_end: BUILT = "STFT, its inverse and the mel bands"


class Decoder:
    """Decoder (--decoder_yaml)"""

    decoder: BUILT = "network from representations to mask"
    decoder_hidden: whole(1, 4096) = "channels of its pyramid"
    decoder_detail: whole(1, 4096) = "channels at the finest resolution"
    decoder_head: one_of(1, 3, 5, 7) = "width of the last convolution, there"
    decoder_logit_gain: number(above=0, high=100) = "factor of its output, the mask's logits"
    decoder_conditioned: FLAG = "condition it on the target class"
    decoder_reads_input: FLAG = "also give it the spectrogram; the paper's reads none"


class Optimiser:
    """Training"""

    number_of_epochs: whole(1, 1000000) = "passes over the training clips"
    lr: number(above=0, high=10) = "learning rate; its peak with one_cycle"
    weight_decay: number(0, 1) = "of the optimiser"
    classification_loss: BUILT = "function of a classifier's outputs and classes"
    opt_class: BUILT = "optimiser"
    lr_schedule: BUILT = "learning rate over time"
    epoch_counter: BUILT = "counts epochs, to go on from"
    checkpointer: BUILT = "keeps checkpoints"
    train_logger: BUILT = "writes train_log.txt"


class Augmentation:
    """Augmentation of training clips"""

    mix_probability: SHARE = "share of clips that get another clip mixed in"
    mix_snr_db: DECIBEL_RANGE = "level of the clip above what is mixed in [dB]"
    noise_folder: PLACE | NULL = "recordings that are mixed in instead; null: none"
    noise_probability: SHARE = "share of clips that get noise of noise_folder"
    noise_snr_db: DECIBEL_RANGE = "level of the clip above that noise [dB]"
    speed_perturbation: SPEEDS = "speeds of training clips, one for each batch [%]"
    gain_db: DECIBEL_RANGE = "gain after peak normalisation [dB]"
    mixup: number(0, 100) = "parameter of mixup's Beta; 0: no mixup"
    time_drop: BUILT = "SpecAugment in time"
    frequency_drop: BUILT = "SpecAugment in frequency"
    spec_augment: BUILT_LIST | NULL = "what is dropped of spectrograms; null: nothing"
    audio_cache: BUILT = "reader of audio files"
    noise: BUILT | NULL = "source of noise, made of noise_folder"
    augment: BUILT | NULL = "augmentation of waveforms; null: none"


class Loss:
    """Loss of L-MAC"""

    l_in: NOT_NEGATIVE = "weight of the explanation's cross-entropy"
    l_out: NOT_NEGATIVE = "weight of the remainder's cross-entropy, which is to be high"
    out_share: ABOVE_0 = "share of each batch it is computed for"
    l_sparse: NOT_NEGATIVE = "weight of the mean of the mask"
    l_consistency: NOT_NEGATIVE = "weight of how far masks change when clips are later and softer"
    l_transfer: NOT_NEGATIVE = "weight of the cross-entropy of transfer_classifiers"
    l_guidance: NOT_NEGATIVE = "weight of the guidance towards the clean source; 0: stage 1"
    cc_th: number(-1, 1) = "correlation with the clean source from which on clips are guided"
    bin_th: SHARE = "share of the peak above which a cell is of the source (bce)"
    guidance: one_of("bce", "mse") = "distance to the clean source"
    finetune_from: PLACE | NULL = "folder of a decoder to start from; stage 2 needs one"
    lmac_loss: BUILT = "the loss"
    brain: BUILT = "what trains the decoder"


class Target:
    """Target class or prompt"""

    target_decision: SHARE = "share of training clips whose target is the classifier's decision"
    target_source: SHARE = "share whose target is its decision on one of the two sounds"
    target_probable: SHARE = "share whose target is its second most probable class"
    target_classes: BUILT | NULL = "draws the target of a clip; null: the decision"
    l_absent: NOT_NEGATIVE = "weight of what an absent class must not become"
    absent_sparsity: NOT_NEGATIVE = "how much sparser the mask of an absent class has to be"
    l_leak: NOT_NEGATIVE = "weight of keeping more than the target class has in the mixture"
    l_energy: NOT_NEGATIVE = "the same of magnitudes, in which the loudest cells count most"
    prior_weight: SHARE = "how much of p counts as presence of a class that was not mixed"
    presence_threshold: ABOVE_0 = "probability from which on a sound in the mixture counts as there"
    prompts_per_sound: whole(1, 1000) | NULL = "masks of each sound, each for a prompt; null: one"
    l_similarity: NOT_NEGATIVE = "weight of the similarity of prompt and sound, to be kept"
    asked_snr_db: list_of(DECIBEL) = "of the target to the contaminant (lmac asked) [dB]"
    asked_p: SHARE = "both classes are targets where both have this probability"


class L2I:
    """L2I"""

    n_components: whole(1, 16384) = "of the NMF dictionary"
    nmf_max_frames: COUNT = "frames that the dictionary is learnt from, at most"
    nmf_tolerance: number(above=0, high=1) = "relative progress at which NMF stops"
    nmf_max_epochs: whole(1, 1000000) = "passes of the NMF, at most"
    l2i_hidden: WIDTH = "channels of its network"
    alpha: NOT_NEGATIVE = "weight of the mean squared error"
    beta: NOT_NEGATIVE = "weight of the mean activation"
    gamma: NOT_NEGATIVE = "weight of the fidelity"
    l2i_loss: BUILT = "the loss"


class PIQ:
    """PIQ"""

    piq_hidden: WIDTH = "channels of its network"
    piq_codes: whole(1, 1048576) = "of its codebook, shared by the classes"
    piq_layer: whole(-1000, 1000) = "representation that it reads, finest 0, coarsest -1"
    piq_threshold: SHARE = "of a clip's largest cell, above which its mask has to be 1"
    piq_loss: BUILT = "the loss"


class Methods:
    """Methods that explain"""

    methods: NAMES = "which of the interpreters explain"
    interpreters: ALL_BUILT = "every method by name"
    lmac_checkpoint: PLACE | NULL = "folder of the decoder, for L-MAC"
    lmac_ft_checkpoint: PLACE | NULL = "folder of the fine-tuned decoder, for L-MAC FT"
    lmac_presence_threshold: ABOVE_0 | NULL = "below it masks are faded; null: as in the training"
    lmac_zs_checkpoint: PLACE | NULL = "folder of a decoder conditioned on prompts, for L-MAC-ZS"
    l2i_checkpoint: PLACE | NULL = "folder of l2i.ckpt, for L2I"
    piq_checkpoint: PLACE | NULL = "folder of piq.ckpt, for PIQ"
    relevance_threshold: SHARE = "of L2I's components, over that of the largest"
    refine_steps: COUNT = "gradient steps of L-MAC refined on the clip itself"
    refine_rate: number(above=0, high=10) = "of these, in the mask's logits"
    smoothgrad_samples: whole(1, 100000) = "noisy inputs of SmoothGrad"
    smoothgrad_noise: number(0, 100) = "their standard deviation, over the range of the input"
    ig_steps: whole(1, 100000) = "points of Integrated Gradients"
    shap_samples: whole(1, 100000) = "random points of SHAP"
    best_form: one_of("signed", "absolute") = "what counts of an attribution at its best"
    best_area: SHARE | TEXT = "share of cells that it keeps, or a method, such as L-MAC; own"
    cam_layer: whole(-1000, 1000) = "representation that GradCAM reads, finest 0, coarsest -1"


class Evaluation:
    """Evaluation"""

    scenario: one_of(*SCENARIOS) = "which clips are explained"
    target_folds: FOLDS = "clips that are explained"
    contaminant_folds: FOLDS = "clips that are mixed in (mixtures)"
    contaminant_folder: PLACE | NULL = "recordings that are mixed in (id, noise, speech)"
    transfer_classifiers: PLACES = "classifiers that explanations are shown to (audit, l_transfer)"
    audit_clips: COUNT | NULL = "clips of python -m lmac audit and planted_cues; null: all"
    held_out_classes: NAMES = "never trained on (python -m lmac held_out)"
    held_out_clips: COUNT | NULL = "of each of them; null: all"
    last_contaminants: COUNT | NULL = "only so many of them, from the end; null: all"
    scenario_manifest: PLACE = "CSV of the clips, drawn once"
    scenario_seed: SEED = "of the clips that are drawn"
    listen: WHOLE = "clips whose sounds and figures are written"
    n_boot: whole(1, 1000000) = "resamples of the confidence intervals"
    randomisation_clips: COUNT = "clips of python -m lmac randomisation"


class Explain:
    """Explanation of a file"""

    audio: PLACE | NULL = "the file: any that soundfile reads"
    target_class: TEXT | list_of(TEXT) | NULL = "classes to explain; null: the decision"
    window_s: SECONDS = "length of a window; longer files have several [s]"
    overlap_s: number(0, 1800) = "of two windows [s]"
    part_s: SECONDS = "length of the parts of a file that is longer still [s]"
    min_length_s: number(0, 3600) = "shorter files are padded to it [s]"


class Tables:
    """Tables of the paper"""

    domains: list_of(DOMAIN) = "which are computed"
    methods_stft: NAMES = "methods of the domain stft"
    methods_mel: NAMES = "methods of the domain mel"
    collect_only: FLAG = "compute nothing, only write the table"
    evaluation_folder: PLACE = "where the evaluations are"
    table_folder: PLACE = "where the table is written"
    table_name: TEXT = "name of that folder"
    title: TEXT = "heading of the table"
    published_table: TEXT | NULL = "whose published cells to show"
    published_cells: PLACE | NULL = "CSV of the published cells; null: the paper's"
    published_label: TEXT = "what they are called"


class RunOptions:
    """SpeechBrain's run options"""

    device: DEVICE = "by default a GPU, where there is one"
    eval_precision: PRECISION = "of validation and test"
    noprogressbar: FLAG = "no progress bars"
    max_grad_norm: number(-1, 1e6) = "gradients are clipped to it; -1: not"
    grad_accumulation_factor: whole(1, 65536) = "batches an optimiser step"
    optimizer_step_limit: COUNT | NULL = "optimiser steps after which training ends"
    skip_nonfinite_grads: FLAG = "leave out steps whose gradient is NaN or infinite"
    nonfinite_patience: WHOLE = "batches with a loss that is not finite, before giving up"
    ckpt_interval_minutes: WHOLE = "time between checkpoints inside an epoch; 0: none [min]"
    ckpt_interval_steps: WHOLE = "steps between checkpoints inside an epoch; 0: none"
    debug: FLAG = "a few batches of a few epochs, and nothing is kept"
    debug_batches: COUNT = "batches of debug"
    debug_epochs: COUNT = "epochs of debug"
    debug_persistently: FLAG = "keep what debug wrote"
    test_only: FLAG = "no training"
    distributed_backend: one_of("nccl", "gloo", "mpi") = "of several processes (torchrun)"
    data_parallel_backend: FLAG = "DataParallel over the GPUs of one process"
    find_unused_parameters: FLAG = "of DistributedDataParallel"
    jit: FLAG = "compile modules by TorchScript"
    jit_module_keys: NAMES | NULL = "only these"
    compile: FLAG = "compile modules by torch.compile"
    compile_module_keys: NAMES | NULL = "only these"
    compile_mode: one_of("default", "reduce-overhead", "max-autotune") = "of torch.compile"
    compile_using_fullgraph: FLAG = "of torch.compile"
    compile_using_dynamic_shape_tracing: FLAG = "of torch.compile"
    remove_vector_weight_decay: FLAG = "no weight decay of norms and biases"
    auto_mix_prec: FLAG = "deprecated: precision=fp16"
    bfloat16_mix_prec: FLAG = "deprecated: precision=bf16"
    tqdm_colored_bar: FLAG = "coloured progress bars"
    profile_training: FLAG = "write a profile for TensorBoard"
    profile_warmup: WHOLE = "steps before the profile"
    profile_steps: COUNT = "steps of the profile"
    log_config: PLACE | NULL = "YAML file that configures logging"


GROUPS = (
    Run,
    Data,
    Classifier,
    FrontEnd,
    Decoder,
    Optimiser,
    Augmentation,
    Loss,
    Target,
    L2I,
    PIQ,
    Methods,
    Evaluation,
    Explain,
    Tables,
    RunOptions,
)


_UNIT = re.compile(r"(.*?)(?: \[(\S+)\])?")


@dataclass(frozen=True)
class Setting:
    """A declaration: its group, kind, meaning and unit."""

    name: str
    group: type
    kind: Kind
    meaning: str
    unit: str

    @property
    def expected(self):
        """What it takes, in words, with the unit."""
        return f"{self.kind.words}, in {self.unit}" if self.unit else self.kind.words


@cache
def declared():
    """Every :class:`Setting` by name; ``precision`` is a setting, not a run option."""
    return {
        name: Setting(name, group, kind, *_UNIT.fullmatch(getattr(group, name)).groups())
        for group in GROUPS
        for name, kind in group.__annotations__.items()
    }


def run_options():
    """Names of SpeechBrain's run options, ``precision`` among them."""
    return {name for name, one in declared().items() if one.group is RunOptions} | {"precision"}


def switches():
    """Run options that are switched on by their name alone."""
    return {name for name in run_options() if declared()[name].kind is FLAG}
