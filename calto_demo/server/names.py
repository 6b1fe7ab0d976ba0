"""What people may be called: what is kept of it, and that nobody looks like the echo contact."""

from __future__ import annotations

import unicodedata

from calto_demo.server.refusal import Refused

LONGEST_NAME = 40

ECHO_NAME = "Echo"
"""The built-in contact's; nobody else may look like it."""

_LOOK_ALIKES = {
    "e": "0395 0415 0435 04BD 13AC 212E 22FF 2D39 A4F0 AB32 10286 118A6 118AE",
    "c": (
        "03F2 03F9 0421 0441 13DF 1D04 2CA4 2CA5 A4DA ABAF 102A2 10302 10415 1043D 1051C 118E9 "
        "118F2 1F74C"
    ),
    "h": "0397 041D 04BB 0570 13BB 13C2 157C 2C8E A4E7 102CF",
    "o": (
        "0030 039F 03BF 03C3 041E 043E 0555 0585 05E1 0647 0665 06BE 06C1 06D5 06F5 07C0 0966 09E6 "
        "0A66 0AE6 0B20 0B66 0BE6 0C02 0C66 0C82 0CE6 0D02 0D20 0D66 0D82 0E50 0ED0 101D 1040 10FF "
        "12D0 1D0F 1D11 2C9E 2C9F 2D54 3007 A4F3 AB3D 10292 102AB 10404 1042C 104C2 104EA 10516 "
        "114D0 118B5 118C8 118D7 118E0"
    ),
}
"""What looks like a letter of that name in any alphabet, without what NFKC makes that letter.

Out of confusables.txt (Unicode Technical Standard 39 §4), as confusable_homoglyphs 3.3.1 has it.
"""

_AS_LATIN = {int(it, 16): letter for letter, those in _LOOK_ALIKES.items() for it in those.split()}


def clean_name(name: str) -> str:
    """Return a name as it is kept. Raises: Refused: it is none."""
    # NFC, so that one name is one text; control and format characters could hide what it says.
    name = unicodedata.normalize("NFC", " ".join(name.split()))
    if not 1 <= len(name) <= LONGEST_NAME or not name.isprintable():
        hint = f"Take 1 to {LONGEST_NAME} characters that can be seen"
        raise Refused("bad-request", "that cannot be a name", hint)
    if _looks_like_echo(name):
        hint = "Take another one, or add something to it"
        raise Refused(
            "bad-request", f"{ECHO_NAME} is the contact that sends back what it hears", hint
        )
    return name


def _looks_like_echo(name: str) -> bool:
    # Before NFKC, which makes a plain sigma of one that looks like a C, and after it, since it
    # makes plain letters of bold ones. Small ones last: of Cyrillic's En the capital looks like H.
    plain = unicodedata.normalize("NFKC", name.translate(_AS_LATIN)).translate(_AS_LATIN)
    return plain.casefold() == ECHO_NAME.casefold()
