// The CPU draws: pictures are small, and a browser without a GPU imitates one far more slowly.
export const BY_CPU = { willReadFrequently: true };

// Gives a canvas its size on the page, in CSS pixels, and as many pixels as the screen has there. Its
// pen then measures in CSS pixels.
export function sizeCanvas({ canvas, context }, width, height) {
  const dense = globalThis.devicePixelRatio || 1;
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  canvas.width = Math.round(width * dense);
  canvas.height = Math.round(height * dense);
  context.setTransform(canvas.width / width, 0, 0, canvas.height / height, 0, 0);
}
