"""Small pretrained classifiers with random weights, written to a folder as users have them."""

import torch
from speechbrain.dataio.encoder import CategoricalEncoder
from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN, Classifier

from lmac.classifiers.efficientat import EfficientAT

SPEECHBRAIN_YAML = """
sample_rate: 16000
n_mels: 20
pretrained_path: speechbrain/some-name-on-the-hub
compute_features: !new:speechbrain.lobes.features.Fbank
    n_mels: !ref <n_mels>
mean_var_norm: !new:speechbrain.processing.features.InputNormalization
    norm_type: sentence
    std_norm: False
embedding_model: !new:speechbrain.lobes.models.ECAPA_TDNN.ECAPA_TDNN
    input_size: !ref <n_mels>
    channels: [8, 8, 8, 8, 24]
    kernel_sizes: [5, 3, 3, 3, 1]
    dilations: [1, 2, 3, 4, 1]
    attention_channels: 8
    res2net_scale: 2
    se_channels: 8
    lin_neurons: 6
classifier: !new:speechbrain.lobes.models.ECAPA_TDNN.Classifier
    input_size: 6
    out_neurons: 3
modules:
    compute_features: !ref <compute_features>
    mean_var_norm: !ref <mean_var_norm>
    embedding_model: !ref <embedding_model>
    classifier: !ref <classifier>
label_encoder: !new:speechbrain.dataio.encoder.CategoricalEncoder
pretrainer: !new:speechbrain.utils.parameter_transfer.Pretrainer
    loadables:
        embedding_model: !ref <embedding_model>
        classifier: !ref <classifier>
        label_encoder: !ref <label_encoder>
    paths:
        embedding_model: !ref <pretrained_path>/embedding_model.ckpt
        classifier: !ref <pretrained_path>/classifier.ckpt
        label_encoder: !ref <pretrained_path>/label_encoder.txt
"""


def speechbrain_folder(folder, labels=("cat", "dog", "rain")):
    """An ECAPA-TDNN as SpeechBrain publishes it; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    text = SPEECHBRAIN_YAML.replace("out_neurons: 3", f"out_neurons: {len(labels)}")
    (folder / "hyperparams.yaml").write_text(text)
    model = ECAPA_TDNN(
        20, channels=[8, 8, 8, 8, 24], kernel_sizes=[5, 3, 3, 3, 1], dilations=[1, 2, 3, 4, 1],
        attention_channels=8, res2net_scale=2, se_channels=8, lin_neurons=6,
    )  # fmt: skip
    torch.save(model.state_dict(), folder / "embedding_model.ckpt")
    torch.save(Classifier(6, out_neurons=len(labels)).state_dict(), folder / "classifier.ckpt")
    encoder = CategoricalEncoder()
    encoder.update_from_iterable(labels, sequence_input=False)
    encoder.save(folder / "label_encoder.txt")
    return folder


def huggingface_folder(folder, kind, labels=("cat", "dog", "rain")):
    """An AST ("ast"), wav2vec 2.0 ("wav2vec2") or HuBERT ("hubert") of a few thousand weights."""
    import transformers

    torch.manual_seed(0)
    common = {
        "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2,
        "intermediate_size": 16, "id2label": dict(enumerate(labels)),
        "label2id": {name: i for i, name in enumerate(labels)},
    }  # fmt: skip
    if kind == "ast":
        config = transformers.ASTConfig(max_length=128, num_mel_bins=32, **common)
        extractor = transformers.ASTFeatureExtractor(max_length=128, num_mel_bins=32)
        model = transformers.ASTForAudioClassification(config)
    else:
        name = {"wav2vec2": "Wav2Vec2", "hubert": "Hubert"}[kind]
        config = getattr(transformers, f"{name}Config")(
            conv_dim=(8,) * 7, num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=2,
            classifier_proj_size=8, **common,
        )  # fmt: skip
        extractor = transformers.Wav2Vec2FeatureExtractor(do_normalize=True)
        model = getattr(transformers, f"{name}ForSequenceClassification")(config)
    model.save_pretrained(folder)
    extractor.save_pretrained(folder)
    return folder


WORDS = ("a", "baby", "bark", "barking", "cat", "crying", "dog", "falling", "hear", "i", "of",
         "rain", "sound", "the")  # fmt: skip


def _tokenizer(folder, special):
    """A tokenizer of whole words, [CLS] and [SEP] at the ends of a text; returns its size."""
    import transformers
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    names = dict(zip(("cls", "pad", "sep", "unk"), special, strict=True))
    words = {word: i for i, word in enumerate([*special, *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token=names["unk"]))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.BertProcessing(
        (names["sep"], words[names["sep"]]), (names["cls"], words[names["cls"]])
    )
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=512,
        **{f"{name}_token": token for name, token in names.items()},
    ).save_pretrained(folder)
    return len(words)


def text_folder(folder):
    """A sentence-transformers kind of BERT, of 12 numbers; returns the folder."""
    import transformers

    torch.manual_seed(0)
    size = _tokenizer(folder, ("[CLS]", "[PAD]", "[SEP]", "[UNK]"))
    config = transformers.BertConfig(
        vocab_size=size, hidden_size=12, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=16, max_position_embeddings=300, pad_token_id=1,
    )  # fmt: skip
    transformers.BertModel(config).save_pretrained(folder)
    return folder


def clap_folder(folder, fused=False, padding="repeatpad"):
    """A CLAP of a few thousand weights, which reads two seconds at 8 kHz; returns the folder."""
    import transformers

    torch.manual_seed(0)
    size = _tokenizer(folder, ("<s>", "<pad>", "</s>", "<unk>"))
    config = transformers.ClapConfig(
        text_config={
            "vocab_size": size, "hidden_size": 16, "num_hidden_layers": 2,
            "num_attention_heads": 2, "intermediate_size": 32, "max_position_embeddings": 20,
            "pad_token_id": 1, "projection_dim": 12,
        },
        audio_config={
            "spec_size": 64, "num_mel_bins": 16, "window_size": 4, "patch_size": 4,
            "patch_stride": [4, 4], "patch_embeds_hidden_size": 8, "depths": [1, 1, 2],
            "num_attention_heads": [1, 2, 2], "hidden_size": 32, "projection_dim": 12,
            "enable_fusion": fused,
        },
        projection_dim=12,
        hidden_size=32,
    )  # fmt: skip
    model = transformers.ClapModel(config)
    with torch.no_grad():  # fresh weights are so small that all prompts sound alike
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(8)
    model.save_pretrained(folder)
    transformers.ClapFeatureExtractor(
        feature_size=16, sampling_rate=8000, hop_length=80, max_length_s=2, fft_window_size=256,
        frequency_max=3500, truncation="rand_trunc", padding=padding,
    ).save_pretrained(folder)  # fmt: skip
    return folder


def efficientat_weights(width, labels=7):
    """A state dict in EfficientAT's own names and shapes, of random weights."""
    torch.manual_seed(1)
    network = EfficientAT(width)
    state = {}
    for name, value in network.state_dict().items():
        value = torch.rand_like(value) * 0.1 if value.is_floating_point() else value
        if ".fc1." in name or ".fc2." in name:
            block, _, tail = name.rpartition(".fc")
            name, value = f"{block}.conc_se_layers.0.fc{tail}", value.reshape(len(value), -1)
            value = value[:, 0] if tail.endswith("bias") else value
        state[name.replace("classifier.0.", "classifier.2.")] = value
    state["classifier.5.weight"] = torch.rand(labels, network.emb_dim)
    state["classifier.5.bias"] = torch.rand(labels)
    return state
