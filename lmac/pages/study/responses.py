"""What a listening test asks and what a participant's file must look like.

Shared by the page's generator, the collecting server and the analysis, so that what the server
takes can be analysed.
"""

import json
import re
from pathlib import Path

TEST_FORMAT = "lmac-listening-test-2"
RESPONSE_FORMAT = "lmac-listening-response-2"
# The two questions of the talk's user study, about each stimulus.
QUESTIONS = {
    "correspondence": "How well does this explanation correspond to the part of the input audio "
    "that is associated with the given class?",
    "quality": "How good is the audio quality of this explanation, compared with the input?",
}
WORDS = ("bad", "poor", "fair", "good", "excellent")
# Smallest and largest rating, both whole numbers.
SCALES = {"mushra": (0, 100), "mos": (1, 5)}
# What a participant may listen with, where that is asked.
DEVICES = ("headphones", "earphones", "loudspeakers")
PARTICIPANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
TOKEN = re.compile(r"[A-Za-z0-9]{8,64}")
LONGEST_COMMENT = 2000
LARGEST_BYTES = 256 * 1024
FIELDS = {
    *("format", "test", "participant", "started", "finished", "ratings", "comment"),
    *("consent", "device"),
}
RATING_FIELDS = {"stimulus", *QUESTIONS, "plays", "position"}


class ResponseError(ValueError):
    """A participant's answers that are not as the test asked for; the message says how."""


def read_test(folder):
    """``(manifest, key)`` of a test folder made by ``lmac.pages.study.listening_test``.

    Raises FileNotFoundError or ValueError for a folder that holds no test.
    """
    parts = []
    for name in ("manifest.json", "key.json"):
        path = Path(folder) / name
        if not path.is_file():
            raise FileNotFoundError(
                f"There is no {path}: give a folder made by python -m lmac study."
            )
        try:
            parts.append(json.loads(path.read_text(encoding="utf-8")))
        except ValueError as error:
            raise ValueError(f"{path} is not valid JSON ({error}): make the test again.") from error
    manifest, key = parts
    if manifest.get("format") != TEST_FORMAT or key.get("test") != manifest.get("test"):
        raise ValueError(
            f"{folder}: manifest.json and key.json are not of one listening test of this version "
            f"({TEST_FORMAT}); put those together that were made together."
        )
    return manifest, key


def stimuli(manifest):
    """Names of all stimuli that are rated, in the order of the manifest."""
    return [name for trial in manifest["trials"] for name in trial["stimuli"]]


def parse_name(data, manifest):
    """``(participant, token)`` of a page that asks whether it may begin under a name.

    ``data`` is JSON with exactly ``test``, ``participant`` and ``token``, which tells one page
    from another. Raises ResponseError for anything else.
    """
    request = _object(data, {"test", "participant", "token"})
    _check_names(request, manifest)
    token = request["token"]
    if not isinstance(token, str) or not TOKEN.fullmatch(token):
        raise ResponseError(f"token must be 8 to 64 letters or digits, got {_short(token)}")
    return request["participant"], token


def _object(data, fields):
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ResponseError("it is not valid JSON") from error
    if not isinstance(found, dict) or set(found) != fields:
        raise ResponseError(f"it must be an object with exactly {', '.join(sorted(fields))}")
    return found


def _check_names(found, manifest):
    """ResponseError when ``test`` or ``participant`` are not as expected."""
    if found["test"] != manifest["test"]:
        raise ResponseError(
            f"it answers the test {_short(found['test'])}, this one is {manifest['test']!r}"
        )
    participant = found["participant"]
    if not isinstance(participant, str) or not PARTICIPANT.fullmatch(participant):
        raise ResponseError(
            "participant must be 1 to 40 letters, digits, '-' or '_' (A-Z without accents), got "
            + _short(participant)
        )


def parse_response(data, manifest):
    """The answers of one participant, checked against the test.

    Arguments
    ---------
    data : bytes
        JSON of the file, at most ``LARGEST_BYTES``.
    manifest : dict

    Returns the decoded dictionary. Raises ResponseError with one sentence for anything that is
    not as expected: every stimulus has to be rated exactly once, on the test's scale.
    """
    if len(data) > LARGEST_BYTES:
        raise ResponseError(f"it has {len(data)} bytes, more than the {LARGEST_BYTES} allowed")
    response = _object(data, FIELDS)
    if response["format"] != RESPONSE_FORMAT:
        raise ResponseError(f"format must be {RESPONSE_FORMAT!r}")
    _check_names(response, manifest)
    for key, longest in (("started", 40), ("finished", 40), ("comment", LONGEST_COMMENT)):
        if not isinstance(response[key], str) or len(response[key]) > longest:
            raise ResponseError(f"{key} must be a text of at most {longest} characters")
    if response["consent"] is not (manifest["consent"] is not None):
        raise ResponseError("consent must be true where the test asks for it, and false elsewhere")
    devices = DEVICES if manifest["headphones"] else ("",)
    if response["device"] not in devices:
        raise ResponseError(
            f"device must be {' or '.join(map(repr, devices))}, got {_short(response['device'])}"
        )
    _check_ratings(response["ratings"], manifest)
    return response


def _check_ratings(ratings, manifest):
    if not isinstance(ratings, list):
        raise ResponseError("ratings must be a list")
    low, high = SCALES[manifest["scale"]]
    expected, seen = set(stimuli(manifest)), set()
    for number, rating in enumerate(ratings):
        where = f"ratings[{number}]"
        if not isinstance(rating, dict) or set(rating) != RATING_FIELDS:
            raise ResponseError(
                f"{where} must be an object with exactly {', '.join(sorted(RATING_FIELDS))}"
            )
        name = rating["stimulus"]
        if not isinstance(name, str) or name not in expected:
            raise ResponseError(f"{where}: there is no stimulus {_short(name)} in this test")
        if name in seen:
            raise ResponseError(f"{where}: {name} is rated twice")
        seen.add(name)
        for question in QUESTIONS:
            value = rating[question]
            if type(value) is not int or not low <= value <= high:
                raise ResponseError(
                    f"{where}: {question} must be a whole number from {low} to {high}, got "
                    + _short(value)
                )
        for count in ("plays", "position"):
            if type(rating[count]) is not int or not 0 <= rating[count] < 10**6:
                raise ResponseError(f"{where}: {count} must be a whole number of 0 or more")
    if expected - seen:
        raise ResponseError(f"{len(expected - seen)} of {len(expected)} stimuli are not rated")


def _short(value):
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
