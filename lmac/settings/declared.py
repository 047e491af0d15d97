"""Every setting of every YAML, and SpeechBrain's run options: one line each, in groups.

A line has the name, what it takes (:mod:`lmac.settings.kinds`), what it means and its unit. That
is all there is to declaring one: it is then checked wherever it is set, and shown by ``--help``
and in docs/settings.md. How settings depend on one another is in :mod:`lmac.settings.rules`.
Defaults are in the YAML files.
"""

from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, MinLen
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from data_prep.scenario_kinds import SCENARIOS
from lmac.settings.kinds import (
    AllBuilt,
    Built,
    Count,
    Decibel,
    DecibelRange,
    Distinct,
    Finite,
    Fold,
    Folds,
    Names,
    NotNegative,
    Place,
    Seed,
    Share,
    Text,
    Whole,
    Width,
    Words,
)

Precision = Literal["fp32", "fp16", "bf16"]
Domain = Literal["stft", "mel"]
Seconds = Annotated[Finite, Gt(0), Le(3600)]
Device = Annotated[
    str,
    StringConstraints(pattern=r"^(cpu|(cuda|mps|xpu|npu)(:\d{1,3})?)$"),
    Words("cpu, cuda, a GPU such as cuda:1, or mps"),
]
Checksum = Annotated[
    str,
    StringConstraints(pattern=r"^\s*((?i:md5):[0-9a-fA-F]{32}|(?i:sha256):[0-9a-fA-F]{64})\s*$"),
    Words("md5: and 32 or sha256: and 64 hexadecimal digits"),
]
Classes = Annotated[list[Text], Distinct, Words("a list of class names, which may be empty")]
Places = Annotated[list[Place], Distinct, Words("a list of folders, which may be empty")]
Prompts = Annotated[
    Text | Annotated[list[Text], MinLen(1), Distinct] | dict[str, Text],
    Words("prompts separated by commas, a list of them, or a mapping of class names to them"),
]
Phrases = Annotated[dict[str, list[Text]], Words("a mapping of prompts to lists of other words")]
Speeds = Annotated[list[Annotated[int, Ge(50), Le(200)]], MinLen(1), Distinct]
Layers = Annotated[
    list[Text] | dict[str, Text | None],
    Words("a list of layers, or a mapping of each to its axes, such as {layers.0: BTC}"),
]


def says(meaning, unit=""):
    """The rest of a declaration: one line of meaning, and the unit."""
    return Field(default=None, description=meaning, json_schema_extra={"unit": unit})


class Group(BaseModel):
    """Settings that concern one thing, which the first line of the docstring names."""

    model_config = ConfigDict(strict=True, extra="forbid")


class Run(Group):
    """Run and folders"""

    seed: Seed = says("of all random numbers: weights, order, augmentation, clips of a scenario")
    dry_run: bool = says("try everything on a few clips, say what would be run, and leave nothing")
    results_folder: Place = says("where everything is written, unless a folder of its own is given")
    output_folder: Place = says("where this run writes")
    save_folder: Place = says("checkpoints of a training, to go on from")
    cache_folder: Place | None = says("decoded audio and embeddings; null decodes at every run")
    manifest: Place = says("CSV of the data set's clips, written anew when they change")
    batch_size: Annotated[int, Ge(1), Le(65536)] = says("clips (explain.py: windows) at a time")
    num_workers: Annotated[int, Ge(0), Le(256)] = says("processes that load audio beside this one")
    precision: Precision = says("of the networks' arithmetic")


