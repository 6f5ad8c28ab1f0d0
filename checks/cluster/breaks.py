#!/usr/bin/env python3
"""Breaks each guard of crates/cluster once, in a copy, and sees a test fail. Prints a table.

checks/cluster/breaks.py [PART OF A NAME]..."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
COPY = ROOT / "target" / "cluster-breaks"
HAND = "--lib -- tests:: --include-ignored"
# What goes wrong in real processes is a race, which is not lost every time.
TRIES = 4


class Break(NamedTuple):
    name: str
    file: str
    old: str
    new: str
    tests: str = HAND


LEDGER, LEASE, CORE = "ledger.rs", "lease.rs", "core.rs"
TERM = "Some(until) => self.cap.set_until(at as usize, floor as usize, until),"
NO_TERM = "Some(_) => self.cap.set(at as usize),"
HELD = "let mut held = own.min(q.has.max(q.used));"

BREAKS = [
    Break("O1: no look at the room", LEDGER, "let room = if holds(Guard::Room) { room } else { u64::MAX };", "let room = u64::MAX;"),
    Break("O1: free before it is given back", LEDGER, HELD, "let mut held = 0;"),
    Break("O2: a lease from the answer", LEASE, "let from = if holds(Guard::Sent) { sent } else { now };", "let from = now;"),
    Break("O2: an answer that is too late", LEASE, "if now >= until {\n            return Err(StoreError::Late);\n        }", ""),
    Break("O2, O8: a cap without an end", CORE, TERM, NO_TERM),
    Break("O8: the same, in real processes", CORE, TERM, NO_TERM, "--test faults -- a_member_is_stopped --include-ignored"),
    Break("O8: a state of before the stop", CORE, "State::Leased { until, .. } if *until <= now => {", "State::Leased { until, .. } if false && *until <= now => {"),
    Break("O8: any clock", "member.rs", "if !self.any_clock {", "if false {"),
    Break("no ramp", LEASE, "if now <= begin {", "if now <= until {"),
    Break("O3: no quiet time", LEDGER, "let quiet = now < meta.quiet && holds(Guard::Quiet);", "let quiet = false;"),
    Break("O3: the same, in the script and real servers", "script.lua", "if now < quiet then", "if false then", "--test faults -- promoted --include-ignored"),
    Break("O4: no warning", "redis.rs", "(!guarded).then_some", "false.then_some", "--test bad_input -- warned_of --include-ignored"),
    Break("O5: jumps are not seen", LEDGER, "jumped && holds(Guard::Jump)", "false"),
    Break("O6: running work is granted again", LEDGER, HELD, "let mut held = own.min(q.has);"),
    Break("O6: no hold", LEDGER, "if !entry.lapsed && entry.held > 0 && meta.terms.max_hold > 0 {", "if false {"),
    Break("O7: requests run alone", "member.rs", "if self.limiter.runs_alone() {", "if false {"),
    Break("O7: no more is asked for a large request", CORE, "if self.stuck > 2 {", "if false {"),
    Break("answers are not looked at", CORE, "if sane { Ok(answer) }", "if true { Ok(answer) }"),
    Break("permits are not passed on", LEDGER, "let top = u64::from(spare && !passes_on);", "let top = u64::from(spare);"),
    Break("passwords in errors", "redis.rs", 'text = text.replace(password, "***");', "", "--lib -- no_error_repeats"),
    Break("the script is not the ledger", "script.lua", "local held = min(own, max(claim, used))", "local held = min(own, claim)", "--lib -- the_script_answers --include-ignored"),
]


def main():
    wanted = sys.argv[1:]
    breaks = [b for b in BREAKS if not wanted or any(part in b.name for part in wanted)]
    COPY.mkdir(parents=True, exist_ok=True)
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    for file in tracked.stdout.splitlines():
        to = COPY / file
        to.parent.mkdir(parents=True, exist_ok=True)
        # The same bytes keep their time, so that nothing is built anew for them.
        if not to.exists() or to.read_bytes() != (ROOT / file).read_bytes():
            shutil.copy(ROOT / file, to)
    missed = []
    for b in breaks:
        source = COPY / "crates/cluster/src" / b.file
        text = source.read_text()
        if text.count(b.old) != 1:
            sys.exit(f"{b.name}: what it replaces is there {text.count(b.old)} times")
        source.write_text(text.replace(b.old, b.new))
        command = f"cargo test -q -p grmgr-cluster {b.tests}"
        try:
            for _ in range(TRIES if "--test faults" in b.tests else 1):
                run = subprocess.run(command, shell=True, cwd=COPY, capture_output=True, text=True, timeout=600)
                output = run.stdout + run.stderr
                failed = sorted(set(re.findall(r"^---- (\S+) stdout", output, re.M)))
                if failed:
                    break
        finally:
            source.write_text(text)
        if "could not compile" in output:
            sys.exit(f"{b.name} does not compile:\n{output}")
        print(f"| {b.name} | {', '.join(failed) or 'NOTHING'} |", flush=True)
        if not failed:
            missed.append(b.name)
    if missed:
        sys.exit(f"no test fails: {'; '.join(missed)}")


if __name__ == "__main__":
    main()
