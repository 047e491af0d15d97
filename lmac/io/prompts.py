"""Prompts as a user types them; without torch, so that they are checked before anything else."""

from collections.abc import Mapping

EXAMPLE = '--prompts="a dog barking, rain falling"'


def read_prompts(prompts):
    """What a user gave as ``prompts``, as a dict of name to prompt in the order of the logits.

    Arguments
    ---------
    prompts : str, list of str, or dict of str to str
        Separated by commas; or a list; or with names, those of a data set's classes. Without
        names, prompts are their own.

    Raises ValueError for none, one alone, an empty one, one that is there twice (whatever its
    case and spaces) and one that is no text.
    """
    if isinstance(prompts, str):
        prompts = prompts.split(",")
    named = isinstance(prompts, Mapping)
    if not prompts or not isinstance(prompts, list | tuple | Mapping):
        raise ValueError(f"prompts: there are none ({prompts!r}): give at least two, {EXAMPLE}.")
    pairs = list(prompts.items() if named else zip(prompts, prompts, strict=True))
    for name, text in pairs:
        if not isinstance(text, str):
            raise ValueError(f"prompts: {text!r} ({name}) is a {type(text).__name__}, not a text.")
        if not text.strip():
            raise ValueError(
                f"prompts: number {pairs.index((name, text)) + 1} is empty: {EXAMPLE}."
            )
    read = {str(name).strip() if named else tidy(text): tidy(text) for name, text in pairs}
    seen = set()
    for _, text in pairs:
        if tidy(text).casefold() in seen:
            raise ValueError(f"prompts: {tidy(text)!r} is there twice: give each prompt once.")
        seen.add(tidy(text).casefold())
    if len(read) < 2:
        raise ValueError(
            f"prompts: {next(iter(read.values()))!r} is the only one, and the probability of a "
            f"prompt is its share among all: give at least two, {EXAMPLE}."
        )
    return read


def tidy(text):
    """``text`` without spaces at its ends, and single ones inside."""
    return " ".join(text.split())
