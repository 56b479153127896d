# SPDX-License-Identifier: Apache-2.0
"""Words and codes for the direction of a radiograph, in the languages that headers are written in.

Tables and one function: text -> the set of ``frontal``, ``lateral``, ``oblique``, ``decubitus``
that it names. ``view`` decides what follows for an image.
"""

import re
import unicodedata

FRONTAL, LATERAL, OBLIQUE, DECUBITUS = "frontal", "lateral", "oblique", "decubitus"

# CID 4010 and 4009: SNOMED CT, then the older SRT identifiers.
VIEW_POSITIONS = {
    **dict.fromkeys(("272479007", "R-10214", "R-40888"), "PA"),
    **dict.fromkeys(("399348003", "R-10206"), "AP"),
    **dict.fromkeys(("399173006", "R-10236"), "LL"),
    **dict.fromkeys(("399198007", "R-10232"), "RL"),
}
"""The codes that ViewPosition has a term for."""
_FRONTAL_CODES = frozenset(
    {"272479007", "R-10214", "R-40888", "399348003", "R-10206", "399033003", "R-10202"}
)
_LATERAL_CODES = frozenset(
    {
        *("399067008", "399173006", "399198007", "399352003", "399260004", "260432000"),
        *("R-102CD", "R-10236", "R-10232", "R-10228", "R-10224", "30730003", "G-A145"),
    }
)
_OBLIQUE_CODES = frozenset(
    {
        *("399312000", "399160007", "399132005", "260427002", "399099002", "399135007"),
        *("399184004", "399006002", "260426006", "399368009", "399004004", "399225005"),
        *("399288005", "399182000", "399059000", "399356000", "399236003", "399038007"),
        *("399325008", "399188001", "410467002", "399101009"),
        *("R-10208", "R-10204", "R-10252", "R-40783", "R-10230", "R-10220", "R-10238"),
        *("R-10212", "R-40782", "R-10226", "R-10246", "R-10250", "R-10248", "R-102C1"),
        *("R-10216", "R-40985", "R-10234", "R-10210", "R-10254", "R-102D0", "R-10218"),
        *("R-1024B", "R-10222"),
    }
)
_DECUBITUS_CODES = frozenset({"102535000", "102536004", "F-10317", "F-10318", "F-10319"})
CODES = {
    **dict.fromkeys(_FRONTAL_CODES, FRONTAL),
    **dict.fromkeys(_LATERAL_CODES, LATERAL),
    **dict.fromkeys(_OBLIQUE_CODES, OBLIQUE),
    **dict.fromkeys(_DECUBITUS_CODES, DECUBITUS),
}

# Codes of ViewPosition (PS3.3 C.8.1.1, C.8.11.5): too short to be trusted in free text.
_VIEW_POSITIONS = {
    **dict.fromkeys(("LL", "RL", "ML", "LM", "LLAT", "RLAT", "XTL"), LATERAL),
    **dict.fromkeys(("LLD", "RLD", "LLDEC", "RLDEC"), DECUBITUS),
    **dict.fromkeys(("LLO", "RLO", "MLO", "LMO"), OBLIQUE),
}
_SHORT = {"LL": LATERAL, "RL": LATERAL, "LLD": DECUBITUS, "RLD": DECUBITUS}

