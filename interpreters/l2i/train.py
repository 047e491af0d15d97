"""Train L2I (Listen to Interpret) for a frozen classifier.

    python -m lmac l2i hparams/l2i.yaml --data_folder=/path/to/ESC-50 \
        --classifier_checkpoint=results/classifier/1234/best

Learns the NMF dictionary of the training clips where it is missing, then the networks; resumes
where it was killed. The checkpoint with the lowest loss on valid_folds ends up in
<output_folder>/best.
"""

import math
from pathlib import Path

import speechbrain as sb

from data_prep.dataset import fold_datasets, prepare
from data_prep.leaks import warn_of_training_leaks
from interpreters.l2i.brain import L2IBrain
from interpreters.l2i.dictionary import prepare_dictionary
from interpreters.l2i.interpreter import require_stft
from interpreters.l2i.networks import L2INetwork
from lmac.checkpoints import explained_classifier
from lmac.config import load_experiment


def main(argv):
    hparams, run_opts = load_experiment(argv)
    explained = explained_classifier(hparams)
    require_stft(explained.domain)
    manifest, labels = prepare(hparams)
    warn_of_training_leaks(manifest, hparams, ("valid",))
    datasets = fold_datasets(hparams, manifest, labels, ("train", "valid"))
    loader = {"batch_size": hparams["batch_size"], "num_workers": hparams["num_workers"]}
    hparams["steps_per_epoch"] = math.ceil(len(datasets["train"]) / hparams["batch_size"])

    dictionary = Path(hparams["output_folder"]) / "dictionary.npz"
    W, nmf_error = prepare_dictionary(dictionary, datasets["train"], explained.domain, hparams)
    l2i = L2INetwork(explained, W, hparams["l2i_hidden"])
    hparams["checkpointer"].add_recoverable("l2i", l2i)

    brain = L2IBrain(
        explained,
        modules={"l2i": l2i},
        opt_class=hparams["opt_class"],
        hparams=hparams,
        run_opts=run_opts,
        checkpointer=hparams["checkpointer"],
    )
    brain.fit_and_test(datasets, loader)
    if sb.utils.distributed.if_main_process():
        keys = ("seed", "n_components", "alpha", "beta", "gamma", "l2i_hidden")
        info = {key: hparams[key] for key in keys}
        info |= {"epochs": hparams["number_of_epochs"], "dictionary_relative_error": nmf_error}
        info["valid"] = {"folds": hparams["valid_folds"], **brain.test_stats}
        best = Path(hparams["output_folder"]) / "best"
        brain.export(best, info)
        print(
            f"L2I: relative reconstruction error {info['valid']['relative_error']:.3f} (best "
            f"possible activations, on training frames: {nmf_error:.3f}), fidelity "
            f"{100 * info['valid']['fidelity']:.1f} % on folds {hparams['valid_folds']}, mean "
            f"activation {info['valid']['mean_H']:.3f}; alpha {hparams['alpha']}, beta "
            f"{hparams['beta']}, gamma {hparams['gamma']}. Weights: {best}"
        )
