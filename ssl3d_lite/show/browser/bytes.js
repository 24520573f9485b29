// The kernel's bytes arrive as a DataView, which may lie anywhere in a larger buffer.
export const unsigned = (view) => new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
