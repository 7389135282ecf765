"""M X Mᵀ with a small matrix M that is known when it is compiled, of many squares X at a time: `minimal` has its own.

Plain loops, with LLVM's instructions beside them, as in `tile`.
"""
from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from .compile import overload
from .tile import Registers, data, lanes

Floats = NDArray[Any]
Matrix = Sequence[Sequence[float]]


def _twins(matrix: Matrix) -> dict[int, int]:
    """Rows a + b and a − b, alike but for the signs of some numbers: {k: the row after it that is its twin}."""
    found: dict[int, int] = {}
    for k, row in enumerate(matrix):
        for other in range(k + 1, len(matrix)):
            signs = {a == b for a, b in zip(row, matrix[other], strict=True) if a or b}
            same = all(abs(a) == abs(b) for a, b in zip(row, matrix[other], strict=True))
            if same and signs == {True, False} and not {k, other} & {*found, *found.values()}:
                found[k] = other
    return found


def _combined(registers: Registers, matrix: Matrix, given: list[Any]) -> list[Any]:
    """The product of the matrix and a column of vectors.

    Of two rows of the matrix that differ in signs only, a + b and a − b, the two parts are computed once; where two
    columns do, the sum and the difference of what they multiply.
    """
    builder, rows, columns = registers.builder, _twins(matrix), _twins(tuple(zip(*matrix, strict=True)))

    def both(one: Any, other: Any) -> tuple[Any, Any]:
        return builder.fadd(one, other), builder.fsub(one, other)

    def sum_of(terms: list[tuple[float, Any]]) -> Any:
        total = None
        for factor, values in sorted(terms, key=lambda term: abs(term[0]) != 1):
            if total is None:
                total = values if factor == 1 else builder.fmul(values, registers.constant(factor))
            elif abs(factor) == 1:
                total = (builder.fadd if factor == 1 else builder.fsub)(total, values)
            else:
                term = builder.fmul(values, registers.constant(factor), flags=("contract",))
                total = builder.fadd(term, total, flags=("contract",))
        return total

    made: list[Any] = [None] * len(matrix)
    if rows:
        for k, factors in enumerate(matrix):
            terms = [(factor, values) for factor, values in zip(factors, given, strict=True)]
            if k in rows:
                other = matrix[rows[k]]
                alike = [term for i, term in enumerate(terms) if term[0] and factors[i] == other[i]]
                apart = [term for i, term in enumerate(terms) if term[0] and factors[i] != other[i]]
                made[k], made[rows[k]] = both(sum_of(alike), sum_of(apart))
            elif made[k] is None:
                made[k] = sum_of([term for term in terms if term[0]])
        return made
    both_ways = {i: both(given[i], given[other]) for i, other in columns.items()}
    for k, factors in enumerate(matrix):
        terms = []
        for i, factor in enumerate(factors):
            if i in both_ways:
                terms.append((factor, both_ways[i][0 if factor == factors[columns[i]] else 1]))
            elif i not in columns.values():
                terms.append((factor, given[i]))
        made[k] = sum_of([term for term in terms if term[0]])
    return made


