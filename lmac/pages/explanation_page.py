"""The page of one recording: its explanations to hear, to see and to take away.

``explain.py`` writes it beside their folders, and it opens from the disk; the app shows the same
data with the same scripts.
"""

from pathlib import Path

from lmac.explain.loudness import MOST_DB
from lmac.pages.page import relative_url, sounds_data, write_page

TIMELINE = "timeline.png"
FILES = ("explanation.wav", "removed.wav", "input.wav", "explanation.png", "explanation.json")


def write_recording(recording, domain, folder):
    """Write ``spectrogram.png``, without axes, into ``folder``; returns the names of the files."""
    from lmac.explain.figures import write_spectrogram  # here, as below, for it brings torch

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    n_frames = recording.n_samples // recording.hop + 1
    write_spectrogram(recording.X[:n_frames].cpu(), domain, folder / "spectrogram.png")
    return ["spectrogram.png"]


def draw_recording(recording, folder):
    """Draw ``timeline.png`` into ``folder`` where there are several windows; returns the names."""
    if len(recording.starts) == 1:
        return []
    from lmac.explain.figures import timeline_figure

    classes = timeline_rows(recording)
    timeline_figure(
        classes,
        recording.clips.probs[:, [recording.labels.index(c) for c in classes]].cpu(),
        recording.edges(),
        recording.votes.tolist(),
        str(recording),
        Path(folder) / TIMELINE,
    )
    return [TIMELINE]


def timeline_rows(recording):
    """The classes that a timeline shows: the most probable ones, and each that wins a window."""
    winners = recording.clips.probs.cpu()[recording.votes].argmax(1).tolist()
    rows = [name for name, _ in recording.top_classes()]
    return list(dict.fromkeys([*rows, *(recording.labels[i] for i in winners)]))


def in_words(explanation):
    """What an explanation does to the decision, in plain words."""
    name = explanation.explained_class
    of = f'"{name.replace("_", " ")}"' if name else "each window's decision"
    before, after = f"{explanation.p:.2f}", f"{explanation.p_out:.2f}"
    change = f"{'falls' if explanation.p_out < explanation.p else 'rises'} from {before} to {after}"
    return (
        f"Without this part, the probability of {of} "
        f"{f'stays at {before}' if before == after else change}. "
        f"This part alone gives {explanation.p_in:.2f}."
    )


def recording_data(recording, domain, folder, output):
    """What the page shows of a recording that was written to ``folder``, as plain values.

    Addresses are relative to the folder ``output``.
    """
    top, rows = recording.top_classes(), timeline_rows(recording)
    numbers = [recording.labels.index(name) for name in rows]
    spectrogram, drawn = Path(folder) / "spectrogram.png", Path(folder) / TIMELINE
    return {
        "name": recording.name,
        "seconds": recording.seconds,
        "top": [{"name": name, "p": p} for name, p in top],
        "spectrogram": relative_url(spectrogram, output),
        "axis": {"top": domain.top_of_axis, "unit": "Hz" if domain.listenable else "mel band"},
        "timeline": recording.timeline(),
        "rows": rows,
        "drawn": relative_url(drawn, output) if drawn.is_file() else None,
        "edges": recording.edges(),
        "windows": [
            {"p": [float(row[i]) for i in numbers], "votes": votes}
            for row, votes in zip(
                recording.clips.probs.cpu(), recording.votes.tolist(), strict=True
            )
        ],
    }


def explanation_data(explanation, folder, output):
    """What the page shows of an :class:`Explanation` that was written to ``folder``."""
    folder = Path(folder)
    files = [folder / name for name in FILES if (folder / name).is_file()]
    sounds = {name: folder / f"{name}.wav" for name in ("input", "explanation", "removed")}
    return {
        "method": explanation.method,
        "asked": explanation.asked_class,
        "explained": explanation.explained_class,
        "sentence": explanation.sentence,
        "words": in_words(explanation),
        "p": explanation.p,
        "p_in": explanation.p_in,
        "p_out": explanation.p_out,
        "mask": relative_url(folder / "mask.png", output),
        "sounds": sounds_data(sounds, "input", output) if explanation.domain.listenable else {},
        "files": [{"name": file.name, "url": relative_url(file, output)} for file in files],
    }


def write_explanation_page(recording, explanations, path):
    """Write the page at ``path``, of :func:`recording_data` and :func:`explanation_data`."""
    return write_page(
        "explanation.html",
        path,
        title=f"What the classifier heard in {recording['name']}",
        most_db=f"{MOST_DB:g}",
        data={**recording, "explanations": explanations},
    )
