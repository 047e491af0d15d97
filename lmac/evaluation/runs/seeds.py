"""Several seeds: train and evaluate each; mean and standard deviation, and tests of methods.

    python -m lmac seeds recipes/ESC10/recipe.yaml --data_folder=… --seeds=[1,2,3] \
        --stages=[classifier,lmac,evaluation]
    python -m lmac seeds recipes/ESC10/recipe.yaml:lmac --data_folder=… --seeds=[1,2,3] \
        --stages=[lmac,evaluation] --classifier_checkpoint=results/ESC10/classifier/best

A seed is that of the initial weights, the order of the clips and what is mixed in. A stage is one
of the same recipe; each runs in a process of its own, with its results in
<results_folder>/seeds/seed_<s>, and those of the stages before. All seeds are evaluated on the
same clips, drawn with the recipe's own seed. The command goes on where it was killed and skips
what is finished; several may run at once. Overrides reach every stage that has such a key. Besides:

    --seeds=[1,2,3]      which; the tables show all of them that are finished
    --run=[2]            only these of them, as for one job of an array
    --stages=[a,b]       by default the given one alone
    --processes=2        of each stage, started by torchrun
    --collect_only=True  runs nothing, and makes the tables of what is finished

Writes to <results_folder>/seeds, for each stage: <name>.md and <name>.csv (mean and standard
deviation) and <name>_seeds.csv (a row a seed), the name that of its results folder, such as
lmac_mel or evaluation_mixtures_mel. Below the tables of evaluations are paired tests between
methods: a clip is averaged over seeds first.
"""

import pandas as pd

from lmac.evaluation.runs.repeats import OPTIONS, Repeats, listed, repeat
from lmac.settings.load import ConfigError, settings
from metrics.significance import against_reference, footnote


def main(argv):
    def choose(study, options):
        chosen = study.all if options["run"] is None else listed(options["run"])
        if not chosen:
            raise ConfigError(f"run is []: expected some of --seeds={study.all}.")
        unknown = [seed for seed in chosen if seed not in study.all]
        if unknown:
            raise ConfigError(f"run: {unknown[0]!r} is none of --seeds={study.all}.")
        return chosen

    repeat(Seeds, argv, choose)


class Seeds(Repeats):
    """The stages of a recipe for each seed; arguments and errors as of Repeats."""

    one = "seed"
    options = {**OPTIONS, "seeds": None, "run": None}
    own = ("seed", "scenario_seed")

    def prepare(self, whole, options):
        self.seeds = listed(options["seeds"]) if options["seeds"] is not None else []
        whole_numbers = all(type(s) is int and 0 <= s < 2**32 for s in self.seeds)
        if not self.seeds or not whole_numbers or len(set(self.seeds)) < len(self.seeds):
            raise ConfigError(
                f"seeds is {options['seeds']}: expected different whole numbers from 0 on, such as "
                "--seeds=[1,2,3]."
            )
        self.drawn_with = settings(self.path)["seed"]

    @property
    def all(self):
        return self.seeds

    def made_here(self, key):
        # A classifier that is not trained here may be given, and is then the same for all.
        frozen = key == "classifier_checkpoint" and "classifier" not in self.stages
        return super().made_here(key) and not frozen

    def of(self, seed):
        return {"seed": seed, "scenario_seed": self.drawn_with}

    def title(self, seed):
        return f"seed {seed}"

    def caption(self, stage, done):
        plain = self.settings(stage, done[0])
        same = (
            f"All seeds explain the same clips, drawn with seed {plain['scenario_seed']}. "
            if "scenario" in plain
            else ""
        )
        return [self.heading(stage, done), f"{same}{self.spread()}"]

    def footnotes(self, stage, done):
        notes = []
        for folders in zip(*(self.evaluations(stage, seed) for seed in done), strict=True):
            parts = [f.rows().assign(seed=seed) for f, seed in zip(folders, done, strict=True)]
            rows = pd.concat(parts, ignore_index=True)
            tests = against_reference(rows)
            if len(tests):
                where = ", ".join(rows[["scenario", "domain"]].iloc[0])
                notes.append(f"{where}: {footnote(tests, seeds=len(done))}")
        return notes
