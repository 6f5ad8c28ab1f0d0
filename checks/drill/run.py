#!/usr/bin/env python3
"""The drill: breaks the primitive on purpose, one break at a time, and tells which check notices.

    checks/drill/run.py [--only TEXT] [--part K/N] [--checks NAMES] [--list]

Each break in breaks.py is applied to a copy of the tree below target/drill. The checks run from the
quickest to the slowest until one fails; what came of it is written to target/drill/table.md.

Exits non-zero if a break goes unnoticed that is not marked as one that cannot matter, if what it
replaces is not in the code any more (it is stale), or if it does not compile. The others are run
all the same.
"""

import argparse
import collections
import datetime
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).parent))
from breaks import BREAKS  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
COPY = ROOT / "target" / "drill" / "tree"
TABLE = ROOT / "target" / "drill" / "table.md"

TESTS = "cargo test -q -p grmgr --test "
MODELS = "cargo test -q -p loom-tests"
LOOM = {"RUSTFLAGS": "--cfg loom"}
SHUTTLE = {"RUSTFLAGS": "--cfg shuttle", "SHUTTLE_ITERATIONS": "2000"}
# The models that take most of the time: the list is that of the gate.
SLOW = re.search(r"^slow=\((.*?)^\)", (ROOT / ".ci/loom").read_text(), re.M | re.S)[1].split()

# Name, environment, command: the quickest first.
CHECKS = {
    "tests": ({}, TESTS + " --test ".join(
        "order cap caps cancel ceiling close idle bounded giving_way sizes terms wakers blocking regressions".split())),
    "hostile": ({}, TESTS + "hostile"),
    "reference": ({}, TESTS + "reference_model"),
    "rounds": ({"MODEL_ROUNDS": "500"}, MODELS),
    "loom": (LOOM, MODELS + " --release --target-dir target/loom -- " + " ".join(f"--skip {name}" for name in SLOW)),
    "shuttle": (SHUTTLE, MODELS + " --release --target-dir target/shuttle"),
    "loom, slow": (LOOM, MODELS + " --release --target-dir target/loom -- " + " ".join(SLOW)),
    "loom, three": (LOOM | {"LOOM_MAX_PREEMPTIONS": "3"}, MODELS + " --release --target-dir target/loom --test "
                    + " --test ".join("cancel caps ceiling ending".split())),
}
# What may come of a break besides a check's name.
HARMLESS, UNNOTICED, STALE, NO_BUILD = "cannot matter", "NOTHING", "STALE", "DOES NOT COMPILE"


class DoesNotCompile(Exception):
    pass


class Stale(Exception):
    pass


def write(file, text):
    if not file.exists() or file.read_bytes() != text:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text)


def copy_tree():
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout.splitlines()
    listed = [name for name in listed if (ROOT / name).is_file()]
    for name in listed:
        write(COPY / name, (ROOT / name).read_bytes())
    # What has been renamed or deleted since the last run.
    for folder in ("src", "tests", "loom-tests"):
        for file in (COPY / folder).rglob("*"):
            if file.is_file() and str(file.relative_to(COPY)) not in listed:
                file.unlink()


def broken_text(broken, tree):
    """The file of that tree with the break in it."""
    path = tree / "src" / broken.file
    if not path.exists():
        raise Stale(f"there is no src/{broken.file}")
    text = path.read_text()
    edits = [(broken.old, broken.new)] if isinstance(broken.old, str) else zip(broken.old, broken.new)
    for old, new in edits:
        if text.count(old) != 1:
            raise Stale(f"{old!r} is there {text.count(old)} times, not once")
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
            raise DoesNotCompile(output)
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
        began = time.monotonic()
        if found := failure(check):
            sys.exit(f"{check} fails without a break: {found}")
        times[check] = 40 + 5 * (time.monotonic() - began)
    return times[check]


def drill(broken, checks):
    """The check that notices a break, and the test in it."""
    # Without checks there is no copy. With them all is taken from the copy, so that edits of the tree
    # during a run do not get into it.
    try:
        text = broken_text(broken, COPY if checks else ROOT)
    except Stale as stale:
        return STALE, str(stale)
    file = COPY / "src" / broken.file
    whole = file.read_bytes() if checks else b""
    for check in checks:
        seconds = allowed(check)
        write(file, text)
        try:
            found = failure(check, seconds)
        except DoesNotCompile as output:
            print(output, file=sys.stderr)
            return NO_BUILD, ""
        finally:
            write(file, whole)
        if found:
            return check, found
    return (HARMLESS, broken.harmless) if broken.harmless else (UNNOTICED, "")


def write_table(results):
    counts = collections.Counter(check for _, (check, _) in results)
    summary = "".join(f"| {check} | {counts[check]} |\n" for check in [*CHECKS, HARMLESS, UNNOTICED, STALE, NO_BUILD])
    rows = "".join(f"| `{b.file}` | {b.name} | {check} | {test} |\n" for b, (check, test) in results)
    write(TABLE, (
        f"{len(results)} breaks, {datetime.date.today()}\n\n| noticed by | breaks |\n|---|---|\n{summary}\n"
        f"| file | break | noticed by | first test that fails |\n|---|---|---|---|\n{rows}"
    ).encode())


def part(text):
    k, _, n = text.partition("/")
    if not 1 <= int(k) <= int(n):
        raise ValueError
    return int(k), int(n)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", default="", help="only breaks in whose name this regular expression is found")
    parser.add_argument("--part", type=part, help="only this part of them, evenly spread: 3/10")
    parser.add_argument("--checks", help=f"only these checks, separated by semicolons: {chr(59).join(CHECKS)}")
    parser.add_argument("--list", action="store_true", help="runs nothing: lists the breaks, and those that are stale")
    args = parser.parse_args()

    breaks = [b for b in BREAKS if re.search(args.only, b.name)]
    if args.part:
        k, n = args.part
        breaks = breaks[k - 1 :: n]
    wanted = args.checks.split(";") if args.checks else CHECKS
    checks = [check for check in CHECKS if check in wanted]
    if not args.list:
        copy_tree()
    results = []
    for broken in breaks:
        began = time.monotonic()
        if args.list:
            checks = []
        result = check, test = drill(broken, checks)
        if args.list and check != STALE:
            result = check, test = ("", broken.harmless)
        print(f"{broken.file:17} {broken.name}: {check}: {test} ({time.monotonic() - began:.0f} s)", flush=True)
        results.append((broken, result))
        if not args.list:
            write_table(results)
    bad = sum(check in (UNNOTICED, STALE, NO_BUILD) for _, (check, _) in results)
    print(f"{len(results) - bad} as they should be, {bad} not")
    sys.exit(bool(bad) or not results)


if __name__ == "__main__":
    main()
