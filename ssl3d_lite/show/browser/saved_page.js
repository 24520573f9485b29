// A view in a page of its own, without a kernel: the page has the state, and this stands in for the
// kernel's model. saved_page.py writes both into the page.

// Has what anywidget's model has. Whatever a view tells the kernel stays in the page.
export function savedModel(state) {
  const listeners = new Map();
  const tell = (event) => {
    for (const listener of [...(listeners.get(event) ?? [])]) listener();
  };
  return {
    get: (name) => state[name],
    set(name, value) {
      if (JSON.stringify(state[name]) === JSON.stringify(value)) return;
      state[name] = value;
      tell(`change:${name}`);
      tell("change");
    },
    save_changes() {},
    send() {},
    on(event, listener) {
      if (!listeners.has(event)) listeners.set(event, new Set());
      listeners.get(event).add(listener);
    },
    off(event, listener) {
      listeners.get(event)?.delete(listener);
    },
  };
}

// Bytes lie in the page as base64 of gzip.
export async function unpacked(text) {
  const packed = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new DataView(await new Response(stream).arrayBuffer());
}

export async function startPage(view, el, { values, bytes }) {
  const paths = Object.keys(bytes);
  const views = await Promise.all(paths.map((path) => unpacked(bytes[path])));
  paths.forEach((path, index) => {
    const names = path.split("/"); // bytes may lie deep in a value
    const last = names.pop();
    names.reduce((value, name) => value[name], values)[last] = views[index];
  });
  await view.render({ model: savedModel(values), el });
  if (globalThis.parent !== globalThis.self) sayHeight();
}

// A page that holds this one, such as the book's, may give it as much room as it needs.
function sayHeight() {
  const page = document.documentElement;
  const say = () => globalThis.parent.postMessage({ height: page.offsetHeight }, "*");
  new ResizeObserver(say).observe(page);
}
