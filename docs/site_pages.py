"""Hooks of the site (`mkdocs.yml`): README, figures and models become pages beside those of docs/.

Links in these files are relative to their place in the project. Here they lead to the pages; a link
to what is no page, such as a folder, becomes plain text.
"""

import os
import re
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")


def pages() -> dict[str, str]:
    """Name in the site of each file outside of docs/, by its path in the project."""
    own = {
        "README.md": "index.md",
        "CHANGELOG.md": "changelog.md",
        "weights/README.md": "weights/models.md",
        "weights/closefit_prior.md": "weights/closefit_prior.md",
    }
    figures = sorted((ROOT / "benchmarks" / "results").glob("*.md"))
    return own | {f"benchmarks/results/{path.name}": f"results/{path.name}" for path in figures}


def on_files(files: Files, config: Any) -> Files:
    """Add the pages."""
    for path, name in pages().items():
        files.append(File.generated(config, name, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Page, files: Files, **_: Any) -> str:
    """Turn links within the project into links within the site."""
    outside = {name: path for path, name in pages().items()}
    here = PurePosixPath(outside.get(page.file.src_uri, f"docs/{page.file.src_uri}"))

    def moved(link: re.Match[str]) -> str:
        target, hash_sign, anchor = link[3].partition("#")
        if "://" in target or not target:
            return link[0]
        path = os.path.normpath(here.parent / target)
        name = pages().get(path, path.removeprefix("docs/"))
        if files.get_file_from_path(name) is None:
            return link[2]
        place = os.path.relpath(name, PurePosixPath(page.file.src_uri).parent)
        return f"{link[1]}[{link[2]}]({place}{hash_sign}{anchor})"

    return LINK.sub(moved, markdown)
