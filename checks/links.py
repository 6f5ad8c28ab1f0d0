#!/usr/bin/env python3
"""Finds dead links and pictures, without a network: what docs.rs and the registry's pages will show.

    checks/links.py DOC PACKAGE=README...

DOC is a folder that rustdoc has written. In its pages of the packages (named as crates) every relative
link and picture has to be in DOC, and every fragment has to be there. In the Markdown of the repository
every relative link has to lead to a file of the repository, and every fragment to a heading. The
registry shows each README and finds its relative links by the repository's address: as long as there
is none in Cargo.toml, those links are counted and told.
"""

import html.parser
import pathlib
import re
import subprocess
import sys
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parents[1]
SCHEME = re.compile(r"^[a-z][a-z0-9+.-]*:", re.I)


class Page(html.parser.HTMLParser):
    """The links, pictures and anchors of a page."""

    def __init__(self, text):
        super().__init__()
        self.targets, self.anchors = [], set()
        # At the end are the blanket implementations, with the words of other crates.
        self.others = False
        # What is documented elsewhere leaves a page that leads there.
        self.moved = 'http-equiv="refresh"' in text
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            if name == "id":
                self.anchors.add(urllib.parse.unquote(value))
                self.others |= value == "blanket-implementations"
            elif (tag, name) in (("a", "href"), ("img", "src")) and value and not self.others:
                self.targets.append(value)


def check_page(doc, file, pages, found):
    name = file.relative_to(doc)
    for target in pages[file].targets:
        if SCHEME.match(target) or target.startswith("//"):
            if target.startswith("http:") and not target.startswith("http://127.0.0.1"):
                found.append(f"{name}: {target}: not https")
            continue
        path, _, fragment = target.partition("#")
        path = urllib.parse.unquote(path.partition("?")[0])
        other = (file.parent / path).resolve() if path else file
        if not other.exists():
            found.append(f"{name}: dead link to {target}")
        # Lines of source code have no anchors of their own, and the page of settings is a script's.
        elif fragment and "src" not in other.parts and other.suffix == ".html" and other.name != "settings.html":
            if other not in pages:
                pages[other] = Page(other.read_text())
            if not pages[other].moved and urllib.parse.unquote(fragment) not in pages[other].anchors:
                found.append(f"{name}: no such place: {target}")


def markdown(text):
    """The text without its code, and the anchors of its headings as GitHub makes them."""
    text = re.sub(r"^( *)(```+|~~~+).*?^ *\2 *$", "", text, flags=re.M | re.S)
    headings = re.findall(r"^#+ +(.*?) *#*$", text, re.M)
    plain = lambda heading: re.sub(r"\[([^]]*)\]\([^)]*\)|`", r"\1", heading).lower()
    anchors = {re.sub(r"[^\w\- ]", "", plain(heading)).replace(" ", "-") for heading in headings}
    return re.sub(r"`[^`\n]*`", "", text), anchors


def targets(text):
    return re.findall(r"\]\(<?([^)\s>]+)", text) + re.findall(r"^ *\[[^]]+\]: +(\S+)", text, re.M)


def relative(text):
    return [target for target in targets(text) if not SCHEME.match(target) and not target.startswith("#")]


def check_markdown(file, tracked, found):
    text, anchors = markdown(file.read_text())
    for target in targets(text):
        if SCHEME.match(target):
            continue
        path, _, fragment = target.partition("#")
        other = (file.parent / urllib.parse.unquote(path)).resolve() if path else file
        if other not in tracked and not any(other in name.parents for name in tracked):
            found.append(f"{file.relative_to(ROOT)}: dead link to {target}")
        elif fragment and other.suffix == ".md":
            if fragment not in (anchors if other == file else markdown(other.read_text())[1]):
                found.append(f"{file.relative_to(ROOT)}: no such heading: {target}")


def main():
    doc = pathlib.Path(sys.argv[1]).resolve()
    found = []

    pages = {}
    for crate in (argument.partition("=")[0].replace("-", "_") for argument in sys.argv[2:]):
        for file in sorted((doc / crate).rglob("*.html")):
            pages[file] = Page(file.read_text())
    if not pages:
        sys.exit(f"links: no pages in {doc}")
    for file in list(pages):
        check_page(doc, file, pages, found)

    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    tracked = {ROOT / name for name in names.split("\0") if name}
    documents = sorted(file for file in tracked if file.suffix == ".md" and file.is_file())
    for file in documents:
        check_markdown(file, tracked, found)

    if not re.search(r"^repository = ", (ROOT / "Cargo.toml").read_text(), re.M):
        for argument in sys.argv[2:]:
            readme = ROOT / argument.partition("=")[2]
            if waiting := relative(markdown(readme.read_text())[0]):
                print(f"{readme.relative_to(ROOT)}: {len(waiting)} relative links need `repository` in Cargo.toml")

    print(*found, f"{len(pages)} pages and {len(documents)} documents, {len(found)} dead links", sep="\n")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
