#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
#
# bench-table.py TITLE OUTPUT LOG [LOG-OF-A-SECOND-RUN]: reads what bsa_bench has
# logged (as it comes from a console or from dmesg), prints a table, and writes
# OUTPUT.tsv and OUTPUT.svg.
#
# The file has every case. In the table, a row of many cases is one line with the
# range of its figures and its worst ratio. The exit status is 1 if nothing was
# measured; a missed goal or two runs that differ are shown, no more.
#
# A native log has every round. The processor may be in a faster or a slower state,
# which the floor's figure tells; a case has a figure for each state in which it was.

import re
import sys
from itertools import groupby
from statistics import median, quantiles
from xml.sax.saxutils import escape

PREFIX = re.compile(r"(?:\[[^]]*\] *)?bsa_bench: ")
AGREE = 0.005          # two counted runs may differ by so much
AGREE_NATIVE = 0.05    # and so much the ratios of two native ones
STATES = ((0.9, 1.15, "fast"), (1.3, 1.7, "slow"))  # the floor over that of the fast one
FEWEST = 20            # rounds in a state, or else it does not count
COLLAPSE = 6           # more cases than this share a line
FIELDS = ["row", "case", "ours", "peer", "peer's", "ratio", "goal", "unit",
          "verdict", "ours in ns", "peer's in ns"]


class Result:
    """One line of the log: one case of a row."""

    def __init__(self, fields):
        (self.row, self.case, ours, self.peer, peers, ratio, self.goal,
         self.unit, self.ours_ns, self.peers_ns) = fields
        self.ours, self.peers, self.ratio = float(ours), float(peers), float(ratio)

    def key(self):
        return self.row, self.case, self.peer

    def group(self):
        return self.row, self.peer, self.goal

    def reached(self):
        """True, False, or None where there is no goal."""
        match = re.fullmatch(r"ratio=1\+-([\d.]+)", self.goal)
        if match:
            return abs(self.ratio - 1) <= float(match[1])
        match = re.fullmatch(r"(ours|ratio)([<>]=)([\d.]+)", self.goal)
        if not match:
            return None
        value = self.ours if match[1] == "ours" else self.ratio
        limit = float(match[3])
        return value <= limit if match[2] == "<=" else value >= limit

    def verdict(self):
        return {True: "ok", False: "NOT REACHED", None: "-"}[self.reached()]

    def tsv(self):
        return [self.row, self.case, f"{self.ours:.2f}", self.peer,
                f"{self.peers:.2f}", f"{self.ratio:.3f}", self.goal, self.unit,
                self.verdict(), self.ours_ns, self.peers_ns]


def native(cases):
    """From every round of each case to a result for each state."""
    every = [round_[2] for rounds in cases.values() for round_ in rounds]
    if not every:
        return
    # What is rarer than one in twenty is luck.
    fast = quantiles(every, n=20)[0]
    for (row, peer, goal), group in groupby(cases.items(), lambda item: item[0][:1] + item[0][2:]):
        group = list(group)
        for low, high, state in STATES:
            for (_, case, _, _), rounds in group:
                here = [r for r in rounds if low <= r[2] / fast <= high and r[0] and r[1]]
                if len(here) < FEWEST:
                    continue
                ratios = quantiles([r[0] / r[1] for r in here], n=4)
                result = Result([f"{row}, {state}", case, median(r[0] for r in here), peer,
                                 median(r[1] for r in here), ratios[1], goal, "cycles", "", ""])
                result.spread = ratios[2] - ratios[0]
                yield result


def read(name):
    """The results of a log, and the lines about what was not measured."""
    results, missing, cases = [], [], {}
    with open(name, encoding="utf-8", errors="replace") as log:
        for line in log:
            prefix = PREFIX.match(line)
            if not prefix:
                continue
            fields = line[prefix.end():].rstrip("\r\n").split("\t")
            if len(fields) == 10:
                results.append(Result(fields))
            elif len(fields) == 5:
                cases.setdefault(tuple(fields[:4]), []).extend(
                    tuple(int(value) / 100 for value in round_.split(":"))
                    for round_ in fields[4].split())
            elif len(fields) == 3:
                missing.append(fields)
    return results + list(native(cases)), missing


def differences(results, again):
    """Which cases two runs do not agree on: the figures, or the ratios of native ones."""
    second = {result.key(): result for result in again}
    for result in results:
        other = second.get(result.key())
        if other is None:
            if not hasattr(result, "spread"):
                yield result, "was not measured again"
            continue
        native_ = hasattr(result, "spread")
        for what in ("ratio",) if native_ else ("ours", "peers"):
            a, b = getattr(result, what), getattr(other, what)
            if abs(a - b) > (AGREE_NATIVE if native_ else AGREE) * max(a, b):
                yield result, f"{what.replace('peers', result.peer)} {a:.2f} and {b:.2f}"


def number(value):
    return f"{value:,.2f}" if value < 1000 else f"{value:,.0f}"


def spread(values):
    low, high = number(min(values)), number(max(values))
    return low if low == high else f"{low} .. {high}"


