"""The results of a benchmark as tables: on the terminal, and as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from graphflow.cli.bench.ways import WAYS
from graphflow.cli.bench.workloads import WORKLOADS

Row = dict[str, Any]


@dataclass(frozen=True)
class Table:
    """A table of text; the first `names` columns are left-aligned."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    names: int = 1
    note: str = ""


def tables(results: Row) -> list[Table]:
    """A table for each part that was measured."""
    made = [make(results[part]) for part, make in _TABLES.items() if results.get(part)]
    return [table for group in made for table in group]


def show(results: Row, console: Any) -> None:
    """Print the tables (``console`` is a rich Console)."""
    from rich import box
    from rich.table import Table as RichTable

    console.print(*headline(results), sep="\n", highlight=False, markup=False)
    for table in tables(results):
        shown = RichTable(title=table.title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
        shown.caption, shown.caption_justify = table.note or None, "left"
        for number, column in enumerate(table.columns):
            shown.add_column(column, justify="left" if number < table.names else "right")
        for row in table.rows:
            shown.add_row(*row)
        console.print(shown)
    for problem in results["problems"]:
        console.print(f"Problem: {problem}", markup=False)


def markdown(results: Row) -> str:
    """The tables as Markdown."""
    parts = ["# graphflow bench", *headline(results)]
    for table in tables(results):
        rules = [":--" if number < table.names else "--:" for number in range(len(table.columns))]
        lines = [_line(table.columns), _line(rules), *map(_line, table.rows)]
        parts += [f"## {table.title}", "\n".join(lines), *([table.note] if table.note else [])]
    if results["problems"]:
        parts += ["## Problems", "\n".join(f"- {problem}" for problem in results["problems"])]
    return "\n\n".join(parts) + "\n"


def headline(results: Row) -> list[str]:
    """The machine, versions, the date, how busy the machine was, and the note of the run."""
    machine = results["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    cpu = f"{machine['cpu']} ({machine['llvm_cpu']}, {machine['target']}), {machine['cpus']} CPUs, {machine['system']}"
    lines = [cpu, f"{versions}; {results['date']}"]
    if results["others_cpu_share"] is not None:
        lines.append(f"Other processes used {results['others_cpu_share']:.0%} of the CPUs meanwhile.")
    return [*lines, results["note"]] if results["note"] else lines


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


# -- a table for each part -------------------------------------------------------------------------------------------
def _limits(rows: Sequence[Row]) -> list[Table]:
    cells = [[str(r["threads"]), f"{r['fma_gflops']:.0f} GFLOP/s", f"{r['copy_gbs']:.1f} GB/s"] for r in rows]
    return [Table("Limits of the machine", ("threads", "float32 multiply-adds", "copy (read and written)"), cells)]


def _steps(rows: Sequence[Row]) -> list[Table]:
    columns = ("workload", "way", "median us", "min", "quartiles", "/ best peer", "/ PyTorch eager", "of limit")
    note = "Ratios with goals in brackets. The limit is the machine's multiply-adds, for chain its copying of memory."
    made = []
    for threads in dict.fromkeys(r["threads"] for r in rows):
        cells = []
        for r in (r for r in rows if r["threads"] == threads):
            head = [r["workload"], WAYS[r["way"]].title]
            if "error" in r:
                cells.append([*head, f"failed: {r['error']}", *[""] * 5])
                continue
            spread = f"{_time(r['q1_us'])} - {_time(r['q3_us'])}"
            best = _goal(r, "over_best_peer", "static")
            share = f"{r['share']:.1%}" if "share" in r else ""
            times = [_time(r["median_us"]), _time(r["min_us"]), spread]
            cells.append([*head, *times, best, _goal(r, "over_torch_eager", "eager"), share])
        title = f"Time of a step, {threads} thread{'s' * (threads > 1)}"
        made.append(_without_empty(Table(title, columns, cells, names=2, note=note)))
    return made


def _without_empty(table: Table) -> Table:
    """The table without the columns that have nothing in them, such as ratios to peers where there are none."""
    kept = [i for i in range(len(table.columns)) if any(row[i] for row in table.rows)]
    columns = [table.columns[i] for i in kept]
    return replace(table, columns=columns, rows=[[row[i] for i in kept] for row in table.rows])


def _goal(row: Row, ratio: str, way: str) -> str:
    """A ratio, with the goal that the workload sets for it in brackets."""
    goal = WORKLOADS[row["workload"]].goals.get(way)
    text = f"{row[ratio]:.2f}" if ratio in row else ""
    return f"{text} [{goal:.2f}]" if text and row["way"] == way and goal is not None else text


def _starts(rows: Sequence[Row]) -> list[Table]:
    columns = ("workload", "way", "cold", "warm", "Numba, compiled", "memory", "temporary")
    cells = []
    for r in rows:
        head = [r["workload"], WAYS[r["way"]].title]
        if "error" in r:
            cells.append([*head, f"failed: {r['error']}", *[""] * 4])
            continue
        ours = f"{'yes' if r['warm_numba'] else 'no'}, {r['warm_kernels_compiled']:.0f}" if "warm_numba" in r else ""
        temporary = "" if r["temporary_bytes"] is None else _bytes(r["temporary_bytes"])
        times = [f"{r['cold_first_s'] * 1e3:.0f} ms", f"{r['warm_first_s'] * 1e3:.0f} ms"]
        cells.append([*head, *times, ours, _bytes(r["rss_bytes"]), temporary])
    note = (
        "Cold: nothing of it in a disk cache; warm: a second process after it (whether that imported Numba, kernels "
        "it compiled). Memory: growth of the process from before the model and its data exist to its fifth step; "
        "temporary: GraphFlow's arena within it."
    )
    return [Table("First call in a new process, imports aside, and memory", columns, cells, names=2, note=note)]


def _imports(rows: Sequence[Row]) -> list[Table]:
    seconds = {r["module"]: r["seconds"] for r in rows}
    base = seconds.get("numpy")
    cells = [
        [name, "failed" if s is None else f"{s * 1e3:.0f} ms", f"{s / base:.2f}" if s and base else ""]
        for name, s in seconds.items()
    ]
    return [Table("Import", ("module", "time", "over numpy"), cells)]


def _growth(rows: Sequence[Row]) -> list[Table]:
    cells: list[list[str]] = []
    before: Row = {}
    for r in rows:
        if "error" in r:
            cells.append([r["graph"], str(r["nodes"]), f"failed: {r['error']}", "", ""])
            continue
        ratio = f"{r['seconds'] / before['seconds']:.1f}" if before.get("graph") == r["graph"] else ""
        each = f"{r['seconds'] / r['nodes'] * 1e6:.0f} us"
        cells.append([r["graph"], str(r["nodes"]), f"{r['seconds']:.3f} s", each, ratio])
        before = r
    columns = ("graph", "operations", "first call, cold", "each", "over the one before")
    return [Table("Compile time against graph size", columns, cells)]


def _batches(rows: Sequence[Row]) -> list[Table]:
    cells = [
        [f"failed: {r['error']}", "", "", ""]
        if "error" in r
        else [str(r["sizes"]), str(r["traces"]), str(r["compiles"]), _optional(r["new_size_us"])]
        for r in rows
    ]
    return [Table("Batch sizes through one compiled step", ("sizes", "traces", "compiles", "a new size, us"), cells)]


def _session(rows: Sequence[Row]) -> list[Table]:
    names = ("session_us", "callable_us", "compiled_us")
    cells = [
        [
            str(r["threads"]),
            *([f"failed: {r['error']}", "", ""] if "error" in r else [_time(r[name]) for name in names]),
        ]
        for r in rows
    ]
    columns = ("threads", "Session.run us", "make_callable us", "gf.compile us")
    return [Table("Overhead: x + 1 on a scalar, fed and fetched", columns, cells)]


_TABLES = {
    "limits": _limits,
    "steps": _steps,
    "starts": _starts,
    "imports": _imports,
    "growth": _growth,
    "batches": _batches,
    "session": _session,
}


def _time(us: float) -> str:
    return f"{us:,.2f}" if us < 10 else f"{us:,.1f}" if us < 100 else f"{us:,.0f}"


def _optional(us: float | None) -> str:
    return "" if us is None else _time(us)


def _bytes(count: float) -> str:
    return f"{count / 2**20:.1f} MiB" if count >= 2**20 else f"{count / 2**10:.1f} KiB"
