# SPDX-License-Identifier: Apache-2.0
"""Token ids of ProgEmu's prompts and pictures, and which of them may come next."""

from collections.abc import Callable, Sequence

EOL, EOF_, BOS, EOS = 151846, 151847, 151849, 151850
IMG, BOI, EOI, CODES = 151851, 151852, 151853, 151854  # code k is CODES + k
TEXTUAL = range(100_000)
SPOKEN = 200  # tokens behind the picture in which text may stand

Encode = Callable[[str], Sequence[int]]


def prompt(encode: Encode, text: str, codes: Sequence[Sequence[int]], side: int) -> list[int]:
    """bos, the source's picture, the text, and the beginning of another picture.

    ``codes``: rows of the source, or none for the negative prompt of guidance; ``side`` rows and
    columns are asked for.
    """
    begin = [BOI, *encode(f"{side}*{side}"), IMG]
    picture: list[int] = []
    for number, row in enumerate(codes):
        picture += [*([EOL] if number else []), *(CODES + k for k in row)]
    source = [*begin, *picture, EOL, EOF_, EOI] if codes else []
    return [BOS, *source, *encode(text), *begin]


def allowed(offset: int, side: int, codes: int) -> Sequence[int]:
    """What the token at ``offset`` behind the second IMG may be; 1 is the first new one.

    As published, the end of a row comes first, so that it also falls into the text behind.
    """
    last = (side + 1) * side
    if offset % (side + 1) == 0:
        return (EOL,)
    if offset <= last:
        return range(CODES, CODES + codes)
    if offset in (last + 1, last + 2):
        return (EOF_,) if offset == last + 1 else (EOI,)
    if offset <= last + 4:
        return TEXTUAL
    return (*TEXTUAL, EOS) if offset <= last + SPOKEN else (EOS,)


def codes_of(ids: Sequence[int], side: int) -> list[int]:
    """The picture's codes, side x side; a short one is filled with its last."""
    found = [k - CODES for k in ids if k >= CODES][: side * side]
    return found + found[-1:] * (side * side - len(found))