class Data(Group):
    """Data set (--dataset_yaml)"""

    dataset: Text = says("its name in tables")
    data_folder: Place = says("where the data set is")
    train_folds: Folds = says("clips that are trained on")
    valid_folds: Folds = says("clips that select the checkpoint")
    test_folds: Folds = says("clips that neither trained nor selected")
    signal_length_s: Seconds = says("length that every clip is cut or padded to", "s")
    out_n_neurons: Annotated[int, Ge(0), Le(100000)] = says(
        "number of classes; 0 where the classifier knows its own"
    )
    esc10_only: bool = says("only the ten classes of ESC-10")
    esc50_subfolder: Place = says("folder of ESC-10 or ESC-50 in data_folder")
    urbansound8k_subfolder: Place = says("folder of UrbanSound8K in data_folder")
    split_fold: Fold | None = says("half of its recordings become fold 10 + k; null: none")
    without_classes: Classes = says("classes whose clips are left out")
    clips_per_class: Annotated[int, Ge(1), Le(10000)] = says("generated clips of each class")
    background_folder: Place | None = says("data set that planted cues are mixed into")
    backgrounds: Built | None = says("function that prepares it; null: built-in backgrounds")
    shortcut_class: Text | None = says("its class that is given away by a cue; null: cues decide")
    planted_snr_db: DecibelRange = says("level of planted cues in training", "dB")
    tested_snr_db: Annotated[list[Decibel], MinLen(1), Distinct] = says("and in tests", "dB")
    distractor: Share = says("share of clips with a further sound, which says nothing")
    download: bool = says("fetch the data set where data_folder does not exist")
    download_url: Text = says("its archive")
    download_checksum: Checksum | None = says("of the archive; null accepts any")
    prepare_data: Built = says("function that writes the manifest")


class Classifier(Group):
    """Classifier (--classifier_yaml)"""

    classifier_checkpoint: Place | None = says("folder of its weights; null: it brings its own")
    classifier_name: Text = says("its name in tables")
    classifier_width: Width = says(
        "channels of its first layers, which the others are multiples of"
    )
    emb_dim: Annotated[int, Ge(1), Le(2**20)] = says("size of its embedding")
    classifier_source: Place = says("folder, or name on the Hugging Face hub, that it comes from")
    classifier_layers: Layers | None = says("layers that decoders and GradCAM read, finest first")
    classifier_frequency_axis: Literal["mel", "linear"] = says("of those layers that have one")
    freeze_embedding: bool = says("train only the head, on embeddings that are computed once")
    prompts: Prompts = says("of a zero-shot classifier, its classes")
    prompt_phrases: Phrases = says("other words for each, in training")
    prompt_templates: Names = says("sentences that a prompt is put into, at {}")
    text_model: Place | None = says("sentence-transformers model; null: MiniLM's package")
    joint_size: Annotated[int, Ge(1), Le(65536)] = says("of the space of sounds and texts")
    train_text: bool = says("train the projection of texts, too")
    embedding_model: Built = says("network from features to embedding and representations")
    classifier: Built = says("head from embedding to logits")


class FrontEnd(Group):
    """Front end and domain"""

    domain: Domain = says("spectrogram that the mask acts on; mel has no sound")
    signal_path: Literal["direct", "waveform"] = says(
        "what the classifier reads of an explanation: its spectrogram, or its sound"
    )
    sample_rate: Annotated[int, Ge(1000), Le(384000)] = says("of all audio in the method", "Hz")
    n_fft: Annotated[int, Ge(16), Le(65536)] = says("size of the FFT", "samples")
    win_length: Annotated[Finite, Gt(0), Le(10000)] = says("window of the STFT", "ms")
    hop_length: Annotated[Finite, Gt(0), Le(10000)] = says("hop of the STFT", "ms")
    n_mels: Annotated[int, Ge(1), Le(4096)] = says("mel bands that the classifier reads")
    front_end: Built = says("STFT, its inverse and the mel bands")


class Decoder(Group):
    """Decoder (--decoder_yaml)"""

    decoder: Built = says("network from representations to mask")
    decoder_hidden: Annotated[int, Ge(1), Le(4096)] = says("channels of its pyramid")
    decoder_detail: Annotated[int, Ge(1), Le(4096)] = says("channels at the finest resolution")
    decoder_head: Literal[1, 3, 5, 7] = says("width of the last convolution, there")
    decoder_logit_gain: Annotated[Finite, Gt(0), Le(100)] = says(
        "factor of its output, the mask's logits"
    )
    decoder_conditioned: bool = says("tell it the class to explain")
    decoder_reads_input: bool = says("also give it the spectrogram; the paper's reads none")


