#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""fast-path.py MODULE...: looks at the machine code of the calls that are hot.

None of them may have a locked instruction, one that turns interrupts on or off, or
one that finds a bit in memory by its number (ten cycles, where a word and a mask take
five), anywhere. And on the hit path, which is where no conditional jump is taken,
none may call a function. Prints what is not so.

A static key that is on by default is a jump until the module loads, and a nop
then. It is told by what follows it: nothing else leads there.
"""

import re
import subprocess
import sys

HOT = ("__bsa_alloc", "__bsa_alloc_class", "bsa_free", "bsa_heap_alloc",
       "bsa_heap_free", "alloc_held")
# Less so: it may call.
WARM = ("free_full",)
# An xchg with memory is locked without saying so.
FORBIDDEN = re.compile(r"^(lock\b|cli\b|sti\b|popf|xchg\b.*\(|bt[rsc]?[wlq]?\s+%\w+,.*\()")
RETURN = re.compile(r"^(ret|jmp.*__x86_return_thunk)")
JUMP = re.compile(r"^j\w+ +([0-9a-f]+) <")
# The tracer's hook, which is a nop unless somebody traces.
HOOK = "__fentry__"


def functions(module):
    """Yields the name of each hot function, and its instructions by address."""
    text = subprocess.run(["objdump", "-dr", "--no-show-raw-insn", module],
                          check=True, capture_output=True, text=True).stdout
    for block in text.split("\n\n"):
        head = re.search(r"^[0-9a-f]+ <(\S+)>:$", block, re.M)
        if not head or head[1] not in HOT + WARM:
            continue
        code, last = {}, None
        for line in block.splitlines():
            insn = re.match(r" *([0-9a-f]+):\t(.*?) *(#.*)?$", line)
            relocation = re.match(r"\t+[0-9a-f]+: R_\S+\t(\S+)", line)
            if insn:
                last = int(insn[1], 16)
                code[last] = insn[2]
            elif relocation and last is not None:
                code[last] += " " + relocation[1]
        yield head[1], code


def hit_path(code):
    """The instructions from the start of a function to its return."""
    following = dict(zip(list(code), list(code)[1:]))
    targets = {int(jump[1], 16) for jump in map(JUMP.match, code.values()) if jump}
    at, seen = next(iter(code)), set()
    while at is not None and at not in seen:
        seen.add(at)
        yield code[at]
        if RETURN.match(code[at]):
            return
        jump = JUMP.match(code[at])
        after = following.get(at)
        taken = jump and code[at].startswith("jmp") and after in targets
        at = int(jump[1], 16) if taken else after
        if at not in code:
            break
    yield "call to another function at the end"


def main():
    for module in sys.argv[1:]:
        found = set()
        for name, code in functions(module):
            found.add(name)
            for insn in code.values():
                if FORBIDDEN.match(insn):
                    print(f"{name}: {insn}")
            for insn in hit_path(code) if name in HOT else ():
                if insn.startswith("call") and HOOK not in insn:
                    print(f"{name}: on the hit path: {insn}")
        for name in sorted(set(HOT + WARM) - found):
            print(f"{name}: not in {module}")


main()
