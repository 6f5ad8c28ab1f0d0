#!/usr/bin/env python3
"""The mutation drill: breaks the primitive on purpose, one break at a time, and tells which check
notices.

    mutants/run.py [--only TEXT] [--sample N] [--checks NAMES] [--table FILE]

Each break in breaks.py is applied to a copy of the tree below target/. The checks run from the
quickest to the slowest until one fails. Exits non-zero if a break goes unnoticed that is not
marked there as one that cannot matter.
"""

import argparse
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from breaks import BREAKS  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parent.parent
COPY = ROOT / "target" / "mutants"

# Name, environment, seconds allowed, command. A check that hangs has failed; those of tests/ that would hang are
# left to the later ones.
CHECKS = [
    ("behaviour", {}, 60, "cargo test -q -p grmgr --test " + " --test ".join(
        "order cap cancel ceiling throttle close idle permits bounded".split())),
    ("reference", {}, 60, "cargo test -q -p grmgr --test reference_model"),
    ("rounds", {"MODEL_ROUNDS": "500"}, 120, "cargo test -q -p loom-tests"),
    ("loom", {"RUSTFLAGS": "--cfg loom"}, 400,
     "cargo test -q -p loom-tests --release --target-dir target/loom"),
]


def copy_tree():
    COPY.mkdir(parents=True, exist_ok=True)
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout.splitlines()
    for name in listed:
        source, to = ROOT / name, COPY / name
        if source.is_file() and (not to.exists() or source.read_bytes() != to.read_bytes()):
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, to)


def edits(broken):
    if isinstance(broken.old, str):
        return [(broken.old, broken.new)]
    return zip(broken.old, broken.new)


def passes(env, seconds, command):
    # Built first, so that the time allowed is the check's own.
    for build in (["--no-run"], []):
        # A group of its own, so that what hangs goes with it.
        process = subprocess.Popen(
            command.split() + build, cwd=COPY, env={**os.environ, **env},
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )
        try:
            _, errors = process.communicate(timeout=None if build else seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return False
        if build and process.returncode != 0:
            sys.exit(f"the broken code does not compile:\n{errors}")
    return process.returncode == 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", default="", help="only breaks whose name contains this")
    parser.add_argument("--sample", type=int, help="only this many, evenly spread")
    parser.add_argument("--checks", help="only these checks, separated by commas")
    parser.add_argument("--table", help="write the result as a Markdown table to this file")
    args = parser.parse_args()

    breaks = [b for b in BREAKS if args.only in b.name]
    if args.sample:
        breaks = breaks[:: max(1, len(breaks) // args.sample)][: args.sample]
    checks = [c for c in CHECKS if not args.checks or c[0] in args.checks.split(",")]
    # All of them first: a pattern that is out of date should not show after an hour.
    for broken in BREAKS:
        text = (ROOT / "src" / broken.file).read_text()
        for old, _ in edits(broken):
            if text.count(old) != 1:
                sys.exit(f"{broken.name}: {old!r} is there {text.count(old)} times, not once")
    rows, unnoticed = [], []
    for broken in breaks:
        copy_tree()
        file = COPY / "src" / broken.file
        text = file.read_text()
        for old, new in edits(broken):
            text = text.replace(old, new)
        file.write_text(text)
        began = time.monotonic()
        caught = next((name for name, *check in checks if not passes(*check)), None)
        verdict = caught or (f"nothing: {broken.harmless}" if broken.harmless else "NOTHING")
        print(f"{broken.file:17} {broken.name}: {verdict} ({time.monotonic() - began:.0f} s)", flush=True)
        rows.append(f"| `{broken.file}` | {broken.name} | {verdict} |")
        if not caught and not broken.harmless:
            unnoticed.append(broken.name)
        shutil.copyfile(ROOT / "src" / broken.file, file)
    if args.table:
        head = "| file | break | noticed by |\n|---|---|---|\n"
        pathlib.Path(args.table).write_text(head + "\n".join(rows) + "\n")
    print(f"{len(rows) - len(unnoticed)} passed, {len(unnoticed)} failed")
    sys.exit(bool(unnoticed) or not rows)


main()
