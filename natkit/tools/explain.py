"""Explanations that need no network: the topics in natkit/tools/topics, and finding one by name.

A topic is a text file: lines "key: value" (title, aliases, rfc, see), an empty line, the text.
The file's name is the topic's.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from natkit.errors import UsageError


@dataclass(frozen=True, slots=True)
class Topic:
    """One explanation.

    Attributes:
        name:    what to type ("symmetric-nat").
        title:   one line.
        aliases: other names people use for it.
        rfc:     the sections that define it; "" where none does.
        see:     names of related topics.
        text:    the explanation, lines of at most 80 characters.
    """

    name: str
    title: str
    aliases: tuple[str, ...]
    rfc: str
    see: tuple[str, ...]
    text: str


@cache
def topics() -> dict[str, Topic]:
    """Return every topic by its name, in alphabetical order."""
    found = [
        parse(entry.name.removesuffix(".txt"), entry.read_text(encoding="utf-8"))
        for entry in (files("natkit.tools") / "topics").iterdir()
        if entry.name.endswith(".txt")
    ]
    return {topic.name: topic for topic in sorted(found, key=lambda topic: topic.name)}


def parse(name: str, source: str) -> Topic:
    """Return the topic that the file called `name` holds."""
    head, _, text = source.partition("\n\n")
    fields = dict(line.split(": ", 1) for line in head.splitlines())
    return Topic(
        name,
        fields["title"],
        _listed(fields.get("aliases", "")),
        fields.get("rfc", ""),
        _listed(fields.get("see", "")),
        text.rstrip(),
    )


def _listed(value: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in value.split(",") if part.strip())


def find(query: str) -> Topic:
    """Return the topic that `query` names: by name, alias or nearly so, in any case.

    Raises: UsageError: nothing is called that; the hint names what comes close.
    """
    names = _names()
    key = _key(query)
    if key in names:
        return names[key]
    # One letter off in a word of some length is a slip; anything else gets suggestions.
    near = difflib.get_close_matches(key, names, n=5, cutoff=0.6)
    if near and difflib.SequenceMatcher(None, key, near[0]).ratio() >= 0.9:
        return names[near[0]]
    suggestions = list(dict.fromkeys([names[n].name for n in near] + _containing(key)))[:5]
    hint = f"Did you mean: {', '.join(suggestions)}?" if suggestions else "List: natkit explain"
    raise UsageError(f"there is no topic {query!r}", hint=hint)


@cache
def _names() -> dict[str, Topic]:
    aliases = {_key(alias): topic for topic in topics().values() for alias in topic.aliases}
    return aliases | {_key(topic.name): topic for topic in topics().values()}


def _key(name: str) -> str:
    # "Symmetric NAT", "symmetric_nat" and "symmetric-nat" are one name.
    return re.sub(r"[\s_-]+", "-", name.strip().lower())


def _containing(key: str) -> list[str]:
    words = [word for word in key.split("-") if len(word) > 3]
    return [
        topic.name
        for topic in topics().values()
        if any(word in _key(topic.title) or word in topic.text.lower() for word in words)
    ]
