"""The report in a real browser: it draws, it fits a phone, it needs nothing from outside."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
import zlib
from pathlib import Path

import pytest

from filopodia.report.contrast import render_contrast
from filopodia.report.curves import Curve, Trained

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
browser = pytest.mark.skipif(CHROMIUM is None, reason="no chromium here (apt-get install chromium)")


def run_browser(page: Path, profile: Path, *options: str) -> str:
    """Chromium without a window on a page of the file system, with a fresh profile and no talk to the network."""
    line = [
        str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run", "--disable-sync",
        "--disable-background-networking", "--disable-component-update", "--host-resolver-rules=MAP * ~NOTFOUND",
        f"--user-data-dir={profile}", *options, page.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(line, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout


def test_the_page_is_self_contained(tiny_run: Path) -> None:
    page = (tiny_run / "report.html").read_text()
    assert "<script" not in page
    loaded = re.findall(r"""(?:src|href)=["']([^"'#][^"']*)|url\(([^)#]+)\)|@import""", page)
    assert [one for one in loaded if not "".join(one).strip("\"'").startswith("data:")] == []
    assert len(page) < 600_000


@browser
def test_the_browser_sees_every_part(tiny_run: Path, tmp_path: Path) -> None:
    dom = run_browser(tiny_run / "report.html", tmp_path / "profile", "--dump-dom")
    for heading in (
        "What it costs, compared with what", "What was proved on the way", "Where the energy goes",
        "What would change the verdict", "Layer by layer",
        "How it was trained", "What one sample looks like", "On the chip", "Every number the estimate rests on",
    ):  # fmt: skip
        assert f"<h2>{heading}</h2>" in dom
    for question in ("What it costs", "How sure that is", "Against what", "Where it goes", "What would change it"):
        assert f"<dt>{question}</dt>" in dom
    assert dom.count("<svg") == 4  # two figures, each for wide and narrow pages
    assert dom.count('class="core c') >= 1
    assert "Davies" in dom


@browser
@pytest.mark.parametrize("width", [390, 1200])
def test_nothing_sticks_out_of_the_page(tiny_run: Path, tmp_path: Path, width: int) -> None:
    """A frame as wide as the device holds the page; a script beside it compares the page's width with the frame's."""
    frame = tmp_path / "frame.html"
    frame.write_text(
        f'<iframe src="{(tiny_run / "report.html").as_uri()}" style="width:{width}px;height:900px;border:0"></iframe>'
        "<script>onload=()=>{const d=frames[0].document.documentElement;"
        "document.title=d.scrollWidth+' '+d.clientWidth}</script>"
    )
    dom = run_browser(frame, tmp_path / "profile", "--allow-file-access-from-files", "--dump-dom")
    title = re.search(r"<title>(\d+) (\d+)</title>", dom)
    assert title, dom[:300]
    assert int(title[1]) <= int(title[2]) == width


@browser
def test_a_screenshot_is_no_blank_page(tiny_run: Path, tmp_path: Path) -> None:
    picture = tmp_path / "page.png"
    run_browser(tiny_run / "report.html", tmp_path / "profile", "--window-size=1200,900", f"--screenshot={picture}")
    data = picture.read_bytes()
    assert struct.unpack(">II", data[16:24]) == (1200, 900)
    pixels = b"".join(data[i + 8 : i + 8 + n] for i, n, kind in chunks(data) if kind == b"IDAT")
    assert len(set(zlib.decompress(pixels))) > 40  # many different byte values: text, bars and colours, not one paper


@browser
@pytest.mark.parametrize("width", [390, 1200])
def test_no_two_words_of_a_comparison_touch(tmp_path: Path, width: int) -> None:
    """A dozen methods over three targets; the browser, with its own fonts, says where each text and the picture's edge is."""
    curves = [
        Curve(
            label=f"method {k} of a dozen",
            points=tuple(
                (Trained(accuracy=0.97 - 0.004 * k * t, sparsity=1 - 0.1**t, synapse_sparsity=1 - 0.3**t, synops=9000.0 / t),)
                for t in (1, 2, 3)
            ),
            level=k == 0,
        )
        for k in range(12)
    ]
    page = tmp_path / "page.html"
    script = (
        "<script>onload=()=>{const seen=e=>e.getClientRects().length>0,box=e=>e.getBoundingClientRect();"
        "const svg=box([...document.querySelectorAll('svg')].find(seen));"
        "const texts=[...document.querySelectorAll('svg text')].filter(seen);let bad=[];"
        "texts.forEach((a,i)=>{const p=box(a);if(p.right>svg.right+1||p.left<svg.left-1)bad.push(a.textContent);"
        "texts.slice(i+1).forEach(b=>{const q=box(b);if(p.left<q.right-1&&q.left<p.right-1&&p.top<q.bottom-3&&q.top<p.bottom-3)"
        "bad.push(a.textContent+' / '+b.textContent)})});"
        "document.title=texts.length+' texts: '+(bad.join(', ')||'none touch')}</script>"
    )
    page.write_text(render_contrast([], (), curves, 36).replace("</body>", f"{script}</body>"))
    frame = tmp_path / "frame.html"
    frame.write_text(
        f'<iframe src="{page.as_uri()}" style="width:{width}px;height:2000px;border:0"></iframe>'
        "<script>onload=()=>{document.title=frames[0].document.title}</script>"
    )
    dom = run_browser(frame, tmp_path / "profile", "--allow-file-access-from-files", "--dump-dom")
    title = re.search(r"<title>(\d+) texts: (.*)</title>", dom)
    assert title, dom[:300]
    assert int(title[1]) > (30 if width > 1000 else 50)
    assert title[2] == "none touch"


def chunks(png: bytes) -> list[tuple[int, int, bytes]]:
    """(offset, length, kind) of every chunk of a PNG file."""
    found, at = [], 8
    while at < len(png):
        length = struct.unpack(">I", png[at : at + 4])[0]
        found.append((at, length, png[at + 4 : at + 8]))
        at += length + 12
    return found