class Optimiser(Group):
    """Training"""

    number_of_epochs: Annotated[int, Ge(1), Le(1000000)] = says("passes over the training clips")
    lr: Annotated[Finite, Gt(0), Le(10)] = says("learning rate; its peak with one_cycle")
    weight_decay: Annotated[Finite, Ge(0), Le(1)] = says("of the optimiser")
    classification_loss: Built = says("function of a classifier's outputs and classes")
    opt_class: Built = says("optimiser")
    lr_schedule: Built = says("learning rate over time")
    epoch_counter: Built = says("counts epochs, to go on from")
    checkpointer: Built = says("keeps checkpoints")
    train_logger: Built = says("writes train_log.txt")


class Augmentation(Group):
    """Augmentation of training clips"""

    mix_probability: Share = says("share of clips that get another clip mixed in")
    mix_snr_db: DecibelRange = says("level of the clip above what is mixed in", "dB")
    noise_folder: Place | None = says("recordings that are mixed in instead; null: none")
    noise_probability: Share = says("share of clips that get noise of noise_folder")
    noise_snr_db: DecibelRange = says("level of the clip above that noise", "dB")
    speed_perturbation: Speeds = says(
        "speeds of training clips, one for each batch; [100]: as they are", "%"
    )
    gain_db: DecibelRange = says("gain after peak normalisation", "dB")
    mixup: Annotated[Finite, Ge(0), Le(100)] = says("parameter of mixup's Beta; 0: no mixup")
    time_drop: Built = says("SpecAugment in time")
    frequency_drop: Built = says("SpecAugment in frequency")
    spec_augment: list[Built] | None = says("what is dropped of spectrograms; null: nothing")
    audio_cache: Built = says("reader of audio files")
    noise: Built | None = says("source of noise, made of noise_folder")
    augment: Built | None = says("augmentation of waveforms; null: none")


class Loss(Group):
    """Loss of L-MAC"""

    l_in: NotNegative = says("weight of the explanation's cross-entropy")
    l_out: NotNegative = says("weight of the remainder's cross-entropy, which is to be high")
    out_share: Annotated[Finite, Gt(0), Le(1)] = says("share of each batch it is computed for")
    l_sparse: NotNegative = says("weight of the mean of the mask")
    l_transfer: NotNegative = says("weight of the cross-entropy of transfer_classifiers")
    l_guidance: NotNegative = says("weight of the guidance towards the clean source; 0: stage 1")
    cc_th: Annotated[Finite, Ge(-1), Le(1)] = says(
        "correlation with the clean source from which on a clip is guided; -1: every clip"
    )
    bin_th: Share = says("share of the peak above which a cell is of the source (bce)")
    guidance: Literal["bce", "mse"] = says("distance to the clean source")
    finetune_from: Place | None = says("folder of a decoder to start from; stage 2 needs one")
    lmac_loss: Built = says("the loss")


class Asking(Group):
    """Asking for a class or a prompt"""

    target_decision: Share = says("share of training clips asked for the classifier's decision")
    target_source: Share = says("share asked for its decision on one of the two sounds")
    target_probable: Share = says("share asked for its second most probable class")
    target_classes: Built | None = says("draws what a clip is asked for; null: the decision")
    l_absent: NotNegative = says("weight of what an absent class must not become")
    absent_sparsity: NotNegative = says("how much sparser the mask of an absent class has to be")
    l_leak: NotNegative = says("weight of keeping more of a sound than what was asked for has")
    l_energy: NotNegative = says("the same of magnitudes, in which the loudest cells count most")
    prior_weight: Share = says("how much of p counts as presence of a class that was not mixed")
    presence_threshold: Annotated[Finite, Gt(0), Le(1)] = says(
        "probability from which on a sound in the mixture counts as there"
    )
    prompts_per_sound: Annotated[int, Ge(1), Le(1000)] | None = says(
        "masks of each sound of a batch, each for a prompt; null: one, for a class"
    )
    l_similarity: NotNegative = says("weight of the similarity of prompt and sound, to be kept")
    asked_snr_db: Annotated[list[Decibel], MinLen(1), Distinct] = says(
        "levels of the target above the contaminant (python -m lmac asked)", "dB"
    )
    asked_p: Share = says("both classes are asked for where both have this probability")


