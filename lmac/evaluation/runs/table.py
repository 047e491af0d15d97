"""One table of the paper: its rows, and table.csv, table.md and table.tex.

    python -m lmac table recipes/ESC10/recipe.yaml:table2_mixtures --data_folder=/path/to/ESC-50

Runs eval_explanations.py for each domain, which goes on from the rows that are there, and
collects the table. --domains=[mel] and --methods=[L-MAC,IG] restrict what is computed,
--collect_only=True computes nothing; the table shows all rows that are there in any case.
"""

import subprocess
import sys

from lmac.evaluation.paper_table import DOMAINS, read_evaluation, write_table
from lmac.settings.load import parse, settings
from metrics.published import read_published

OWN = {"domain": "--domains=[…]", "output_folder": "--evaluation_folder=…"}


def main(argv):
    path, _, overrides = parse(argv)
    for key in OWN.keys() & overrides.keys():
        raise ValueError(f"--{key} is set for each domain: give {OWN[key]} instead.")
    chosen = settings(path, overrides)
    listed = settings(path, {k: v for k, v in overrides.items() if k != "domains"})["domains"]
    wrong = [d for d in [*chosen["domains"], *listed] if d not in DOMAINS]
    if wrong:
        raise ValueError(f"domains: unknown {wrong[0]!r}, expected some of {', '.join(DOMAINS)}.")
    methods = {domain: list(chosen[f"methods_{domain}"]) for domain in DOMAINS}
    if not chosen["collect_only"]:
        for domain in chosen["domains"]:
            names = to_compute(domain, methods, overrides.get("methods"))
            if names:
                evaluate(argv, domain, names)
    print(collect(path, overrides, listed, methods))


def to_compute(domain, methods, asked):
    """The methods of ``domain``: all that are listed, or those of ``asked``.

    A method that only another domain lists, such as L2I, is left out.
    """
    if asked is None:
        return methods[domain]
    elsewhere = {m for names in methods.values() for m in names} - set(methods[domain])
    return [m for m in asked if m not in elsewhere]


def evaluate(argv, domain, methods):
    """Run eval_explanations.py in a process of its own; its failure ends this one."""
    print(f"== domain {domain}: {', '.join(methods)}", flush=True)
    own = [f"--domain={domain}", f"--methods=[{','.join(methods)}]"]
    code = subprocess.run([sys.executable, "-m", "lmac", "evaluate", *argv, *own]).returncode
    if code:
        sys.exit(code)  # it has said why


def collect(path, overrides, domains, methods):
    """Write the table from what is there; returns it as Markdown, and says what is missing."""
    evaluations, missing, folders = [], [], []
    for domain in domains:
        of_domain = settings(path, {**overrides, "domain": domain})
        folders.append(of_domain["output_folder"])
        found = read_evaluation(
            folders[-1], of_domain["scenario"], domain, methods[domain], of_domain["n_boot"]
        )
        if found is None:
            missing.append(f"the whole domain {domain}")
        else:
            evaluations.append(found)
    if not evaluations:
        raise ValueError(
            f"No evaluation in {' or '.join(folders)}: run this without --collect_only=True."
        )
    published = read_published(of_domain["published_cells"], of_domain["published_table"])
    if of_domain["published_table"] is None:
        published = published.iloc[:0]  # nothing published compares with this table
    text = write_table(
        of_domain["table_folder"],
        of_domain["title"],
        evaluations,
        published,
        of_domain["published_label"],
        missing,
    )
    return f"{text}\nTable as CSV, Markdown and LaTeX: {of_domain['table_folder']}"
