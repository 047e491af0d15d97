"""The built-in sounds as a data set: generated once, then like any other."""

from pathlib import Path

from data_prep.builtin_sounds import generate
from data_prep.manifest import audio_duration, read_table, to_int, write_manifest


def prepare(data_folder, manifest, **options):
    """Generate the sounds where they are missing, and write their manifest.

    Arguments
    ---------
    data_folder : path
        Made when it does not exist.
    manifest : path
        CSV to write; its column ``clean`` names the event without its background.
    **options
        Of ``data_prep.builtin_sounds.generate`` (seed, clips_per_class, duration_s, ...).

    Returns
    -------
    list of str
        Class names in the order of their numbers.
    """
    folder = Path(data_folder)
    meta = Path(generate(folder, **options))
    table = read_table(meta, ("filename", "fold", "target", "category"))
    targets = dict(zip(table["target"].astype(int), table["category"], strict=True))
    write_manifest(
        (
            {
                "ID": row.filename.rsplit(".", 1)[0],
                "duration": round(audio_duration(folder / "audio" / row.filename, str(meta)), 4),
                "wav": f"audio/{row.filename}",
                "fold": to_int(row.fold, "fold", meta, i + 2),
                "label": row.category,
                "clean": f"clean/{row.filename}",
            }
            for i, row in enumerate(table.itertuples(index=False))
        ),
        manifest,
    )
    return [targets[t] for t in sorted(targets)]
