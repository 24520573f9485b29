"""Draws puzzle.gif: a brain is cut into the pieces of a jigsaw, shuffled, and put back.

    ssl3d prepare virtual-brain --cases 1 --edge 96 --out runs/brain
    python docs/puzzle_gif.py runs/brain

The pictures are those of the widget ``Puzzle3D`` itself, in a headless browser whose clock stands
still between two frames.
"""

import base64
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from playwright.sync_api import Page, sync_playwright

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS.parent / "tests"))

from browser.lab import FLAGS, find_browser  # noqa: E402  (needs the line above)

from ssl3d_lite.data.cohort import Cohort  # noqa: E402
from ssl3d_lite.models.settings import EncoderSettings  # noqa: E402
from ssl3d_lite.show import Puzzle3D  # noqa: E402
from ssl3d_lite.tasks import make_task  # noqa: E402

SIZE = (600, 450)
FRAME_MS = 80
MOVE_MS = 600  # more than the widget takes to move its pieces
PALETTE_SIZE = 48  # colours of the GIF: few greys, as noise makes it large

PAGE = """
<style>%s</style><style>
  body { margin: 0; } .ssl3d-puzzle3d { padding: 0; max-width: none; }
  .ssl3d-puzzle3d canvas { width: %dpx; height: %dpx; }
</style><div id="view"></div>
"""
# A model as anywidget has it, and a clock that goes when it is told
SCRIPT = """async ([code, state, bytes]) => {
  state._voxels = new DataView(Uint8Array.from(atob(bytes), (c) => c.charCodeAt(0)).buffer);
  const listeners = {};
  let now = 0, waiting = null;
  performance.now = () => now;
  window.requestAnimationFrame = (call) => { waiting = call; return 1; };
  window.cancelAnimationFrame = () => { waiting = null; };
  const model = {
    get: (name) => state[name],
    set: (name, value) => {
      if (state[name] === value) return;
      state[name] = value;
      (listeners[`change:${name}`] ?? []).forEach((call) => call());
    },
    save_changes: () => {},
    on: (name, call) => (listeners[name] ??= []).push(call),
    off: () => {},
  };
  const url = URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
  const view = (await import(url)).default;
  view.render({ model, el: document.getElementById("view") });
  window.frame = (ms, changes) => {
    for (const [name, value] of Object.entries(changes)) model.set(name, value);
    now += ms;
    const call = waiting;
    waiting = null;
    call?.(now);
    return document.querySelector("canvas").toDataURL();
  };
}"""


def main(folder: Path) -> None:
    """Write the GIF, of the first scan of the cohort in ``folder``."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_browser(), args=FLAGS)
        page = browser.new_page(viewport={"width": SIZE[0], "height": SIZE[1] + 200})
        open_view(page, brain_puzzle(Cohort.open(folder)))
        frames, durations = zip(*film(page), strict=True)
        browser.close()
    path = DOCS / "puzzle.gif"
    save_gif(path, frames, durations)
    seconds = sum(durations) / 1000
    print(f"{path}: {len(frames)} frames, {seconds:.1f} s, {path.stat().st_size / 1e6:.2f} MB")


def brain_puzzle(cohort: Cohort) -> Puzzle3D:
    """A jigsaw of a brain, whose pieces fill their cells: they are cubes, and so is what is cut."""
    image = np.array(cohort[0][0][:1], np.float32)
    brain = np.argwhere(image[0] != 0)
    low, high = brain.min(0), brain.max(0) + 1
    patch = int((high - low).min()) // 3
    first = (low + high - 3 * patch) // 2
    box = tuple(slice(start, start + 3 * patch) for start in first)
    volumes = torch.tensor(image[(slice(None), *box)])[None]
    encoder = EncoderSettings(filters=(4, 8))
    task = make_task("jigsaw", encoder, patch=patch, jitter=0, normalise=False)
    params = task.sample_params(volumes, torch.Generator().manual_seed(3))
    return Puzzle3D(volumes, task.make_views(volumes, params))


def open_view(page: Page, view: Puzzle3D) -> None:
    """Open the widget in an empty page, where ``frame(ms, changes)`` draws it."""
    page.set_content(PAGE % (Puzzle3D._css, *SIZE))
    state = {name: getattr(view, name) for name in ("_scene", "picked", "depth", "turn", "apart")}
    state |= {"shuffled": False}
    voxels = base64.b64encode(view._voxels).decode()
    page.evaluate(SCRIPT, [str(Puzzle3D._esm), json.loads(json.dumps(state)), voxels])


# (frames, how far apart at their end, whether shuffled, ms for which the last frame stays)
ACTS = [
    (1, 0.0, False, 1300),
    (9, 0.8, False, 0),
    (9, 0.8, True, 0),
    (7, 0.0, True, 1000),
    (7, 0.8, True, 0),
    (9, 0.8, False, 0),
    (8, 0.0, False, 0),  # the next frame would be the first again
]


def film(page: Page) -> Iterator[tuple[Image.Image, int]]:
    """Frames, and for how many ms each is shown: one turn about the vertical axis."""
    total, done, before = sum(act[0] for act in ACTS), 0, 0.0
    for count, after, shuffled, stay in ACTS:
        last = count + 1 if (count, after, shuffled, stay) == ACTS[-1] else count
        for step in range(1, count + 1):
            share = step / last
            eased = share * share * (3 - 2 * share)
            changes = {
                "shuffled": shuffled,
                "apart": before + (after - before) * eased,
                "turn": [30 + 360 * done / total, 22],
            }
            picture = page.evaluate("([ms, to]) => frame(ms, to)", [MOVE_MS / count, changes])
            yield as_image(picture), FRAME_MS + (stay if step == count else 0)
            done += 1
        before = after


def as_image(address: str) -> Image.Image:
    """The picture of a data address, on white."""
    drawn = Image.open(io.BytesIO(base64.b64decode(address.split(",")[1]))).convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", drawn.size, "white"), drawn).convert("RGB")


def save_gif(path: Path, frames: tuple[Image.Image, ...], durations: tuple[int, ...]) -> None:
    """Save the frames in one palette, so that no colour flickers."""
    few = frames[:: max(1, len(frames) // 8)]
    sheet = Image.new("RGB", (SIZE[0], SIZE[1] * len(few)))
    for n, frame in enumerate(few):
        sheet.paste(frame, (0, n * SIZE[1]))
    palette = sheet.quantize(PALETTE_SIZE, Image.Quantize.MEDIANCUT)
    drawn = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    drawn[0].save(
        path,
        save_all=True,
        append_images=drawn[1:],
        duration=list(durations),
        loop=0,
        optimize=True,
        disposal=1,
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
