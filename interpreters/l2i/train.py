"""Train L2I (Listen to Interpret) for a frozen classifier.

    python -m lmac l2i hparams/l2i.yaml --data_folder=/path/to/ESC-50 \
        --classifier_checkpoint=results/classifier/1234/best

Learns the NMF dictionary of the training clips where it is missing, then the networks; resumes
where it was killed. The checkpoint with the lowest loss on valid_folds ends up in
<output_folder>/best.
"""

from pathlib import Path

import speechbrain as sb

from interpreters.l2i.brain import L2IBrain
from interpreters.l2i.dictionary import prepare_dictionary
from interpreters.l2i.interpreter import require_stft
from interpreters.l2i.networks import L2INetwork
from lmac.brains.training import explainer_datasets, train_explainer
from lmac.checkpoints import explained_classifier, explained_facts, training_facts
from lmac.config import load_experiment
from lmac.provenance import complete
from lmac.rehearsal import checkable


@checkable
def main(argv):
    hparams, run_opts = load_experiment(argv)
    explained = explained_classifier(hparams)
    require_stft(explained.domain)
    datasets = explainer_datasets(hparams)

    dictionary = Path(hparams["output_folder"]) / "dictionary.npz"
    W, nmf_error = prepare_dictionary(dictionary, datasets["train"], explained.domain, hparams)
    l2i = L2INetwork(explained, W, hparams["l2i_hidden"])
    brain = train_explainer(L2IBrain, explained, {"l2i": l2i}, datasets, hparams, run_opts)
    if sb.utils.distributed.if_main_process():
        keys = ("n_components", "alpha", "beta", "gamma", "l2i_hidden")
        info = training_facts(hparams, explained.domain, *keys) | explained_facts(explained)
        info |= {"epochs": hparams["number_of_epochs"], "dictionary_relative_error": nmf_error}
        info["valid"] = {"folds": hparams["valid_folds"], **brain.test_stats}
        best = Path(hparams["output_folder"]) / "best"
        brain.export(best, info)
        complete(hparams, brain.device)
        print(
            f"L2I: relative reconstruction error {info['valid']['relative_error']:.3f} (best "
            f"possible activations, on training frames: {nmf_error:.3f}), fidelity "
            f"{100 * info['valid']['fidelity']:.1f} % on folds {hparams['valid_folds']}, mean "
            f"activation {info['valid']['mean_H']:.3f}; alpha {hparams['alpha']}, beta "
            f"{hparams['beta']}, gamma {hparams['gamma']}. Weights: {best}"
        )