class Line:
    """A line of the table: one case, or many of them."""

    def __init__(self, results):
        first = results[0]
        self.peer, self.goal, self.unit = first.peer, first.goal, first.unit
        self.name = f"{first.row}: {first.case}" if len(results) == 1 else \
            f"{first.row}: {first.case} .. {results[-1].case}"
        self.ours = spread([result.ours for result in results])
        self.peers = spread([result.peers for result in results]) if first.peer else ""
        # The worst of them.
        self.ratio = max((result.ratio for result in results),
                         key=lambda ratio: abs(ratio - 1) if "+-" in self.goal else ratio)
        missed = sum(result.reached() is False for result in results)
        self.missed = missed > 0
        self.verdict = first.verdict() if first.reached() is None else "ok"
        if missed:
            self.verdict = "NOT REACHED"
            if len(results) > 1:
                self.verdict += f" ({missed} of {len(results)})"

    def cells(self):
        return [self.name, self.ours, self.peer, self.peers,
                f"{self.ratio:.3f}" if self.peer else "", self.goal, self.unit,
                self.verdict]


def lines_of(results):
    for _, group in groupby(results, Result.group):
        group = list(group)
        if len(group) > COLLAPSE:
            yield Line(group)
        else:
            yield from (Line([result]) for result in group)


def print_table(title, lines):
    head = ["row (" + title + ")", "ours", "peer", "peer's", "ratio", "goal",
            "unit", "verdict"]
    table = [head] + [line.cells() for line in lines]
    width = [max(len(row[i]) for row in table) for i in range(len(head))]
    right = (1, 3, 4)
    for row in table:
        print("  ".join(cell.rjust(width[i]) if i in right else cell.ljust(width[i])
                        for i, cell in enumerate(row)).rstrip())


def write_svg(name, title, lines):
    """A bar for each ratio; the tick is the goal, the long line is 1."""
    lines = [line for line in lines if line.peer and line.ratio]
    step, left, scale, top = 20, 520, 300, 50
    limit = 1.5
    height = top + step * len(lines) + 10
    svg = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + limit * scale + 90:.0f}" '
           f'height="{height}" font-family="sans-serif" font-size="12">',
           '<rect width="100%" height="100%" fill="white"/>',
           f'<text x="10" y="20" font-size="15">bsa beside its peers, ours : peer ({escape(title)})</text>',
           f'<text x="{left + scale}" y="{top - 8}" text-anchor="middle">1</text>',
           f'<line x1="{left + scale}" y1="{top - 4}" x2="{left + scale}" y2="{height - 8}" stroke="#888"/>']
    for i, line in enumerate(lines):
        y = top + step * i
        colour = "#c0392b" if line.missed else "#2e7d32" if line.verdict == "ok" else "#7f8c8d"
        width = min(line.ratio, limit) * scale
        svg.append(f'<text x="{left - 6}" y="{y + 13}" text-anchor="end">'
                   f'{escape(line.name)} : {escape(line.peer)}</text>')
        svg.append(f'<rect x="{left}" y="{y + 3}" width="{width:.1f}" height="13" fill="{colour}"/>')
        svg.append(f'<text x="{left + width + 6:.1f}" y="{y + 13}">{line.ratio:.3f}{" ..." if line.ratio > limit else ""}</text>')
        goal = re.fullmatch(r"ratio[<>]=([\d.]+)", line.goal)
        if goal:
            x = left + min(float(goal[1]), limit) * scale
            svg.append(f'<line x1="{x:.1f}" y1="{y + 1}" x2="{x:.1f}" y2="{y + 18}" '
                       'stroke="black" stroke-width="2"/>')
    svg.append("</svg>\n")
    with open(name, "w", encoding="utf-8") as out:
        out.write("\n".join(svg))


def main():
    title, output, logs = sys.argv[1], sys.argv[2], sys.argv[3:]
    results, missing = read(logs[0])
    # The emulated CPU of this mode does one of these in a cycle.
    if title.startswith("counted"):
        for result in results:
            result.unit = result.unit.replace("cycles", "instructions")
    if not results:
        sys.exit("bsa: nothing was measured")

    lines = list(lines_of(results))
    print_table(title, lines)
    for (row, why), group in groupby(missing, lambda fields: (fields[0], fields[2])):
        cases = [fields[1] for fields in group]
        print(f"{row}: {cases[0]}{' .. ' + cases[-1] if len(cases) > 1 else ''}: {why}")
    if len(logs) > 1:
        differ = list(differences(results, read(logs[1])[0]))
        for result, what in differ:
            print(f"the two runs differ: {result.row}: {result.case}: {what}")
        if not differ:
            agree = AGREE_NATIVE if hasattr(results[0], "spread") else AGREE
            print(f"two runs agree within {agree:.1%} in all {len(results)} cases")
    goals = [result.reached() for result in results if result.reached() is not None]
    print(f"goals reached in {sum(goals)} of {len(goals)} cases")

    with open(output + ".tsv", "w", encoding="utf-8") as out:
        for fields in [FIELDS] + [result.tsv() for result in results]:
            print("\t".join(fields), file=out)
    write_svg(output + ".svg", title, lines)
    print(f"table: {output}.tsv\nchart: {output}.svg")


main()
