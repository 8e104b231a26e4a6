"""Bach's chorales as piano rolls, from the scores that the package music21 carries (never imported: it is slow)."""

import functools
import math
import operator
import zipfile
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import numpy as np

from hpsearch.objectives.rnn.data.piano_roll import next_step
from hpsearch.objectives.rnn.data.sequences import Dataset, FloatArray
from hpsearch.objectives.rnn.faults import setting_fault

CHOIR = ("Soprano", "Alto", "Tenor", "Bass")
KEYS = range(21, 109)
"""Of a piano, as MIDI numbers."""
LEAST_STEPS = 16
FULL_CHOIR = 0.9
"""Least part of the steps at which all four voices sound."""
PASSAGE = 4
SECOND_VERSION = 0.5
"""Part of the passages that an earlier chorale has."""
SEMITONES = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}

Note = tuple[float, float, int]
"""Start and end in quarters, and the MIDI number."""


def bach_chorales(folder: Path) -> Dataset:
    """The chorales of a folder of scores (.mxl), in the order of their names; each step is a quarter note.

    [chorales, steps, 88]: a key (MIDI numbers 21 to 108) is 1 while it sounds at the beginning of the quarter, as in
    the JSB chorales of Boulanger-Lewandowski et al. 2012; those are another selection, so results do not compare. Only
    the choir's four voices are read, repeats once. Left out are scores without these voices, of fewer than 16 steps,
    with all voices sounding at less than 0.9 of the steps, and second versions: those half of whose passages of four
    steps are in earlier ones, in whatever key. Splits are drawn by `split_seed`. Raises `InvalidInput` where there are
    no such scores.
    """
    rolls: list[FloatArray] = []
    heard: set[tuple[int, ...]] = set()
    for path in sorted(folder.glob("*.mxl")):
        roll = _roll(read_choir(path))
        if roll is None:
            continue
        passages = _passages(roll)
        if len(passages & heard) < SECOND_VERSION * len(passages):
            rolls.append(roll)
            heard |= passages
    if not rolls:
        raise setting_fault("dataset", f"finds no chorales in {folder}")
    return Dataset("next_step", next_step(rolls, "bach_chorales"))


def read_choir(path: Path) -> list[list[Note]]:
    """The notes of the four voices of a score; none where it is for others. Beats are at whole quarters from 0 on."""
    score = _score(path)
    names = {part.get("id"): part.findtext("part-name", "") for part in score.iterfind("part-list/score-part")}
    parts = [part for part in score.iterfind("part") if names[part.get("id")].startswith(CHOIR)]
    return [_voice(part) for part in parts] if len(parts) == len(CHOIR) else []


def _score(path: Path) -> Element:
    """The root of a compressed MusicXML score."""
    with zipfile.ZipFile(path) as archive:
        # S314: the files are the installed package's own, no user's
        container = ElementTree.fromstring(archive.read("META-INF/container.xml"))  # noqa: S314
        name = next(container.iterfind(".//{*}rootfile")).attrib["full-path"]
        return ElementTree.fromstring(archive.read(name))  # noqa: S314


def _voice(part: Element) -> list[Note]:
    """The notes of a part; a tied one follows the one before without a gap. No choir's part is transposed."""
    notes: list[Note] = []
    divisions, starts = 1, [0.0]
    for measure in part.iterfind("measure"):
        divisions = int(measure.findtext("attributes/divisions", str(divisions)))
        found, length = _measure(measure, divisions)
        notes += [(starts[-1] + start, starts[-1] + end, key) for start, end, key in found]
        starts.append(starts[-1] + length)
    # an upbeat of less than a quarter lies before 0, or no step would ever begin with a beat
    upbeat = starts[1] % 1
    return [(start - upbeat, end - upbeat, key) for start, end, key in notes]


def _measure(measure: Element, divisions: int) -> tuple[list[Note], float]:
    """The notes of a measure, from its beginning on, and its length."""
    notes: list[Note] = []
    start = now = length = 0
    for element in measure:
        ticks = int(element.findtext("duration", "0"))
        if element.tag == "backup":
            now -= ticks
        elif element.find("chord") is None:  # a note of a chord begins with the one before it
            start, now = now, now + ticks
        pitch = element.find("pitch")
        if pitch is not None and ticks:  # grace notes take no time
            notes.append((start / divisions, (start + ticks) / divisions, _midi(pitch)))
        length = max(length, now)
    return notes, length / divisions


def _midi(pitch: Element) -> int:
    octave, alter = int(pitch.findtext("octave", "")), int(pitch.findtext("alter", "0"))
    return 12 * (octave + 1) + SEMITONES[pitch.findtext("step", "")] + alter


def _roll(voices: list[list[Note]]) -> FloatArray | None:
    """[steps, keys] of 0 and 1; None where it is no chorale."""
    steps = max((math.ceil(end) for notes in voices for _, end, _ in notes), default=0)
    roll = np.zeros((steps, len(KEYS)), dtype=np.float32)
    sounds = np.zeros((steps, len(voices)), dtype=np.bool_)
    for voice, notes in enumerate(voices):
        for start, end, key in notes:
            roll[math.ceil(start) : math.ceil(end), key - KEYS.start] = 1
            sounds[math.ceil(start) : math.ceil(end), voice] = True
    return roll if steps >= LEAST_STEPS and sounds.all(axis=1).mean() >= FULL_CHOIR else None


def _passages(roll: FloatArray) -> set[tuple[int, ...]]:
    """What there is to hear in each four steps on end, the same in all keys."""
    steps = [int.from_bytes(step.tobytes(), "big") for step in np.packbits(roll.astype(np.bool_), axis=1)]
    passages = set()
    for passage in zip(*(steps[first:] for first in range(PASSAGE)), strict=False):
        any_step = functools.reduce(operator.or_, passage)
        highest = any_step & -any_step or 1  # the bits run from the lowest key down to the highest
        passages.add(tuple(step // highest for step in passage))
    return passages
