#!/usr/bin/env python3
"""The mutation drill: breaks the primitive on purpose, one break at a time, and tells which check
notices.

    mutants/run.py [--only TEXT] [--sample N] [--checks NAMES] [--table]

Each break in breaks.py is applied to a copy of the tree below target/. The checks run from the
quickest to the slowest until one fails. Exits non-zero if a break goes unnoticed that is not
marked there as one that cannot matter.
"""

import argparse
import collections
import datetime
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).parent))
from breaks import BREAKS  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parent.parent
COPY = ROOT / "target" / "mutants"
README = ROOT / "mutants" / "README.md"
MARK = "<!-- What follows is written by run.py --table. -->\n"


TESTS = "cargo test -q -p grmgr --test "
MODELS = "cargo test -q -p loom-tests"
LOOM = {"RUSTFLAGS": "--cfg loom"}
SHUTTLE = {"RUSTFLAGS": "--cfg shuttle", "SHUTTLE_ITERATIONS": "2000"}
# Takes ten times as long as all the others under loom.
LONG = "enqueue_meets_the_seat_given_up"

# Name, environment, command: the quickest first.
CHECKS = {
    "behaviour": ({}, TESTS + " --test ".join(
        "order cap caps cancel ceiling throttle reconfigure close idle permits bounded builder".split())),
    "wakers": ({}, TESTS + "wakers --test blocking --test field"),
    "rounds": ({"MODEL_ROUNDS": "500"}, MODELS),
    "reference": ({}, TESTS + "reference_model"),
    "loom": (LOOM, MODELS + f" --release --target-dir target/loom -- --skip {LONG}"),
    "hostile": ({}, TESTS + "hostile"),
    "shuttle": (SHUTTLE, MODELS + " --release --target-dir target/shuttle"),
    "loom, three": (LOOM | {"LOOM_MAX_PREEMPTIONS": "3"}, MODELS + " --release --target-dir target/loom --test "
                    + " --test ".join("cancel caps ceiling ending large".split())),
    "loom, long": (LOOM, MODELS + f" --release --target-dir target/loom --test line -- {LONG}"),
}


def write(file, text):
    if not file.exists() or file.read_bytes() != text:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text)


def copy_tree():
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout.splitlines()
    for name in listed:
        if (ROOT / name).is_file():
            write(COPY / name, (ROOT / name).read_bytes())


def edits(broken):
    return [(broken.old, broken.new)] if isinstance(broken.old, str) else zip(broken.old, broken.new)


def apply(broken):
    text = (ROOT / "src" / broken.file).read_text()
    for old, new in edits(broken):
        if text.count(old) != 1:
            sys.exit(f"{broken.name}: {old!r} is there {text.count(old)} times, not once")
        text = text.replace(old, new)
    return text.encode()


def failure(check, seconds=None):
    """Runs a check and returns the first test that fails, or `None`."""
    env, command = CHECKS[check]
    # Built first, so that the time allowed is the check's own.
    cargo, _, flags = command.partition(" -- ")
    for build in (True, False):
        # A group of its own, so that what hangs goes with it.
        process = subprocess.Popen(
            [*cargo.split(), *(["--no-run"] if build else ["--", *flags.split()])], cwd=COPY, env={**os.environ, **env},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )
        try:
            output, _ = process.communicate(timeout=None if build else seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            # Loom has no clock and waits for nothing: it notices what hangs, and is only slow.
            return None if "loom" in check else "hangs"
        if build and process.returncode != 0:
            sys.exit(f"it does not compile:\n{output}")
    if process.returncode == 0:
        return None
    # In a list of failures, from a watchdog, in a panic that ends the process.
    for pattern in (r"^    ([\w:]+)$", r"^([\w:]+): a round hangs$", r"^thread '([\w:]+)'.* panicked"):
        if named := re.search(pattern, output, re.M):
            return named[1]
    return "?"


def allowed(check, times={}):
    """How long a check may take: much longer than on the code as it is."""
    if check not in times:
        copy_tree()
        began = time.monotonic()
        if found := failure(check):
            sys.exit(f"{check} fails without a break: {found}")
        times[check] = 40 + 5 * (time.monotonic() - began)
    return times[check]


def drill(broken, checks):
    """The check that notices a break, and the test in it."""
    for check in checks:
        seconds = allowed(check)
        write(COPY / "src" / broken.file, apply(broken))
        found = failure(check, seconds)
        write(COPY / "src" / broken.file, (ROOT / "src" / broken.file).read_bytes())
        if found:
            return check, found
    return ("cannot matter", broken.harmless) if broken.harmless else ("NOTHING", "")


def write_table(results):
    """Puts the results into the README, between those of earlier runs."""
    prose, _, before = README.read_text().partition(MARK)
    rows = dict(re.findall(r"^\| (`.*` \| .*?) \| (.* \| .*) \|$", before, re.M))
    rows |= {f"`{b.file}` | {b.name}": f"{check} | {test}" for b, (check, test) in results}
    rows = {key: rows[key] for b in BREAKS if (key := f"`{b.file}` | {b.name}") in rows}
    counts = collections.Counter(row.partition(" | ")[0] for row in rows.values())
    summary = "\n".join(f"| {check} | {counts[check]} |" for check in [*CHECKS, "cannot matter", "NOTHING"])
    table = "\n".join(f"| {key} | {row} |" for key, row in rows.items())
    README.write_text(
        f"{prose}{MARK}\n{len(rows)} breaks, {datetime.date.today()}:\n\n"
        f"| noticed by | breaks |\n|---|---|\n{summary}\n\n"
        f"| file | break | noticed by | first test that fails |\n|---|---|---|---|\n{table}\n"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", default="", help="only breaks whose name contains this")
    parser.add_argument("--sample", type=int, help="only this many, evenly spread")
    parser.add_argument("--checks", help="only these checks, separated by semicolons")
    parser.add_argument("--table", action="store_true", help="write the results into mutants/README.md")
    args = parser.parse_args()

    breaks = [b for b in BREAKS if args.only in b.name]
    if args.sample:
        breaks = breaks[:: max(1, len(breaks) // args.sample)][: args.sample]
    checks = [c for c in CHECKS if not args.checks or c in args.checks.split(";")]
    # All of them first: a pattern that is out of date should not show after an hour.
    for broken in BREAKS:
        apply(broken)
    results = []
    for broken in breaks:
        began = time.monotonic()
        check, test = drill(broken, checks)
        print(f"{broken.file:17} {broken.name}: {check}: {test} ({time.monotonic() - began:.0f} s)", flush=True)
        results.append((broken, (check, test)))
        if args.table:
            write_table(results)
    unnoticed = sum(check == "NOTHING" for _, (check, _) in results)
    print(f"{len(results) - unnoticed} passed, {unnoticed} failed")
    sys.exit(bool(unnoticed) or not results)


if __name__ == "__main__":
    main()