def square(name: str, matrix: Matrix) -> Callable[..., None]:
    """A function that computes M X Mᵀ of a square X of rows, along and down at once: what is halfway stays in
    registers, or near. With it in memory, GoogLeNet's first layer took a tenth longer, 3 × 3 up to 4 %."""

    def combine(
        source: Floats, down: int, along: int, count: int, target: Floats, lower: int, right: int,
        b: Floats | None = None, least: Any = None, wrong: Floats | None = None
    ) -> None:
        """target[k · lower + l · right + v] = Σ_ij matrix[k][i] matrix[l][j] source[i · down + j · along + v].

        With b, b[v] is added while the results are at hand; what is less than `least` becomes that. wrong[v] += 0 · Σ
        of them, for which it becomes NaN where one is not finite, or where so many large ones are.
        """
        for v in range(count):
            everything = source.dtype.type(0)
            for k, row in enumerate(matrix):
                for m, column in enumerate(matrix):
                    value = _of_square(row, column, source, down, along, v)
                    if b is not None:
                        value += b[v]
                        everything += value
                        value = least if value <= least else value
                    target[k * lower + m * right + v] = value
            if wrong is not None:
                wrong[v] += 0 * everything

    @intrinsic  # type: ignore[untyped-decorator]
    def instructions(
        context: Any, source: Any, down: Any, along: Any, v: Any, target: Any, lower: Any, right: Any, b: Any,
        least: Any, wrong: Any
    ) -> Any:
        def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
            registers = Registers(context, builder, signature.args[0].dtype)
            source, target = (data(context, builder, signature, arguments, i) for i in (0, 4))
            _, down, along, v, _, lower, right, _, least, _ = arguments
            square = _squared(registers, matrix, source, down, along, v)
            if isinstance(b, types.Array):
                bias, wrong = (data(context, builder, signature, arguments, i) for i in (7, 9))
                square = _finished(registers, square, registers.load(bias, v), registers.repeat(least), wrong, v)
            for k, row in enumerate(square):
                for m, values in enumerate(row):
                    registers.store(values, target, _place(builder, lower, k, _place(builder, right, m, v)))
            return context.get_dummy_value()

        return types.void(source, down, along, v, target, lower, right, b, least, wrong), generate

    instructions.__name__ = f"square_{name}"

    @overload(combine)
    def _combine(
        source: Any, down: Any, along: Any, count: Any, target: Any, lower: Any, right: Any, b: Any = None,
        least: Any = None, wrong: Any = None
    ) -> Any:
        width = lanes(source.dtype.bitwidth // 8)

        def run(
            source: Any, down: Any, along: Any, count: Any, target: Any, lower: Any, right: Any, b: Any = None,
            least: Any = None, wrong: Any = None
        ) -> None:
            for v in range(0, count, width):
                instructions(source, down, along, v, target, lower, right, b, least, wrong)

        return run

    return combine


def _finished(
    registers: Registers, square: list[list[Any]], bias: Any, least: Any, wrong: Any, v: Any
) -> list[list[Any]]:
    """The square plus the bias, nothing in it below `least`; and marked in `wrong` where it is not finite."""
    build, everything = registers.builder, registers.constant(0)
    finished: list[list[Any]] = []
    for row in square:
        finished.append([])
        for values in row:
            value = build.fadd(values, bias)
            everything = build.fadd(everything, value)
            finished[-1].append(build.select(build.fcmp_ordered("<=", value, least), least, value))
    nothing = build.fmul(everything, registers.constant(0), flags=("contract",))
    registers.store(build.fadd(nothing, registers.load(wrong, v), flags=("contract",)), wrong, v)
    return finished


def _of_square(
    row: Sequence[float], column: Sequence[float], source: Floats, down: int, along: int, v: int
) -> Any:
    total = source.dtype.type(0)
    for i, factor in enumerate(row):
        for j, other in enumerate(column):
            if factor and other:
                total += source.dtype.type(factor * other) * source[i * down + j * along + v]
    return total


def _squared(
    registers: Registers, matrix: Matrix, source: Any, down: Any, along: Any, v: Any
) -> list[list[Any]]:
    build, size = registers.builder, range(len(matrix[0]))
    half = []
    for i in size:
        row = [registers.load(source, _place(build, down, i, _place(build, along, j, v))) for j in size]
        half.append(_combined(registers, matrix, row))
    columns = [_combined(registers, matrix, list(column)) for column in zip(*half, strict=True)]
    return [list(row) for row in zip(*columns, strict=True)]


def _place(builder: ir.IRBuilder, size: Any, i: int, v: Any) -> Any:
    return builder.add(builder.mul(size, ir.Constant(size.type, i)), v)