class L2I(Group):
    """L2I"""

    n_components: Annotated[int, Ge(1), Le(16384)] = says("of the NMF dictionary")
    nmf_max_frames: Count = says("frames that the dictionary is learnt from, at most")
    nmf_tolerance: Annotated[Finite, Gt(0), Le(1)] = says("relative progress at which NMF stops")
    nmf_max_epochs: Annotated[int, Ge(1), Le(1000000)] = says("passes of the NMF, at most")
    l2i_hidden: Width = says("channels of its network")
    alpha: NotNegative = says("weight of the mean squared error")
    beta: NotNegative = says("weight of the mean activation")
    gamma: NotNegative = says("weight of the fidelity")
    l2i_loss: Built = says("the loss")


class Methods(Group):
    """Methods that explain"""

    methods: Names = says("which of the interpreters explain")
    interpreters: AllBuilt = says("every method by name")
    lmac_checkpoint: Place | None = says("folder of the decoder, for L-MAC")
    lmac_ft_checkpoint: Place | None = says("folder of the fine-tuned decoder, for L-MAC FT")
    lmac_presence_threshold: Annotated[Finite, Gt(0), Le(1)] | None = says(
        "probability below which masks of a told decoder are faded; null: that of its training"
    )
    lmac_zs_checkpoint: Place | None = says("folder of a decoder told prompts, for L-MAC-ZS")
    l2i_checkpoint: Place | None = says("folder of l2i.ckpt, for L2I")
    relevance_threshold: Share = says("of L2I's components, over that of the largest")
    refine_steps: Count = says("gradient steps of L-MAC refined on the clip itself")
    refine_rate: Annotated[Finite, Gt(0), Le(10)] = says("of these, in the mask's logits")
    smoothgrad_samples: Annotated[int, Ge(1), Le(100000)] = says("noisy inputs of SmoothGrad")
    smoothgrad_noise: Annotated[Finite, Ge(0), Le(100)] = says(
        "their standard deviation, over the range of the input"
    )
    ig_steps: Annotated[int, Ge(1), Le(100000)] = says("points of Integrated Gradients")
    shap_samples: Annotated[int, Ge(1), Le(100000)] = says("random points of SHAP")
    best_form: Literal["signed", "absolute"] = says("what counts of an attribution at its best")
    best_area: Share | Text = says("share of cells that it keeps, or a method, such as L-MAC; own")
    cam_layer: Annotated[int, Ge(-1000), Le(1000)] = says(
        "representation that GradCAM reads, finest 0, coarsest -1"
    )


class Evaluation(Group):
    """Evaluation"""

    scenario: Literal[tuple(SCENARIOS)] = says("which clips are explained")
    target_folds: Folds = says("clips that are explained")
    contaminant_folds: Folds = says("clips that are mixed in (mixtures)")
    contaminant_folder: Place | None = says("recordings that are mixed in (id, noise, speech)")
    transfer_classifiers: Places = says(
        "folders of classifiers that explanations are shown to (python -m lmac audit, l_transfer)"
    )
    audit_clips: Count | None = says("clips of python -m lmac audit and planted_cues; null: all")
    held_out_classes: Names = says("never trained on (python -m lmac held_out)")
    held_out_clips: Count | None = says("of each of them; null: all")
    last_contaminants: Count | None = says("only so many of them, from the end; null: all")
    scenario_manifest: Place = says("CSV of the clips, drawn once")
    scenario_seed: Seed = says("of the clips that are drawn")
    listen: Whole = says("clips whose sounds and figures are written")
    n_boot: Annotated[int, Ge(1), Le(1000000)] = says("resamples of the confidence intervals")
    randomisation_clips: Count = says("clips of python -m lmac randomisation")


