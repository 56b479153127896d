# SPDX-License-Identifier: Apache-2.0
"""A Python file in, its copies with one wrong line each out; ``mutants.py`` tests them.

The text is edited where the syntax tree says that a node stands, so the rest stays as it is.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

SIGNS = "<:<= <=:< >:>= >=:> ==:!= !=:== +:- -:+ *:/ /:* //:* %:* **:* &:| |:& and:or or:and"
SWAP = dict(pair.split(":") for pair in SIGNS.split())
SWAP |= {"in": "not in", "not in": "in", "is": "is not", "is not": "is"}
TWINS = "min:max any:all minimum:maximum amin:amax floor:ceil clamp_min:clamp_max"
TWIN = {a: b for pair in TWINS.split() for a, b in (pair.split(":"), pair.split(":")[::-1])}


@dataclass(frozen=True)
class Mutant:
    """One line of one file before and after; ``killed`` is None until its tests have run."""

    file: str
    line: int
    before: str
    after: str
    killed: bool | None = None
    by: str = ""  # the first test that failed

    def __str__(self) -> str:
        state = {None: "drawn", True: "killed", False: "SURVIVED"}[self.killed]
        change = f"{self.before.strip()}  ->  {self.after.strip()}"
        return f"{state:9}{self.file}:{self.line}  {change}  {self.by}".rstrip() + "\n"


def mutants_of(path: Path, name: str) -> list[Mutant]:
    """Every mutant of a file whose change lies on one line, in order; what is no Python is left."""
    text = path.read_text(encoding="utf-8")
    lines, found = text.split("\n"), set()
    for row, start, end, new in edits(ast.parse(text), text):
        old = lines[row - 1].encode()
        after = (old[:start] + new.encode() + old[end:]).decode()
        try:
            ast.parse("\n".join([*lines[: row - 1], after, *lines[row:]]))
        except SyntaxError:
            continue
        found.add(Mutant(name, row, lines[row - 1], after))
    return sorted(found, key=lambda m: (m.line, m.after))


def edits(tree: ast.AST, text: str) -> Iterator[tuple[int, int, int, str]]:
    """(line, first byte, byte after the last, new text) of each change that an operator makes."""
    lines = text.encode().split(b"\n")
    for node in walk(tree):
        for part, new in replaced(node, text):
            if part.lineno == part.end_lineno:
                yield part.lineno, part.col_offset, part.end_col_offset or 0, new
        signed = isinstance(node, ast.Compare | ast.BinOp | ast.BoolOp)
        operands = [n for n in ast.iter_child_nodes(node) if isinstance(n, ast.expr)]
        for left, right in pairwise(operands if signed else []):  # the sign stands between the two
            start, end = left.end_col_offset or 0, right.col_offset
            gap = lines[right.lineno - 1][start:end].decode(errors="replace")
            sign = gap.strip(" ()")
            if left.end_lineno == right.lineno and sign in SWAP:
                yield right.lineno, start, end, gap.replace(sign, SWAP[sign], 1)


def walk(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes whose meaning tests can pin: no types, error texts, logging, decorators, guards."""
    for field, value in ast.iter_fields(node):
        if field not in ("annotation", "returns", "decorator_list"):
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST) and not quiet(child):
                    yield child
                    yield from walk(child)


def quiet(node: ast.AST) -> bool:
    """Raise, f-string, ``strict=`` of zip, ``__all__``, type alias, logging call."""
    if isinstance(node, ast.Call):
        return bool(re.match(r"_?log(ger|ging)?\.", ast.unparse(node.func), re.IGNORECASE))
    if isinstance(node, ast.Assign):
        return bool(re.fullmatch(r"__all__|[A-Z]\w*[a-z]\w*", ast.unparse(node.targets[0])))
    guard = isinstance(node, ast.keyword) and node.arg == "strict"
    return guard or isinstance(node, ast.Raise | ast.JoinedStr)


def replaced(node: ast.AST, text: str) -> Iterator[tuple[ast.expr | ast.stmt, str]]:
    """(node, what may stand in its place): constant, ``not``, twin call, slice bound, return."""
    source = partial(ast.get_source_segment, text)
    match node:
        case ast.Constant(value=bool() as truth):
            yield node, str(not truth)
        case ast.Constant(value=int() | float() as number):
            news = (number + 1, number * 2, -number)
            yield from (
                (node, f"({new!r})" if new < 0 else repr(new)) for new in news if new != number
            )
        case ast.UnaryOp(op=ast.Not() | ast.USub()):
            yield node, f"({source(node.operand)})"
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name in TWIN:
            yield node.func, f"{source(node.func)}".removesuffix(name) + TWIN[name]
        case ast.Slice():
            bounds = [bound for bound in (node.lower, node.upper) if bound is not None]
            yield from ((bound, f"({source(bound)}) + 1") for bound in bounds)
        case ast.Return(value=ast.Compare() | ast.BoolOp() as value):
            yield node, f"return not ({source(value)})"
        case ast.Return(value=ast.expr() as value) if not isinstance(value, ast.Constant):
            yield node, "return None"
