"""Draw the icons of the installed app from static/icon.svg: python -m tools.make_icons.

Phones cut a maskable icon to their own shape, so its ground fills the square and its drawing keeps
to the middle.
"""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Final

from playwright.async_api import Browser, async_playwright

CHROMIUM: Final = "/usr/bin/chromium"
STATIC: Final = Path(__file__).parents[1] / "static"
#: name, side in pixels, maskable
ICONS: Final = (("192", 192, False), ("512", 512, False), ("maskable-512", 512, True))
#: The safe zone of a maskable icon is a circle of 80 %; the drawing is drawn so much smaller.
SAFE: Final = 0.72
#: Of the drawing in icon.svg.
SIDE: Final = 64


def maskable(svg: str) -> str:
    """The drawing on a ground that has no edge."""
    ground = re.search(r"<rect[^>]*/>", svg)
    assert ground is not None
    whole = ground[0].replace(' rx="16"', "")
    offset = SIDE * (1 - SAFE) / 2
    drawing = svg[ground.end() : svg.index("</svg>")]
    moved = f'<g transform="translate({offset} {offset}) scale({SAFE})">{drawing}</g>'
    return svg[: ground.start()] + whole + moved + "</svg>"


async def draw(browser: Browser, svg: str, side: int, path: Path) -> None:
    """One PNG."""
    page = await browser.new_page(viewport={"width": side, "height": side})
    sized = svg.replace("<svg ", f'<svg width="{side}" height="{side}" ', 1)
    await page.set_content(f"<body style='margin:0'>{sized}</body>")
    await page.screenshot(path=path, omit_background=True)
    await page.close()


async def main() -> None:
    """All of them."""
    svg = (STATIC / "icon.svg").read_text(encoding="utf-8")
    (STATIC / "icons").mkdir(exist_ok=True)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        for name, side, mask in ICONS:
            drawn = maskable(svg) if mask else svg
            await draw(browser, drawn, side, STATIC / "icons" / f"{name}.png")
        await browser.close()


if __name__ == "__main__":
    asyncio.run(main())