class Explain(Group):
    """Explanation of a file"""

    audio: Place | None = says("the file: any that soundfile reads")
    target_class: Text | Annotated[list[Text], MinLen(1)] | None = says(
        "classes to explain; null: the decision"
    )
    window_s: Seconds = says("length of a window; longer files have several", "s")
    overlap_s: Annotated[Finite, Ge(0), Le(1800)] = says("of two windows", "s")
    min_length_s: Annotated[Finite, Ge(0), Le(3600)] = says("shorter files are padded to it", "s")


class Tables(Group):
    """Tables of the paper"""

    domains: Annotated[list[Domain], MinLen(1)] = says("which are computed")
    methods_stft: Names = says("methods of the domain stft")
    methods_mel: Names = says("methods of the domain mel")
    collect_only: bool = says("compute nothing, only write the table")
    evaluation_folder: Place = says("where the evaluations are")
    table_folder: Place = says("where the table is written")
    table_name: Text = says("name of that folder")
    title: Text = says("heading of the table")
    published_table: Text | None = says("whose published cells to show")
    published_cells: Place | None = says("CSV of the published cells; null: the paper's")
    published_label: Text = says("what they are called")


class RunOptions(Group):
    """SpeechBrain's run options"""

    device: Device = says("by default a GPU, where there is one")
    eval_precision: Precision = says("of validation and test")
    noprogressbar: bool = says("no progress bars")
    max_grad_norm: Annotated[Finite, Ge(-1), Le(1e6)] = says("gradients are clipped to it; -1: not")
    grad_accumulation_factor: Annotated[int, Ge(1), Le(65536)] = says("batches an optimiser step")
    optimizer_step_limit: Count | None = says("optimiser steps after which training ends")
    skip_nonfinite_grads: bool = says("leave out steps whose gradient is NaN or infinite")
    nonfinite_patience: Whole = says("batches with a loss that is not finite, before giving up")
    ckpt_interval_minutes: Whole = says("time between checkpoints inside an epoch; 0: none", "min")
    ckpt_interval_steps: Whole = says("steps between checkpoints inside an epoch; 0: none")
    debug: bool = says("a few batches of a few epochs, and nothing is kept")
    debug_batches: Count = says("batches of debug")
    debug_epochs: Count = says("epochs of debug")
    debug_persistently: bool = says("keep what debug wrote")
    test_only: bool = says("no training")
    distributed_backend: Literal["nccl", "gloo", "mpi"] = says("of several processes (torchrun)")
    data_parallel_backend: bool = says("DataParallel over the GPUs of one process")
    find_unused_parameters: bool = says("of DistributedDataParallel")
    jit: bool = says("compile modules by TorchScript")
    jit_module_keys: Names | None = says("only these")
    compile: bool = says("compile modules by torch.compile")
    compile_module_keys: Names | None = says("only these")
    compile_mode: Literal["default", "reduce-overhead", "max-autotune"] = says("of torch.compile")
    compile_using_fullgraph: bool = says("of torch.compile")
    compile_using_dynamic_shape_tracing: bool = says("of torch.compile")
    remove_vector_weight_decay: bool = says("no weight decay of norms and biases")
    auto_mix_prec: bool = says("deprecated: precision=fp16")
    bfloat16_mix_prec: bool = says("deprecated: precision=bf16")
    tqdm_colored_bar: bool = says("coloured progress bars")
    profile_training: bool = says("write a profile for TensorBoard")
    profile_warmup: Whole = says("steps before the profile")
    profile_steps: Count = says("steps of the profile")
    log_config: Place | None = says("YAML file that configures logging")


GROUPS = tuple(Group.__subclasses__())
