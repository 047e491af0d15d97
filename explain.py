#!/usr/bin/env python3
"""Explain what a trained classifier heard in one audio file.

    python explain.py hparams/explain.yaml --audio=dog.wav --methods=[L-MAC,Saliency] \
        --classifier_checkpoint=results/classifier/1234/best \
        --lmac_checkpoint=results/lmac/stft/1234/best

Says what the classifier heard, and what each explanation does to it. Writes a page to listen and
look, <output_folder>/<file>/index.html, and <method>/ beside it: explanation.wav, removed.wav and
input.wav, explanation.png, mask.png and explanation.json. --target_class=dog or
--target_class=[dog,rain] asks for other classes than the classifier's own decision, in
"<method>, asked <class>/"; for several, one picture beside these folders shows what each method
keeps for each of them. Of a zero-shot classifier, --prompts="a dog barking, rain falling" asks for
each prompt; of a tagger with sigmoid outputs every label from its threshold on is explained. A
file that is longer than part_s has such a page for each part of it, and besides the sounds of the
whole and windows.csv.
"""

if __name__ == "__main__":
    from lmac.settings.cli import dispatch

    # What is wrong is said before torch is imported, which takes seconds.
    raise SystemExit(dispatch("explain"))

from functools import partial
from itertools import product
from pathlib import Path

from lmac.explain.explainer import Explainer
from lmac.explain.explanation import draw_questions
from lmac.explain.long import WINDOWS, duration_of, explain_parts
from lmac.explain.recording import top_classes
from lmac.io.names import safe_name
from lmac.io.processes import device_of
from lmac.pages.explanation_page import (
    draw_recording,
    explanation_data,
    recording_data,
    write_explanation_page,
    write_recording,
)
from lmac.settings.cli import one_process
from lmac.settings.dry_run import dry_runnable
from lmac.settings.load import load_experiment


@dry_runnable
def main(argv):
    one_process("explain.py")
    hparams, run_opts = load_experiment(argv, goes_on=False, alone=False)
    if not hparams["audio"]:
        raise ValueError("audio is not set: give the file to explain, --audio=/path/to/file.")
    methods = _listed(hparams["methods"])
    classes = [None if c is None else str(c) for c in _listed(hparams["target_class"])]
    device = device_of(run_opts)
    explainer = Explainer.from_hparams(hparams, device=device)
    if explainer.zero_shot and classes == [None]:
        classes = explainer.labels
    for method, asked in product(methods, classes):
        explainer.check(method, asked)
    folder = Path(hparams["output_folder"]) / safe_name(Path(hparams["audio"]).name)

    explain_one = partial(explain_recording, explainer, methods, classes)
    if duration_of(hparams["audio"]) <= 1.1 * hparams["part_s"]:
        explain_one(explainer.read(hparams["audio"]), folder)
        return
    p = explain_parts(explainer, hparams["audio"], hparams["part_s"], explain_one, folder)
    best = ", ".join(f"{name} {value:.3f}" for name, value in top_classes(explainer.labels, p, 5))
    print(f"All parts, mean over windows: {best}\n    {folder}: {WINDOWS}, and sounds of all parts")


def explain_recording(explainer, methods, classes, recording, folder, each=None):
    """Explain a recording by every method and class, and write all of it to ``folder``.

    ``each`` is called with every Explanation.
    """
    if explainer.zero_shot:
        for prompt, p in zip(explainer.labels, recording.probabilities.tolist(), strict=True):
            print(f"{p:.3f}  {prompt}")
    files = write_recording(recording, explainer.explained.domain, folder)
    files += draw_recording(recording, folder)
    print(recording)
    if explainer.explained.threshold is not None and classes == [None]:
        classes = explainer.labels_of(recording)
        if not classes:
            print(
                f"    No label has p >= {explainer.explained.threshold:g}, so there is nothing to "
                "explain: --target_class names one all the same."
            )
    if len(recording.starts) > 1:
        print("\n".join(f"    {line}" for line in recording.timeline()))
    explanations = []
    for method in methods:
        results = []
        for asked in classes:
            result = explainer(recording, method, asked)
            written = result.save(folder / result.folder)
            print(f"{result.sentence}\n    {folder / result.folder}: {', '.join(written)}")
            explanations.append(explanation_data(result, folder / result.folder, folder))
            results.append(result)
            if each is not None:
                each(result)
        if len(results) > 1:
            files.append(f"{safe_name(method)}, {len(results)} classes.png")
            draw_questions(results, folder / files[-1])
    data = recording_data(recording, explainer.explained.domain, folder, folder)
    page = write_explanation_page(data, explanations, folder / "index.html")
    print(f"    {folder}: {', '.join(files)}\nPage to open: {page}")


def _listed(value):
    """One name or a list of them, as a list, each once."""
    return list(dict.fromkeys(value if isinstance(value, list) else [value]))
