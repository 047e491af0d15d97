"""Copy trained weights for others to use: in half precision, without paths of this machine.

    python -m lmac share results/ESC50 recipes/ESC50/weights --parts=[classifier,lmac_stft]

Each part is the folder of a training below the results; its ``best`` is copied to a folder of the
same name, which scripts take as they take the original. Numbers are rounded to 16 bits, so answers
differ in about the third digit; a decoder is noted to belong to the classifier so rounded.
"""

from lmac.settings.command_line import REQUIRED, Argument, CommandLine, Option

COMMAND_LINE = CommandLine(
    Argument("source", "results folder of a recipe"),
    Argument("destination", "folder to copy to"),
    Option("parts", list, REQUIRED, "folders of trainings: a classifier, its L-MAC decoders"),
)


def main(argv):
    values = COMMAND_LINE.parse(argv)
    from lmac.evaluation.runs.rounded import share  # here, so that --help need not wait for torch

    for folder in share(**values):
        print(f"Copied to {folder}")
