"""`0.7 * right + 0.3 * short`: read and computed step by step; nothing is handed to Python to evaluate."""

import ast
import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

OPERATORS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: math.pow,
}
FUNCTIONS: dict[str, Callable[..., float]] = {
    "min": min,
    "max": max,
    "abs": abs,
    "floor": math.floor,
    "ceil": math.ceil,
    "exp": math.exp,
    "sqrt": math.sqrt,
    "log": math.log,
}
ONE_ARGUMENT = frozenset(FUNCTIONS) - {"min", "max"}


class BadExpression(Exception):
    """The expression cannot be read, or has no value. The message is a sentence for its author."""


class Expression:
    def __init__(self, text: str) -> None:
        """Raises BadExpression. `^` is the power, as in OpenAI's graders."""
        try:
            self._tree = ast.parse(text.strip().replace("^", "**"), mode="eval").body
            self.names = frozenset(_names(self._tree))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            raise BadExpression(
                f"`{text[:80]}` is not an expression like 0.7 * right + 0.3 * short"
            ) from None

    def value(self, names: Mapping[str, float]) -> float:
        """Raises BadExpression where there is no finite value."""
        try:
            found = _value(self._tree, names)
        except ZeroDivisionError:
            raise BadExpression("the expression divides by zero here") from None
        except (OverflowError, ValueError, RecursionError):
            raise BadExpression("the expression has no value here") from None
        if not math.isfinite(found):
            raise BadExpression("the expression has no finite value here")
        return found


def _names(node: ast.AST) -> list[str]:
    """Walks the whole tree, so that what is not understood is found before anything is graded."""
    match node:
        case ast.Constant(value=value) if type(value) in (int, float):
            return []
        case ast.Name(id=name):
            return [name]
        case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=inner):
            return _names(inner)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATORS:
            return _names(left) + _names(right)
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if _is_call(name, args):
            return [found for each in args for found in _names(each)]
        case _:
            what = ast.unparse(node)[:40]
            known = ", ".join(FUNCTIONS)
            raise BadExpression(f"`{what}` is not understood; use + - * / ^, numbers, graders and {known}")


def _is_call(name: str, arguments: list[ast.expr]) -> bool:
    return name in FUNCTIONS and len(arguments) >= 1 and (name not in ONE_ARGUMENT or len(arguments) == 1)


def _value(node: Any, names: Mapping[str, float]) -> float:
    match node:
        case ast.Constant():
            return float(node.value)  # type: ignore[arg-type]  # `_names` let only numbers pass
        case ast.Name(id=name):
            return names[name]
        case ast.UnaryOp(op=op, operand=inner):
            found = _value(inner, names)
            return -found if isinstance(op, ast.USub) else found
        case ast.BinOp(left=left, op=op, right=right):
            return OPERATORS[type(op)](_value(left, names), _value(right, names))
        case _:
            arguments = [_value(each, names) for each in node.args]
            name = node.func.id
            return float(FUNCTIONS[name](arguments[0] if name in ONE_ARGUMENT else arguments))
