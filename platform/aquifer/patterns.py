"""Patterns: the part of regular expressions that Java (Spark) and Rust (Sail, Polars) read alike.

Belongs here: refusing what the engines read differently, and writing the rest so that they agree.
Does not: which column a pattern is for (`checks`).

Java's `$` also matches before a last line feed and its `.` stops at more line ends than Rust's, so
both are rewritten. Classes such as \\d are ASCII in Java and Unicode in Rust, so they are refused.
"""

import re

from pydantic_core import SchemaError, SchemaValidator, core_schema

from aquifer.errors import ContractError

_TOKEN = re.compile(
    r"""
      (?P<escape> \\. )
    | (?P<class> \[ \^? (?: [^\[\]\\] | \\. )+ \] )
    | (?P<group> \( (?: \?: )? (?!\?) )
    | (?P<quantifier> (?: [*+?] | \{ [0-9]+ (?: , [0-9]* )? \} ) \?? (?![*+?{]) )
    | (?P<any> \. )
    | (?P<end> \$ )
    | (?P<start> \^ )
    | (?P<alternative> \| )
    | (?P<close> \) )
    | (?P<text> [^\\\[\](){}*+?.$^|] )
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPES = frozenset("\\.^$*+?()[]{}|/-nrt")
_CLASS_OPERATORS = re.compile(r"&&|--|~~")


def portable(pattern: str, *, whole: bool) -> str:
    """`pattern`, rewritten so that every engine gives the same verdict.

    Args:
        pattern: the regular expression as a contract has it.
        whole: whether it has to describe the whole text, and be written as `^...$`.

    Raises:
        ContractError: the pattern is not whole, or engines read a part of it differently.
    """
    written = []
    depth = 0
    position = 0
    before = "alternative"
    while position < len(pattern):
        token = _TOKEN.match(pattern, position)
        kind = token.lastgroup if token else None
        if token is None or kind is None or _differs(kind, token[0], before):
            raise ContractError(
                f"engines read the pattern {pattern} differently at '{pattern[position:]}'; "
                "keep to [0-9] and the like, groups, alternatives and simple quantifiers"
            )
        depth += {"group": 1, "close": -1}.get(kind, 0)
        if whole and kind == "alternative" and depth == 0:
            raise ContractError(
                f"the pattern {pattern} is not whole, as its alternatives are not in a group; "
                "write it as ^(...|...)$"
            )
        written.append({"any": r"[^\n]", "end": r"\z"}.get(kind, token[0]))
        position = token.end()
        before = kind
    if whole and not (pattern.startswith("^") and before == "end"):
        raise ContractError(f"the pattern {pattern} is not whole; write it as ^...$")
    _parsed("".join(written), pattern)
    return "".join(written)


def _differs(kind: str, text: str, before: str) -> bool:
    if kind == "escape":
        return text[1] not in _ESCAPES
    if kind == "class":
        escapes = re.findall(r"\\(.)", text, re.DOTALL)
        return bool(_CLASS_OPERATORS.search(text)) or not _ESCAPES.issuperset(escapes)
    return kind == "quantifier" and before in {"alternative", "group", "start", "end"}


def _parsed(written: str, pattern: str) -> None:
    # By the engines' own library, Rust's, through that of its callers which starts no threads: a
    # module that writes a pattern may be imported before a fork.
    try:
        SchemaValidator(core_schema.str_schema(pattern=written, regex_engine="rust-regex"))
    except SchemaError as error:
        # Only the last line of the library's drawing says what is wrong.
        reason = str(error).splitlines()[-1].removeprefix("error: ")
        raise ContractError(f"the pattern {pattern} cannot be read: {reason}") from error
