"""The site of the documentation builds without a warning, holds every page and loads nothing."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(
    not (ROOT / "mkdocs.yml").is_file(), reason="an installed closefit has no documentation"
)

MAX_PICTURE_BYTES, MAX_PICTURES_BYTES = 4_000_000, 5_000_000


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("material", reason="needs mkdocs-material")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-d", folder]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return folder


def test_every_page_of_the_documentation_is_there(site: Path) -> None:
    pages = [path.with_suffix(".html").name for path in (ROOT / "docs").glob("*.md")]
    assert [name for name in pages if not (site / name).is_file()] == []
    figures = (ROOT / "benchmarks" / "results").glob("*.md")
    assert all((site / "results" / f"{path.stem}.html").is_file() for path in figures)


def test_links_within_the_site_lead_to_its_files(site: Path) -> None:
    broken = []
    for page in site.rglob("*.html"):
        if page.name == "404.html":  # its links are those of the server's root
            continue
        for link in re.findall(r'(?:href|src)="?([^"\s>]+)', page.read_text(encoding="utf-8")):
            target = link.partition("#")[0]
            if target and ":" not in target and not (page.parent / target).exists():
                broken.append((page.name, link))
    assert broken == []


def test_pages_load_nothing_from_elsewhere(site: Path) -> None:
    loads = r"<(?:script|link|img|iframe|source|video)[^>]*(?:src|href)=\"?(https?:)?//"
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert [match[0] for match in re.finditer(loads, text)] == [], page
    for style in site.rglob("*.css"):
        assert "url(http" not in style.read_text(encoding="utf-8"), style


def test_pictures_are_small() -> None:
    pictures = [
        path
        for path in (ROOT / "docs").rglob("*")
        if path.suffix in (".gif", ".png", ".jpg", ".svg")
    ]
    sizes = [path.stat().st_size for path in pictures]
    assert max(sizes) < MAX_PICTURE_BYTES
    assert sum(sizes) < MAX_PICTURES_BYTES