_FRONTAL_WORDS = frozenset(
    {
        *("PA", "AP", "DV", "VD", "FRONTAL", "FRONTALE", "FRENTE", "FACE", "POSTEROANTERIOR"),
        *("ANTEROPOSTERIOR", "POSTEROANTERIEUR", "ANTEROPOSTERIEUR", "DORSOVENTRAL"),
        *("VENTRODORSAL", "ПРЯМАЯ", "APPA", "PAAP"),
    }
)
_LATERAL_WORDS = frozenset(
    {
        *("LAT", "LATS", "LATL", "LATR", "LLAT", "RLAT", "LTLAT", "RTLAT", "XTLAT", "CHESTLAT"),
        *("LATERO", "LATEROLATERAL", "LATEROLATERALE", "CXRLAT", "THORAXLAT"),
        *("SEITL", "SEITLICH", "SEITLICHE", "SEITLICHER", "SEITLICHES", "SEITENAUFNAHME"),
        *("SEITENBILD", "SEITBILD", "SEITENANSICHT", "PROFIL", "PERFIL", "PROFILO", "DWARS"),
        *("LATERAAL", "LATERALT", "ZIJDELINGS", "ZIJDELINGSE", "SIDOBILD", "SIDEBILLEDE"),
        *("SIDEBILDE", "BOCZNE", "BOCZNA", "BOCZNY", "BOCZNEGO", "BOCNI", "BOCNY", "YANDAN"),
        *("ПРОФИЛЬ", "ΠΛΑΓΙΑ", "ПРОФІЛЬ"),
    }
)
_OBLIQUE_WORDS = frozenset(
    {
        *("LAO", "RAO", "LPO", "RPO", "LLO", "RLO", "OAD", "OAI", "OPD", "OPI"),
        *("OBL", "OBLIQ", "OBLIQUE", "OBLIQUES", "OBLIQUA", "OBLIQUO", "OBLICUA", "OBLICUO"),
        *("SCHRAG", "SCHRAEG", "SCHRAGE", "SCHRAGAUFNAHME", "SCHRAEGAUFNAHME", "SKRA", "SKRABILD"),
        *("SWIMMER", "SWIMMERS", "SKOSNE", "SKOSNA", "SIKMA", "КОСАЯ", "КОСОИ"),
    }
)
_DECUBITUS_WORDS = frozenset(
    {"DECUB", "DECUBITUS", "DECUBS", "LDECUB", "RDECUB", "SEITENLAGE", "LINKSSEITENLAGE"}
)
_BY_STEM = (
    (re.compile(r"(SEITLICH|БОКОВ|ПРОФИЛЬН)\w*"), LATERAL),
    (re.compile(r"SCHRAE?G\w*"), OBLIQUE),
    (re.compile(r"LATERAL(E|ES|EN|ER|A|O|L|R|LEFT|RIGHT|LINKS|RECHTS)?"), LATERAL),
    (re.compile(r"(L|R|LT|RT|LEFT|RIGHT|CHEST|THORAX|CXR|TORAX|TRUE|XTABLE|MEDIO)LATERALE?"),
     LATERAL),
)  # fmt: skip
_IDEOGRAPHS = (("側面", LATERAL), ("侧位", LATERAL), ("側位", LATERAL), ("측면", LATERAL),
               ("斜位", OBLIQUE), ("正面", FRONTAL), ("正位", FRONTAL))  # fmt: skip
# Before "lateral" these make another word of it: bi-lateral, contra lateral.
_SIDES = frozenset({"BI", "UNI", "CONTRA", "IPSI", "COL", "EQUI", "AMBI", "INFERO", "SUPERO"})
_NOT = frozenset({"NO", "NOT", "NON", "WITHOUT", "OHNE", "KEIN", "KEINE", "SANS", "PAS", "SIN",
                  "SENZA", "SEM", "ZONDER"})  # fmt: skip
_LYING_ON_BACK = frozenset({"SUPINO", "SUPIN", "SUPINE", "DORSAL", "DORSALE"})


def named(text: str, *, view_position: bool = False) -> set[str]:
    """What a text says of the direction; an empty set if it says nothing.

    Args:
        text: of a header, any case, accents and punctuation as they come.
        view_position: the text is ViewPosition, where two letters are enough.
    """
    plain = _plain(text)
    found = {direction for sign, direction in _IDEOGRAPHS if sign in plain}
    words = re.findall(r"[^\W\d_]+|\d+", plain)
    for place, word in enumerate(words):
        direction = _direction(word, view_position=view_position)
        if direction and not _means_something_else(words, place, direction):
            found.add(direction)
    return _settled(found, words)


def short_codes(text: str) -> set[str]:
    """LL, RL, LLD and RLD as words of their own, in text about one series."""
    return {_SHORT[word] for word in re.findall(r"[A-Z]+", _plain(text)) if word in _SHORT}


def _plain(text: str) -> str:
    """Capitals without accents; P.A. as PA."""
    bare = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    bare = unicodedata.normalize("NFC", bare).upper()
    return re.sub(r"\b(P|A|D|V|L)\.\s?(A|P|V|D|L)\b\.?", r"\1\2", bare)


def _direction(word: str, *, view_position: bool) -> str:
    for words, direction in (
        (_FRONTAL_WORDS, FRONTAL),
        (_LATERAL_WORDS, LATERAL),
        (_OBLIQUE_WORDS, OBLIQUE),
        (_DECUBITUS_WORDS, DECUBITUS),
    ):
        if word in words:
            return direction
    if view_position and word in _VIEW_POSITIONS:
        return _VIEW_POSITIONS[word]
    return next((direction for stem, direction in _BY_STEM if stem.fullmatch(word)), "")


def _means_something_else(words: list[str], place: int, direction: str) -> bool:
    """Negated, a part of another word, or a numbered profile of the processing."""
    before = words[max(0, place - 2) : place]
    if any(word in _NOT for word in before):
        return True
    after = words[place + 1 : place + 2]
    if words[place] in ("PROFIL", "PERFIL", "PROFILO") and any(w.isdigit() for w in after):
        return True
    return direction == LATERAL and bool(before) and before[-1] in _SIDES


def _settled(found: set[str], words: list[str]) -> set[str]:
    """Lying on the back is frontal; an oblique view is not lateral or frontal as well."""
    on_back = any(word in _LYING_ON_BACK for word in words) and LATERAL not in found
    if DECUBITUS in found:  # also an AP film of a patient on the side
        return found - {DECUBITUS} if on_back else {DECUBITUS}
    return {OBLIQUE} if OBLIQUE in found else found
